//! The simulated disk with a gate in front of its file syncs: a test decides when one goes on.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::files::{Fs, FsFile, FsLock, MemFs};

/// A test that waits longer for a thread has failed.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(20);

/// Holds back syncs of files while it is closed. Opens when it is dropped, so that the log's thread
/// can end.
#[derive(Default)]
pub(super) struct Gate(Arc<Hinge>);

#[derive(Default)]
struct Hinge {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    closed: bool,
    /// Syncs that wait in front of the closed gate.
    waiting: u32,
    /// So many of them may go on.
    passes: u32,
}

impl Gate {
    /// The disk behind this gate.
    pub(super) fn before(&self, disk: &MemFs) -> Arc<dyn Fs> {
        Arc::new(GatedFs { disk: disk.clone(), hinge: Arc::clone(&self.0) })
    }

    /// Syncs that begin from now on wait.
    pub(super) fn close(&self) {
        self.0.lock().closed = true;
    }

    /// Syncs go on.
    pub(super) fn open(&self) {
        self.0.lock().closed = false;
        self.0.changed.notify_all();
    }

    /// Returns when a sync waits: what it will make durable is decided.
    pub(super) fn wait_for_a_sync(&self) {
        let no_sync = |state: &mut State| state.waiting == 0;
        let guard = self.0.lock();
        let (state, _) = self.0.changed.wait_timeout_while(guard, WAIT_MAX, no_sync).unwrap();
        assert_eq!(state.waiting, 1, "no sync began");
    }

    /// Lets the sync that waits go on, but none that follows.
    pub(super) fn let_one_pass(&self) {
        self.0.lock().passes = 1;
        self.0.changed.notify_all();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl Hinge {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self) {
        let mut state = self.lock();
        state.waiting += 1;
        self.changed.notify_all();
        let barred = |state: &mut State| state.closed && state.passes == 0;
        let waited = self.changed.wait_while(state, barred);
        state = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state.passes = 0;
    }
}

struct GatedFs {
    disk: MemFs,
    hinge: Arc<Hinge>,
}

impl GatedFs {
    fn gated(&self, file: Arc<dyn FsFile>) -> Arc<dyn FsFile> {
        Arc::new(GatedFile { file, hinge: Arc::clone(&self.hinge) })
    }
}

impl Fs for GatedFs {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        self.disk.create(path).map(|file| self.gated(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        self.disk.open(path).map(|file| self.gated(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<FsLock> {
        self.disk.lock(path)
    }
}

struct GatedFile {
    file: Arc<dyn FsFile>,
    hinge: Arc<Hinge>,
}

impl FsFile for GatedFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.hinge.pass();
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
