//! What all threads of the node share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use common::failure::FailureCode;
use common::ids::{ClusterId, NodeId, StoreId, TopologyVersion};
use common::register::{Member, VoterSet};
use config::Topology;
use rt::handshake::NodeProcess;
use rt::secret::Secret;
use tokio::sync::{Notify, mpsc};

use crate::binlog::{Log, LogPosition};
use crate::catch_up::CatchUp;
use crate::control::Control;
use crate::data_dir::DataDir;
use crate::flusher::Flusher;
use crate::lane::Retention;
use crate::memory::MemoryBudget;
use crate::peers::Peers;
use crate::worker::{Life, Message, Partner};

/// A refusal that was not repeated for so long counts no more.
const REFUSAL_TIME: Duration = Duration::from_secs(10);

/// How the node's memory and log are divided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Most memory of all memtables together.
    pub(crate) memtable_bytes: usize,
    /// Page caches of all groups together.
    pub(crate) cache_bytes: usize,
    /// What is remembered of requests.
    pub(crate) dedup_bytes: usize,
    /// The log begins to push flushes above this.
    pub(crate) log_bytes: u64,
    /// A group's file that takes less of the disk keeps its free space.
    pub(crate) compact_bytes: u64,
    /// How long the log is kept for servers that are away.
    pub(crate) retention: Retention,
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
    pub(crate) memory: MemoryBudget,
    pub(crate) log: Log,
    /// One for each worker: the log's sync thread made progress.
    pub(crate) synced: Vec<Arc<Notify>>,
    pub(crate) needed: Needed,
    pub(crate) flusher: Flusher,
    pub(crate) catch_up: CatchUp,
    pub(crate) control: Control,
    /// This process start.
    pub(crate) life: Life,
    /// The voter set in force, as far as this node knows.
    pub(crate) voters: ArcSwap<VoterSet>,
    pub(crate) workers: Vec<mpsc::Sender<Message>>,
    pub(crate) topology: ArcSwapOption<Topology>,
    /// Who is connected.
    pub(crate) peers: Peers,
    /// One announcement at a time.
    pub(crate) announcing: tokio::sync::Mutex<()>,
    /// The data directories of servers, as the registers name them.
    members: Mutex<BTreeMap<NodeId, StoreId>>,
    disk_full: AtomicBool,
    /// Free space of the disk above its reserve, in bytes.
    disk_room: AtomicU64,
    /// Some group's file is being copied.
    compacting: AtomicBool,
    /// Why another node refused this one last, and when.
    refused: Mutex<Option<(String, Instant)>>,
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
    pub(crate) catch_up: CatchUp,
    pub(crate) control: Control,
    pub(crate) life: Life,
    pub(crate) voters: VoterSet,
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
            memory: MemoryBudget::new(parts.limits.memtable_bytes, workers),
            log: parts.log,
            synced: (0..workers).map(|_| Arc::new(Notify::new())).collect(),
            needed: Needed::new(workers),
            flusher: parts.flusher,
            catch_up: parts.catch_up,
            control: parts.control,
            life: parts.life,
            voters: ArcSwap::from_pointee(parts.voters),
            workers: parts.workers,
            topology: ArcSwapOption::new(parts.topology.map(Arc::new)),
            peers: Peers::default(),
            members: Mutex::default(),
            announcing: tokio::sync::Mutex::new(()),
            disk_full: AtomicBool::new(false),
            disk_room: AtomicU64::new(0),
            compacting: AtomicBool::new(false),
            refused: Mutex::default(),
        }
    }

    /// The version of the topology this node was told.
    pub(crate) fn topology_version(&self) -> TopologyVersion {
        self.topology.load_full().map(|topology| topology.version()).unwrap_or_default()
    }

    /// What this node tells others about its process, for the connections of a worker.
    pub(crate) fn process(&self, from_worker: u16) -> NodeProcess {
        let workers = u16::try_from(self.workers.len()).unwrap_or(u16::MAX);
        NodeProcess { store: self.dir.store(), workers, from_worker, life: self.life.life }
    }

    /// The nodes that this one has to do with: the servers of its groups and the voters, or for a
    /// voter everybody.
    pub(crate) fn partners(&self) -> Vec<(NodeId, Partner)> {
        let Some(topology) = self.topology.load_full() else { return Vec::new() };
        let voters = self.voters.load();
        let voters: &[NodeId] =
            if voters.voters.is_empty() { topology.voters() } else { &voters.voters };
        let is_voter = voters.contains(&self.node);
        let shares = |node: NodeId| {
            let both = |group: &config::PhysicalGroup| {
                group.servers.contains(&node) && group.servers.contains(&self.node)
            };
            topology.physical_groups().iter().any(both)
        };
        let wanted = |node: NodeId| is_voter || voters.contains(&node) || shares(node);
        let others = topology.servers().iter().filter(|s| s.id != self.node && wanted(s.id));
        let partner = |server: &config::Server| {
            let (name, address) = (server.name.clone(), server.address.clone());
            (server.id, Partner { name, address })
        };
        others.map(partner).collect()
    }

    /// The name of a node, as far as the topology knows it.
    pub(crate) fn name_of(&self, node: NodeId) -> String {
        let topology = self.topology.load();
        let server = topology.as_ref().and_then(|topology| topology.server_by_id(node));
        server.map_or_else(|| node.to_string(), |server| server.name.clone())
    }

    /// A register names these servers.
    pub(crate) fn note_members(&self, members: &[Member]) {
        let mut known = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(members.iter().map(|member| (member.node, member.store)));
    }

    /// Refuses a process that uses the id of a member, but not its data directory: it is another
    /// member (guarantees 2.2).
    ///
    /// # Errors
    /// What is wrong, for the log and for the peer.
    pub(crate) fn check_member(&self, node: NodeId, store: StoreId) -> Result<(), String> {
        let known = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(&node) {
            Some(member) if *member != store => Err(format!(
                "{} is a member of its groups with data directory {member}, not {store}: another \
                 process runs under its id, or its disk was replaced",
                self.name_of(node)
            )),
            _ => Ok(()),
        }
    }

    /// Another node refuses this one.
    pub(crate) fn note_refusal(&self, by: &str, reason: &str) {
        let refusal = (format!("{by} refuses this node: {reason}"), rt::clock::now());
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
    }

    /// Why another node refuses this one, if one does.
    pub(crate) fn refusal(&self) -> Option<String> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = refused.as_ref().filter(|(_, at)| at.elapsed() < REFUSAL_TIME);
        recent.map(|(reason, _)| reason.clone())
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

    /// The disk has so many bytes of free space above its reserve.
    pub(crate) fn set_disk_room(&self, bytes: u64) {
        self.disk_room.store(bytes, Ordering::Relaxed);
    }

    /// Free space of the disk above its reserve, in bytes; 0 before the first look.
    pub(crate) fn disk_room(&self) -> u64 {
        self.disk_room.load(Ordering::Relaxed)
    }

    /// Whether the caller may copy a group's file now: one is copied at a time.
    pub(crate) fn claim_compaction(&self) -> bool {
        !self.compacting.swap(true, Ordering::Relaxed)
    }

    /// The copy has ended.
    pub(crate) fn release_compaction(&self) {
        self.compacting.store(false, Ordering::Relaxed);
    }

    /// Why the node takes no writes of clients at the moment, if it does not.
    pub(crate) fn write_refusal(&self) -> Option<(FailureCode, String)> {
        let late = || {
            let reason = "memory is full: the disk does not keep up; try again";
            self.memory.is_full_for_long().then(|| (FailureCode::Busy, reason.to_owned()))
        };
        self.record_refusal().or_else(late)
    }

    /// Why the node takes no records at the moment, also none of leaders, if it does not.
    pub(crate) fn record_refusal(&self) -> Option<(FailureCode, String)> {
        if self.is_disk_full() {
            let reason = "the disk is nearly full: writes are refused until there is space";
            return Some((FailureCode::DiskFull, reason.to_owned()));
        }
        if self.memory.is_stuck() {
            let reason = "memory is full of writes that no flush can put into the files, see the log \
                          of the node: writes are refused until one can";
            return Some((FailureCode::DiskFull, reason.to_owned()));
        }
        if let Some(cause) = self.control.failed() {
            let reason = format!("the control file failed: {cause}");
            return Some((FailureCode::Stopped, reason));
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
