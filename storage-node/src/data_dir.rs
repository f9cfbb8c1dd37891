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

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use common::ids::{ClusterId, LogicGroup, NodeId, StoreId};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::binlog::LogIdentity;
use crate::control::NodeIdentity;
use crate::engine::StoreIdentity;
use crate::error::StartError;

/// Format of `node.json` and of all that lies beside it. Format 1 had no control file, and no copies
/// of other servers' records.
const FORMAT: u32 = 2;
const IDENTITY_FILE: &str = "node.json";
const LOCK_FILE: &str = "LOCK";

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
    path: PathBuf,
    store: StoreId,
    cluster: ClusterId,
    node: NodeId,
    _lock: File,
}

impl DataDir {
    /// Opens the directory of a node, or makes it.
    pub(crate) fn open(
        path: &Path,
        cluster: &str,
        node: &str,
        create: bool,
    ) -> Result<Self, StartError> {
        let identity_path = path.join(IDENTITY_FILE);
        let exists = identity_path.try_exists().map_err(|e| io(&identity_path, e))?;
        if !exists && !create {
            return Err(StartError::NoStore(path.to_owned()));
        }
        if create {
            std::fs::create_dir_all(path).map_err(|e| io(path, e))?;
        }
        let lock = lock(path)?;
        if exists && create {
            return Err(StartError::NotEmpty(path.to_owned(), IDENTITY_FILE.to_owned()));
        }
        if create {
            refuse_other_files(path)?;
            make(path, cluster, node)?;
        }
        let identity = read_identity(&identity_path)?;
        check(path, "cluster", &identity.cluster, cluster)?;
        check(path, "node", &identity.node, node)?;
        let store = u128::from_str_radix(&identity.store_id, 16)
            .map_err(|e| StartError::Damaged(identity_path, format!("store_id: {e}")))?;
        Ok(Self {
            path: path.to_owned(),
            store: StoreId(store),
            cluster: ClusterId::of_name(cluster),
            node: NodeId::of_name(node),
            _lock: lock,
        })
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
pub(crate) fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    sync_parent(path)
}

fn sync_parent(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        // A relative path of one component lies in the present directory.
        Some(parent) if parent.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn lock(path: &Path) -> Result<File, StartError> {
    let lock_path = path.join(LOCK_FILE);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(|e| io(&lock_path, e))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StartError::InUse(path.to_owned())),
        Err(error) => Err(io(&lock_path, error.into())),
    }
}

/// What `--create` was interrupted in the middle of may stay, and what a file system makes itself;
/// anything else is somebody's data.
fn refuse_other_files(path: &Path) -> Result<(), StartError> {
    for entry in std::fs::read_dir(path).map_err(|e| io(path, e))? {
        let name = entry.map_err(|e| io(path, e))?.file_name();
        let name = name.to_string_lossy();
        if !matches!(&*name, LOCK_FILE | "groups" | "node.new" | "lost+found") {
            return Err(StartError::NotEmpty(path.to_owned(), name.into_owned()));
        }
    }
    Ok(())
}

fn make(path: &Path, cluster: &str, node: &str) -> Result<(), StartError> {
    let groups = path.join("groups");
    std::fs::create_dir_all(&groups).map_err(|e| io(&groups, e))?;
    let identity = IdentityFile {
        format: FORMAT,
        cluster: cluster.to_owned(),
        node: node.to_owned(),
        store_id: StoreId(rt::random::u128()).to_string(),
    };
    let mut text = serde_json::to_string_pretty(&identity)
        .map_err(|e| StartError::Damaged(path.to_owned(), e.to_string()))?;
    text.push('\n');
    let identity_path = path.join(IDENTITY_FILE);
    replace(&identity_path, text.as_bytes()).map_err(|e| io(&identity_path, e))?;
    sync_parent(path).map_err(|e| io(path, e))
}

fn read_identity(path: &Path) -> Result<IdentityFile, StartError> {
    let mut text = String::new();
    let file = File::open(path).map_err(|e| io(path, e))?;
    match file.take(64 << 10).read_to_string(&mut text) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            return Err(StartError::Damaged(path.to_owned(), "not UTF-8".to_owned()));
        }
        Err(error) => return Err(io(path, error)),
    }
    let identity: IdentityFile = serde_json::from_str(&text)
        .map_err(|e| StartError::Damaged(path.to_owned(), e.to_string()))?;
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
    use super::*;

    #[test]
    fn a_directory_is_made_once_and_opened_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a1");
        let open = |cluster, node, create| DataDir::open(&path, cluster, node, create);
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
        let refused = DataDir::open(path, "demo", "a1", true).unwrap_err().to_string();
        assert!(refused.contains("photos.zip"), "{refused}");
        std::fs::remove_file(path.join("photos.zip")).unwrap();
        drop(DataDir::open(path, "demo", "a1", true).unwrap());
        let identity = path.join(IDENTITY_FILE);
        let text = std::fs::read_to_string(&identity).unwrap();
        std::fs::write(&identity, text.replace("\"format\": 2", "\"format\": 9")).unwrap();
        let refused = DataDir::open(path, "demo", "a1", false).unwrap_err();
        assert!(matches!(refused, StartError::Format(_, 9, FORMAT)));
        std::fs::write(&identity, text.get(..20).unwrap()).unwrap();
        let refused = DataDir::open(path, "demo", "a1", false).unwrap_err();
        assert!(matches!(refused, StartError::Damaged(..)));
    }
}
