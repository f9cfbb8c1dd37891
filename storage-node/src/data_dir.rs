//! The data directory: whose it is, who has it open, and where things lie in it.
//!
//! ```text
//! LOCK           locked by the process that uses the directory
//! node.json      format, cluster, node, store id; written once, by --create
//! topology.yaml  the greatest topology the node was told
//! control.redb   promises, voter's registers, process starts
//! log/           the binlog
//! groups/        one file per logic group
//! ```

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::ids::{ClusterId, LogicGroup, NodeId, StoreId};
use serde::{Deserialize, Serialize};

use crate::binlog::LogIdentity;
use crate::control::NodeIdentity;
use crate::engine::StoreIdentity;
use crate::error::StartError;
use crate::files::{Fs, FsLock, parent};

/// Format of `node.json` and of all that lies beside it. Format 1 had no control file, and no copies
/// of other servers' records.
const FORMAT: u32 = 2;
const IDENTITY_FILE: &str = "node.json";
const LOCK_FILE: &str = "LOCK";
/// A longer `node.json` is none.
const IDENTITY_BYTES_MAX: u64 = 64 << 10;

/// `node.json`.
#[derive(Serialize, Deserialize)]
struct IdentityFile {
    format: u32,
    cluster: String,
    node: String,
    store_id: String,
}

/// An open data directory. The lock is held as long as this lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    store: StoreId,
    cluster: ClusterId,
    node: NodeId,
    _lock: FsLock,
}

impl DataDir {
    /// Opens the directory of a node, or makes it.
    pub(crate) fn open(
        fs: Arc<dyn Fs>,
        path: &Path,
        cluster: &str,
        node: &str,
        create: bool,
    ) -> Result<Self, StartError> {
        let identity_path = path.join(IDENTITY_FILE);
        let exists = fs.exists(&identity_path).map_err(|e| io(&identity_path, e))?;
        if !exists && !create {
            return Err(StartError::NoStore(path.to_owned()));
        }
        if create {
            make_dirs(&*fs, path).map_err(|e| io(path, e))?;
        }
        let lock = lock(&*fs, path)?;
        if exists && create {
            return Err(StartError::NotEmpty(path.to_owned(), IDENTITY_FILE.to_owned()));
        }
        if create {
            refuse_other_files(&*fs, path)?;
            make(&*fs, path, cluster, node)?;
        }
        // Whoever made the directory may have been killed before its names were durable.
        for dir in [path, parent(path)] {
            fs.sync_dir(dir).map_err(|e| io(dir, e))?;
        }
        let identity = read_identity(&*fs, &identity_path)?;
        check(path, "cluster", &identity.cluster, cluster)?;
        check(path, "node", &identity.node, node)?;
        let store = u128::from_str_radix(&identity.store_id, 16)
            .map_err(|e| StartError::Damaged(identity_path, format!("store_id: {e}")))?;
        Ok(Self {
            fs,
            path: path.to_owned(),
            store: StoreId(store),
            cluster: ClusterId::of_name(cluster),
            node: NodeId::of_name(node),
            _lock: lock,
        })
    }

    /// The file system that everything in the directory is on.
    pub(crate) fn fs(&self) -> &Arc<dyn Fs> {
        &self.fs
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn store(&self) -> StoreId {
        self.store
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.path.join("log")
    }

    pub(crate) fn group_path(&self, group: LogicGroup) -> PathBuf {
        self.path.join("groups").join(format!("{:05}.redb", group.0))
    }

    pub(crate) fn control_path(&self) -> PathBuf {
        self.path.join("control.redb")
    }

    pub(crate) fn topology_path(&self) -> PathBuf {
        self.path.join("topology.yaml")
    }

    pub(crate) fn log_identity(&self) -> LogIdentity {
        LogIdentity { store: self.store, cluster: self.cluster, node: self.node }
    }

    pub(crate) fn node_identity(&self) -> NodeIdentity {
        NodeIdentity { store: self.store, cluster: self.cluster, node: self.node }
    }

    pub(crate) fn store_identity(&self, group: LogicGroup) -> StoreIdentity {
        StoreIdentity { store: self.store, cluster: self.cluster, node: self.node, group }
    }
}

/// Replaces a file so that a crash leaves the old or the new one, whole.
pub(crate) fn replace(fs: &dyn Fs, path: &Path, content: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    match fs.remove(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = fs.create(&new)?;
    file.write_all_at(content, 0)?;
    file.sync_data()?;
    fs.rename(&new, path)?;
    fs.sync_dir(parent(path))
}

/// Makes a directory and those above it, durably: each name is synced where it was made.
fn make_dirs(fs: &dyn Fs, path: &Path) -> std::io::Result<()> {
    let missing =
        |path: &&Path| !path.as_os_str().is_empty() && !matches!(fs.exists(path), Ok(true));
    let missing: Vec<&Path> = path.ancestors().take_while(missing).collect();
    for dir in missing.into_iter().rev() {
        fs.create_dir(dir)?;
        fs.sync_dir(parent(dir))?;
    }
    Ok(())
}

fn lock(fs: &dyn Fs, path: &Path) -> Result<FsLock, StartError> {
    let lock_path = path.join(LOCK_FILE);
    fs.lock(&lock_path).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => StartError::InUse(path.to_owned()),
        _ => io(&lock_path, error),
    })
}

