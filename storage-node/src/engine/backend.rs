//! What a redb file lies on: a file of [`crate::files`], so that its power can be cut in tests.
//!
//! It reads and writes at offsets and syncs with fdatasync, as redb's own backend does. It locks
//! nothing: the data directory has one lock for all of its files.
//!
//! redb refuses everything after the first call that failed, until the file is opened again. A read
//! is therefore tried twice before redb hears of it: many errors of disks pass. A write or a sync is
//! not: a sync that failed has lost what it was to write.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redb::{Builder, Database, DatabaseError, StorageBackend};

use crate::files::{Fs, FsFile};

/// A redb database on a file.
#[derive(Debug)]
pub(crate) struct FileBackend {
    file: Arc<dyn FsFile>,
    state: BackendState,
}

/// What happened to a database's file, shared with whoever has the database.
#[derive(Clone, Debug, Default)]
pub(crate) struct BackendState(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    failed: AtomicBool,
    full: AtomicBool,
    /// A write or a sync failed, and not because the disk is full, or what was read is damaged.
    broke: AtomicBool,
    /// Whoever changes the file holds it for reading meanwhile.
    fenced: RwLock<bool>,
}

impl BackendState {
    /// Whether a call failed, so that redb refuses all that follow.
    pub(crate) fn has_failed(&self) -> bool {
        self.0.failed.load(Ordering::Acquire)
    }

    /// Whether a write failed because the disk is full.
    pub(crate) fn was_full(&self) -> bool {
        self.0.full.load(Ordering::Acquire)
    }

    /// Whether nothing failed but reads that the disk refused, or writes for which it had no room: what
    /// was to be written may be tried again on the file opened again.
    pub(crate) fn may_try_again(&self) -> bool {
        self.has_failed() && !self.0.broke.load(Ordering::Acquire)
    }

    /// Lets nothing more through: the file is about to be opened again. Waits for a write that is
    /// under way, which could otherwise meet what is written after that.
    pub(crate) fn fence(&self) {
        *self.0.fenced.write().unwrap_or_else(PoisonError::into_inner) = true;
    }

    fn unless_fenced<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let fenced = self.0.fenced.read().unwrap_or_else(PoisonError::into_inner);
        if *fenced {
            return Err(io::Error::other("the file was opened again after an error"));
        }
        call()
    }

    fn note_read<T>(&self, result: io::Result<T>) -> io::Result<T> {
        self.0.failed.fetch_or(result.is_err(), Ordering::AcqRel);
        result
    }

    /// The database is not to be gone on with: what it read is damaged, or it panicked.
    pub(super) fn note_damage(&self) {
        self.0.broke.store(true, Ordering::Release);
        self.0.failed.store(true, Ordering::Release);
    }

    fn note_write<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            let full = crate::files::is_no_space(error);
            self.0.full.fetch_or(full, Ordering::AcqRel);
            self.0.broke.fetch_or(!full, Ordering::AcqRel);
            self.0.failed.store(true, Ordering::Release);
        }
        result
    }
}

impl FileBackend {
    fn new(file: Arc<dyn FsFile>) -> (Self, BackendState) {
        let state = BackendState::default();
        (Self { file, state: state.clone() }, state)
    }

    /// A file that must not exist yet. Its name is not durable.
    pub(super) fn create(fs: &dyn Fs, path: &Path) -> Result<(Self, BackendState), DatabaseError> {
        Ok(Self::new(fs.create(path).map_err(storage_error)?))
    }

    /// A file that exists.
    pub(super) fn open(fs: &dyn Fs, path: &Path) -> Result<(Self, BackendState), DatabaseError> {
        let file = fs.open(path).map_err(storage_error)?;
        // redb would make a new database in an empty file.
        if file.size().map_err(storage_error)? == 0 {
            return Err(storage_error(io::Error::new(ErrorKind::InvalidData, "the file is empty")));
        }
        Ok(Self::new(file))
    }
}

/// Makes a database in a file that must not exist yet. Its name is not durable.
pub(crate) fn create(
    fs: &dyn Fs,
    path: &Path,
    builder: &Builder,
) -> Result<(Database, BackendState), DatabaseError> {
    let (backend, state) = FileBackend::create(fs, path)?;
    Ok((builder.create_with_backend(backend)?, state))
}

/// Opens the database in a file.
pub(crate) fn open(
    fs: &dyn Fs,
    path: &Path,
    builder: &Builder,
) -> Result<(Database, BackendState), DatabaseError> {
    let (backend, state) = FileBackend::open(fs, path)?;
    Ok((builder.create_with_backend(backend)?, state))
}

/// An error of the file as redb's.
pub(super) fn storage_error(error: io::Error) -> DatabaseError {
    DatabaseError::Storage(redb::StorageError::Io(error))
}

impl StorageBackend for FileBackend {
    fn len(&self) -> io::Result<u64> {
        self.state.unless_fenced(|| self.state.note_read(self.file.size()))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.state.unless_fenced(|| Ok(()))?;
        let read = match self.file.read_exact_at(out, offset) {
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => {
                tracing::warn!(%error, offset, "a read of a redb file failed and is tried again");
                self.file.read_exact_at(out, offset)
            }
            other => other,
        };
        self.state.note_read(read)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.state.unless_fenced(|| self.state.note_write(self.file.set_len(len)))
    }

    fn sync_data(&self) -> io::Result<()> {
        // Nobody waits for a disk here: that it is synced once more does no harm.
        self.state.unless_fenced(|| Ok(()))?;
        self.state.note_write(self.file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.state.unless_fenced(|| self.state.note_write(self.file.write_all_at(data, offset)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::MemFs;

    #[test]
    fn a_handle_that_was_fenced_reads_and_changes_nothing() {
        let (fs, path) = (MemFs::new(), Path::new("/file"));
        let (backend, state) = FileBackend::new(fs.create(path).unwrap());
        backend.write(0, b"true").unwrap();
        state.fence();
        assert!(backend.write(0, b"late").is_err());
        assert!(backend.set_len(0).is_err());
        assert!(backend.sync_data().is_err());
        assert!(backend.len().is_err());
        assert!(backend.read(0, &mut [0; 4]).is_err());
        let mut bytes = [0; 4];
        fs.open(path).unwrap().read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"true");
    }
}
