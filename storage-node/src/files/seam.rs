//! The file operations that storage needs.

use std::any::Any;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Directory operations. What they change is durable after [`sync_dir`](Fs::sync_dir) of the
/// directory that has the name, and only then.
pub trait Fs: Send + Sync + 'static {
    /// Makes `dir`; fine if it exists. Its parent must exist.
    ///
    /// # Errors
    /// The file system refuses.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Names in `dir`, in no order. Names that are not UTF-8 are left out.
    ///
    /// # Errors
    /// There is no such directory, or it cannot be read.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Whether there is a file or directory of that name.
    ///
    /// # Errors
    /// It cannot be found out.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Creates a file that must not exist yet.
    ///
    /// # Errors
    /// It exists, or the file system refuses.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn FsFile>>;
    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// There is none, or the file system refuses.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn FsFile>>;
    /// Opens an existing file for reading alone; whoever only looks needs no right to write. Disks
    /// that know no rights take [`open`](Self::open).
    ///
    /// # Errors
    /// There is none, or the file system refuses.
    fn open_read_only(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        self.open(path)
    }
    /// Gives a file another name in the same directory.
    ///
    /// # Errors
    /// The file system refuses.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name. Handles that are open stay usable.
    ///
    /// # Errors
    /// There is none, or the file system refuses.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes created, renamed and removed names of `dir` durable, those of no other directory.
    ///
    /// # Errors
    /// The disk refuses; nothing is known to be durable then.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Locks a file, which is made if need be, against every other process. An error of the kind
    /// `WouldBlock` says that another one has it.
    ///
    /// # Errors
    /// It is locked, or the file system refuses.
    fn lock(&self, path: &Path) -> io::Result<FsLock>;
}

/// A lock; it ends when this is dropped.
pub type FsLock = Box<dyn Any + Send + Sync>;

impl fmt::Debug for dyn Fs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fs")
    }
}

/// An open file. Written data is durable after [`sync_data`](FsFile::sync_data) only.
pub trait FsFile: Send + Sync + 'static {
    /// Writes all of `bytes` at `offset`. After an error any part of them may be written.
    ///
    /// # Errors
    /// The disk is full or fails.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Fills `bytes` from `offset`.
    ///
    /// # Errors
    /// The file ends before, or the disk fails.
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
    /// Makes the data, and the length that is needed to read it, durable.
    ///
    /// # Errors
    /// The disk fails. What was not durable may be lost then, and a second call that succeeds says
    /// nothing about it.
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts the file or extends it with zeros.
    ///
    /// # Errors
    /// The disk is full or fails.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// The file's length in bytes.
    ///
    /// # Errors
    /// The file system refuses.
    fn size(&self) -> io::Result<u64>;
    /// What the file takes of the disk, in bytes: less than its length where parts were never written.
    ///
    /// # Errors
    /// The file system refuses.
    fn allocated(&self) -> io::Result<u64> {
        self.size()
    }
    /// Makes the file at least `bytes` long and reserves the blocks of that length; what was not
    /// written reads as zeros.
    ///
    /// # Errors
    /// The disk is full or fails.
    fn preallocate(&self, bytes: u64) -> io::Result<()>;
}

impl fmt::Debug for dyn FsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FsFile")
    }
}

/// Whether an error only says that the disk (or the quota) is full.
#[must_use]
pub fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The directory that has the name of `path`.
#[must_use]
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        // A relative path of one component lies in the present directory.
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}