/// What `--create` was interrupted in the middle of may stay, and what a file system makes itself;
/// anything else is somebody's data.
fn refuse_other_files(fs: &dyn Fs, path: &Path) -> Result<(), StartError> {
    for name in fs.list(path).map_err(|e| io(path, e))? {
        if !matches!(&*name, LOCK_FILE | "groups" | "node.new" | "lost+found") {
            return Err(StartError::NotEmpty(path.to_owned(), name));
        }
    }
    Ok(())
}

fn make(fs: &dyn Fs, path: &Path, cluster: &str, node: &str) -> Result<(), StartError> {
    let groups = path.join("groups");
    fs.create_dir(&groups).map_err(|e| io(&groups, e))?;
    let identity = IdentityFile {
        format: FORMAT,
        cluster: cluster.to_owned(),
        node: node.to_owned(),
        store_id: StoreId(rt::random::u128()).to_string(),
    };
    let mut text = serde_json::to_string_pretty(&identity)
        .map_err(|e| StartError::Damaged(path.to_owned(), e.to_string()))?;
    text.push('\n');
    // It is there only if all else is.
    fs.sync_dir(path).map_err(|e| io(path, e))?;
    let identity_path = path.join(IDENTITY_FILE);
    replace(fs, &identity_path, text.as_bytes()).map_err(|e| io(&identity_path, e))
}

fn read_identity(fs: &dyn Fs, path: &Path) -> Result<IdentityFile, StartError> {
    let damaged = |what: String| StartError::Damaged(path.to_owned(), what);
    let file = fs.open(path).map_err(|e| io(path, e))?;
    let bytes = file.size().map_err(|e| io(path, e))?.min(IDENTITY_BYTES_MAX);
    let mut text = vec![0; usize::try_from(bytes).expect("it is small")];
    file.read_exact_at(&mut text, 0).map_err(|e| io(path, e))?;
    let text = String::from_utf8(text).map_err(|_| damaged("not UTF-8".to_owned()))?;
    let identity: IdentityFile = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
    if identity.format != FORMAT {
        let dir = path.parent().unwrap_or(path).to_owned();
        return Err(StartError::Format(dir, identity.format, FORMAT));
    }
    Ok(identity)
}

fn check(path: &Path, what: &'static str, found: &str, expected: &str) -> Result<(), StartError> {
    if found == expected {
        return Ok(());
    }
    Err(StartError::Foreign {
        path: path.to_owned(),
        what,
        found: found.to_owned(),
        expected: expected.to_owned(),
    })
}

fn io(path: &Path, error: std::io::Error) -> StartError {
    StartError::Io(path.to_owned(), error)
}

#[cfg(test)]
mod tests {
    use crate::files::RealFs;

    use super::*;

    fn open_real(
        path: &Path,
        cluster: &str,
        node: &str,
        create: bool,
    ) -> Result<DataDir, StartError> {
        DataDir::open(Arc::new(RealFs), path, cluster, node, create)
    }

    #[test]
    fn a_directory_is_made_once_and_opened_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a1");
        let open = |cluster, node, create| open_real(&path, cluster, node, create);
        assert!(matches!(open("demo", "a1", false), Err(StartError::NoStore(_))));
        let first = open("demo", "a1", true).unwrap();
        assert!(matches!(open("demo", "a1", false), Err(StartError::InUse(_))));
        let store = first.store();
        drop(first);
        assert_eq!(open("demo", "a1", false).unwrap().store(), store);
        assert!(matches!(open("demo", "a1", true), Err(StartError::NotEmpty(..))));
        let foreign = open("demo", "a2", false).unwrap_err().to_string();
        assert!(foreign.contains("belongs to node `a1`, not to `a2`"), "{foreign}");
        let foreign = open("prod", "a1", false).unwrap_err().to_string();
        assert!(foreign.contains("belongs to cluster `demo`"), "{foreign}");
    }

    #[test]
    fn a_directory_of_another_format_or_with_other_files_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        std::fs::write(path.join("photos.zip"), "x").unwrap();
        let refused = open_real(path, "demo", "a1", true).unwrap_err().to_string();
        assert!(refused.contains("photos.zip"), "{refused}");
        std::fs::remove_file(path.join("photos.zip")).unwrap();
        drop(open_real(path, "demo", "a1", true).unwrap());
        let identity = path.join(IDENTITY_FILE);
        let text = std::fs::read_to_string(&identity).unwrap();
        std::fs::write(&identity, text.replace("\"format\": 2", "\"format\": 9")).unwrap();
        let refused = open_real(path, "demo", "a1", false).unwrap_err();
        assert!(matches!(refused, StartError::Format(_, 9, FORMAT)));
        std::fs::write(&identity, text.get(..20).unwrap()).unwrap();
        let refused = open_real(path, "demo", "a1", false).unwrap_err();
        assert!(matches!(refused, StartError::Damaged(..)));
    }
}
