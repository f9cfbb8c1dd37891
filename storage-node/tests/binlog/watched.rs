//! A file system that counts what is read, can refuse to open a file, and lets something happen in
//! the middle of what others read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use storage_node::binlog::{LogFile, LogFs};

pub(crate) struct WatchedFs<F> {
    fs: F,
    denied: Option<PathBuf>,
    read: Arc<AtomicU64>,
    after_list: Once,
    after_read: Once,
}

/// Something that happens once.
#[derive(Clone, Default)]
struct Once(Arc<Mutex<Option<Event>>>);

type Event = Box<dyn FnOnce() + Send>;

impl Once {
    fn of(event: impl FnOnce() + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(event)))))
    }

    fn happen(&self) {
        let event = self.0.lock().unwrap().take();
        event.into_iter().for_each(|event| event());
    }
}

impl<F: LogFs> WatchedFs<F> {
    pub(crate) fn new(fs: F) -> Self {
        let (after_list, after_read) = (Once::default(), Once::default());
        Self { fs, denied: None, read: Arc::default(), after_list, after_read }
    }

    /// This happens right after the first time that names are listed.
    pub(crate) fn after_list(fs: F, event: impl FnOnce() + Send + 'static) -> Self {
        Self { after_list: Once::of(event), ..Self::new(fs) }
    }

    /// This happens right after the first time that a file is read.
    pub(crate) fn after_read(fs: F, event: impl FnOnce() + Send + 'static) -> Self {
        Self { after_read: Once::of(event), ..Self::new(fs) }
    }

    /// Nobody may open this file, as if its permissions said so. (To root they say nothing.)
    pub(crate) fn deny(fs: F, path: PathBuf) -> Self {
        Self { denied: Some(path), ..Self::new(fs) }
    }

    /// The counter of the bytes that were read.
    pub(crate) fn bytes_read(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }
}

impl<F: LogFs> LogFs for WatchedFs<F> {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.fs.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let names = self.fs.list(dir);
        self.after_list.happen();
        names
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        self.fs.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn LogFile>> {
        if self.denied.as_deref() == Some(path) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let file = self.fs.open(path)?;
        let after_read = self.after_read.clone();
        Ok(Arc::new(WatchedFile { file, read: self.bytes_read(), after_read }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.fs.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.fs.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.fs.sync_dir(dir)
    }
}

struct WatchedFile {
    file: Arc<dyn LogFile>,
    read: Arc<AtomicU64>,
    after_read: Once,
}

impl LogFile for WatchedFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.file.read_exact_at(bytes, offset)?;
        self.after_read.happen();
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        self.file.preallocate(bytes)
    }
}
