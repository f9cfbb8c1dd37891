//! A disk, or a program above it, that breaks one rule: what the suite must notice.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::files::{Fs, FsFile, FsLock, MemFs};

/// The rule that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// None.
    Honest,
    /// A sync of a file does nothing.
    NoSync,
    /// A sync of a directory does nothing.
    NoDirSync,
    /// Of the log's segments only the newest is synced.
    OlderSegmentNotSynced,
    /// Recovery does not write zeros over a torn tail.
    TailNotZeroed,
    /// A sync that failed is tried again.
    SyncRetried,
}

/// The disk behind the lie.
pub(super) struct LyingFs(Arc<Liar>);

struct Liar {
    disk: MemFs,
    lie: Lie,
    segments: Mutex<Segments>,
}

/// Segments that got records, and the one that got the last.
#[derive(Default)]
struct Segments {
    written: BTreeSet<PathBuf>,
    last: PathBuf,
}

impl LyingFs {
    pub(super) fn over(disk: &MemFs, lie: Lie) -> Arc<dyn Fs> {
        let segments = Mutex::default();
        Arc::new(Self(Arc::new(Liar { disk: disk.clone(), lie, segments })))
    }

    fn file(&self, path: &Path, file: Arc<dyn FsFile>) -> Arc<dyn FsFile> {
        // A segment gets its name when it is complete.
        let name = path.to_str().unwrap().trim_end_matches(".new");
        Arc::new(LyingFile { liar: Arc::clone(&self.0), path: name.into(), file })
    }
}

impl Fs for LyingFs {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.disk.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.disk.list(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.0.disk.exists(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        self.0.disk.create(path).map(|file| self.file(path, file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        self.0.disk.open(path).map(|file| self.file(path, file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match self.0.lie {
            Lie::NoDirSync => self.0.disk.pretend_sync(dir),
            _ => self.0.disk.sync_dir(dir),
        }
    }

    fn lock(&self, path: &Path) -> io::Result<FsLock> {
        self.0.disk.lock(path)
    }
}

struct LyingFile {
    liar: Arc<Liar>,
    path: PathBuf,
    file: Arc<dyn FsFile>,
}

impl LyingFile {
    fn is_segment(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "binlog")
    }

    fn is_older_segment(&self) -> bool {
        let segments = self.liar.segments.lock().unwrap();
        segments.written.contains(&self.path) && segments.last != self.path
    }
}

impl FsFile for LyingFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let zeros = bytes.iter().all(|byte| *byte == 0);
        if self.is_segment() && zeros && self.liar.lie == Lie::TailNotZeroed {
            return Ok(());
        }
        if self.is_segment() && !zeros && offset >= 4096 {
            let mut segments = self.liar.segments.lock().unwrap();
            segments.written.insert(self.path.clone());
            segments.last = self.path.clone();
        }
        self.file.write_all_at(bytes, offset)
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.liar.lie {
            Lie::NoSync => self.liar.disk.pretend_sync(&self.path),
            Lie::OlderSegmentNotSynced if self.is_older_segment() => {
                self.liar.disk.pretend_sync(&self.path)
            }
            Lie::SyncRetried => self.file.sync_data().or_else(|_| self.file.sync_data()),
            _ => self.file.sync_data(),
        }
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
