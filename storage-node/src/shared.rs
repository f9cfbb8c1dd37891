//! What all threads of the node share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use common::failure::FailureCode;
use common::ids::{ClusterId, NodeId, TopologyVersion};
use config::Topology;
use rt::secret::Secret;
use tokio::sync::{Notify, mpsc};

use crate::binlog::{Log, LogPosition};
use crate::data_dir::DataDir;
use crate::flusher::Flusher;
use crate::worker::Message;

/// How the node's memory and log are divided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Memtables of one worker begin to be flushed above this.
    pub(crate) memtable_bytes: usize,
    /// Page caches of all groups together.
    pub(crate) cache_bytes: usize,
    /// The log begins to push flushes above this.
    pub(crate) log_bytes: u64,
}

/// The node.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) cluster: String,
    pub(crate) cluster_id: ClusterId,
    pub(crate) node: NodeId,
    pub(crate) dir: DataDir,
    pub(crate) secret: Option<Secret>,
    pub(crate) limits: Limits,
    pub(crate) log: Log,
    /// One for each worker: the log's sync thread made progress.
    pub(crate) synced: Vec<Arc<Notify>>,
    pub(crate) needed: Needed,
    pub(crate) flusher: Flusher,
    pub(crate) workers: Vec<mpsc::Sender<Message>>,
    pub(crate) topology: ArcSwapOption<Topology>,
    /// One announcement at a time.
    pub(crate) announcing: tokio::sync::Mutex<()>,
    disk_full: AtomicBool,
}

/// What [`Shared`] is made of.
pub(crate) struct Parts {
    pub(crate) name: String,
    pub(crate) cluster: String,
    pub(crate) dir: DataDir,
    pub(crate) secret: Option<Secret>,
    pub(crate) limits: Limits,
    pub(crate) log: Log,
    pub(crate) flusher: Flusher,
    pub(crate) workers: Vec<mpsc::Sender<Message>>,
    pub(crate) topology: Option<Topology>,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        let workers = parts.workers.len();
        Self {
            cluster_id: ClusterId::of_name(&parts.cluster),
            node: parts.dir.node(),
            name: parts.name,
            cluster: parts.cluster,
            dir: parts.dir,
            secret: parts.secret,
            limits: parts.limits,
            log: parts.log,
            synced: (0..workers).map(|_| Arc::new(Notify::new())).collect(),
            needed: Needed::new(workers),
            flusher: parts.flusher,
            workers: parts.workers,
            topology: ArcSwapOption::new(parts.topology.map(Arc::new)),
            announcing: tokio::sync::Mutex::new(()),
            disk_full: AtomicBool::new(false),
        }
    }

    /// The version of the topology this node was told.
    pub(crate) fn topology_version(&self) -> TopologyVersion {
        self.topology.load_full().map(|topology| topology.version()).unwrap_or_default()
    }

    /// The disk has less free space than its reserve, or has enough again.
    pub(crate) fn set_disk_full(&self, full: bool) {
        if self.disk_full.swap(full, Ordering::Relaxed) != full {
            if full {
                tracing::error!(dir = %self.dir.path().display(), "disk nearly full: writes are refused");
            } else {
                tracing::info!("enough disk space again: writes are taken");
            }
        }
    }

    /// Whether the disk has less free space than its reserve.
    pub(crate) fn is_disk_full(&self) -> bool {
        self.disk_full.load(Ordering::Relaxed)
    }

    /// Why the node takes no writes at the moment, if it does not.
    pub(crate) fn write_refusal(&self) -> Option<(FailureCode, String)> {
        if self.is_disk_full() {
            let reason = "the disk is nearly full: writes are refused until there is space";
            return Some((FailureCode::DiskFull, reason.to_owned()));
        }
        let cause = self.log.poisoned()?;
        let reason = format!("the log failed: {cause}; check the disk, then restart the node");
        Some((FailureCode::Stopped, reason))
    }
}

/// How far back each worker needs the log.
#[derive(Debug)]
pub(crate) struct Needed(Mutex<State>);

#[derive(Debug)]
struct State {
    workers: Vec<LogPosition>,
    released: u64,
}

impl Needed {
    fn new(workers: usize) -> Self {
        Self(Mutex::new(State { workers: vec![LogPosition::default(); workers], released: 0 }))
    }

    /// A worker needs nothing before `from`. If with that whole segments became useless: what to
    /// release.
    pub(crate) fn publish(&self, worker: usize, from: LogPosition) -> Option<LogPosition> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = state.workers.get_mut(worker) {
            *place = from;
        }
        let all = state.workers.iter().min().copied()?;
        if all.segment <= state.released {
            return None;
        }
        state.released = all.segment;
        Some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_released_as_far_as_no_worker_needs_it() {
        let needed = Needed::new(2);
        let at = |segment| LogPosition::new(segment, 4096);
        assert_eq!(needed.publish(0, at(5)), None, "the other worker said nothing yet");
        assert_eq!(needed.publish(1, at(3)), Some(at(3)));
        assert_eq!(needed.publish(1, at(3)), None, "nothing new");
        assert_eq!(needed.publish(1, at(9)), Some(at(5)));
    }
}
