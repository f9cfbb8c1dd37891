//! Where everything of a local cluster is, and the two ways its files are written.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::DevError;

/// The folder of a local cluster.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    root: PathBuf,
}

impl Paths {
    /// The cluster in `root`.
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The folder itself.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The topology file.
    pub(super) fn topology(&self) -> PathBuf {
        self.root.join("topology.yaml")
    }

    /// What is kept besides the topology.
    pub(super) fn settings(&self) -> PathBuf {
        self.root.join("settings.json")
    }

    /// Where a running `dev` can be reached.
    pub(super) fn control(&self) -> PathBuf {
        self.root.join("dev.json")
    }

    /// The data of a node.
    pub(super) fn node(&self, id: &str) -> PathBuf {
        self.root.join("nodes").join(id)
    }

    /// The folder of the process id files.
    pub(crate) fn pids(&self) -> PathBuf {
        self.root.join("pids")
    }

    /// The process id of a running member.
    pub(super) fn pid(&self, id: &str) -> PathBuf {
        self.pids().join(format!("{id}.pid"))
    }

    /// The log of a member.
    pub(super) fn log(&self, id: &str) -> PathBuf {
        self.root.join("logs").join(format!("{id}.log"))
    }

    /// Makes the folders.
    pub(super) fn create(&self) -> Result<(), DevError> {
        for dir in ["nodes", "pids", "logs"] {
            let dir = self.root.join(dir);
            fs::create_dir_all(&dir).map_err(failed("create", &dir))?;
        }
        Ok(())
    }

    /// Takes the lock of the cluster for as long as the file is open; `None` when another has it.
    pub(super) fn lock(&self) -> Result<Option<File>, DevError> {
        let path = self.root.join("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(failed("lock", &path)(source)),
        }
    }
}

/// The error of doing `what` to the file at `path`.
pub(super) fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DevError {
    let path = path.to_owned();
    move |source| DevError::File { what, path, source }
}

/// Writes a file whole and durably: readers see the old or the new one.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), DevError> {
    let new = path.with_extension("new");
    let write = || {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(failed("write", path))
}

/// Removes a file that may be gone already.
pub(super) fn remove(path: &Path) -> Result<(), DevError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(e)),
        _ => Ok(()),
    }
}
