//! What differs between seeds: sizes, rates of faults, the promised `sync`.

use common::ids::{Lane, LogicGroup, NodeId, ServerIndex, StoreId};
use storage_node::replication::register::{Change, Member, VoterGeneration, VoterSet};
use storage_node::replication::rules::Rules;

use crate::rng::Rng;

/// Processes. The last one holds no group and becomes a voter only when another one is lost.
pub const NODES: usize = 4;
/// The node that is not a voter in the beginning.
pub const SPARE: usize = 3;
/// Kinds of faults.
pub const FAULTS: usize = 9;
/// Logic groups.
pub const GROUPS: usize = 2;
/// Counters.
pub const KEYS: usize = 8;
/// Clients.
pub const CLIENTS: usize = 4;

/// One run's parameters.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Configured servers of a group.
    pub rf: usize,
    /// `sync: always`; otherwise `everysec`.
    pub always: bool,
    /// Of 1000 messages so many are lost.
    pub loss: u64,
    /// Of 1000 messages so many come twice.
    pub twice: u64,
    /// Of 1000 messages so many are slow.
    pub slow: u64,
    /// Mean time between faults.
    pub fault_ms: u64,
    /// Relative weights of the faults: kill, power cut, pause, partition, planned stop, all killed
    /// or without power, a disk that does not sync, rotation of the log, a server or a disk lost for
    /// good.
    pub weights: [u64; FAULTS],
    /// The voters in the beginning: three, or one that holds no group.
    pub voters: Vec<usize>,
    /// After appends, pulls and records timers are called only when they are due.
    pub lazy: bool,
    /// How long a durable store of a promise or of a voter's slot takes at most, in microseconds.
    pub store_us: u64,
    /// Of 1000 increments so many ask for `acks: majority` or `acks: all`.
    pub strict: u64,
    /// Keys from this one on are written with `acks: 1`.
    pub acks_one_from: usize,
    /// The address of a process that is down refuses connections.
    pub refuses: bool,
    /// How long a sync takes at most.
    pub sync_ms: u64,
    /// How fast each node's clock runs: thousandths above real time.
    pub rates: [u64; NODES],
    /// The faults last so long.
    pub faults_ms: u64,
    /// The rules in force.
    pub rules: Rules,
}

impl Setup {
    /// The parameters of a seed.
    #[must_use]
    pub fn of_seed(rng: &mut Rng, rules: Rules) -> Self {
        let mut weights = [0; FAULTS];
        for weight in &mut weights {
            *weight = if rng.permille(600) { rng.range(1, 10) } else { 0 };
        }
        weights[5] /= 2;
        weights[7] = weights[7].min(3);
        weights[8] = if rng.permille(350) { 1 } else { 0 };
        let calm = rng.permille(400);
        let rf = if rng.permille(500) { 2 } else { 3 };
        let one_voter = rf == 2 && rng.permille(200);
        Self {
            rf,
            voters: if one_voter { vec![2] } else { vec![0, 1, 2] },
            lazy: rng.permille(600),
            store_us: if rng.permille(200) { 40_000 } else { 4_000 },
            strict: if rng.permille(400) { rng.range(50, 600) } else { 0 },
            acks_one_from: if rng.permille(300) { KEYS - 3 } else { KEYS },
            refuses: rng.permille(500),
            always: rng.permille(400),
            loss: if calm { 0 } else { rng.range(0, 40) },
            twice: if rng.permille(500) { rng.range(0, 60) } else { 0 },
            slow: if rng.permille(500) { rng.range(0, 60) } else { 0 },
            fault_ms: rng.range(300, 2_500),
            weights,
            sync_ms: if rng.permille(300) { rng.range(20, 200) } else { 8 },
            rates: std::array::from_fn(|_| rng.range(0, 95)),
            faults_ms: rng.range(6_000, 14_000),
            rules,
        }
    }

    /// The servers of a group: it begins with another node than the next one.
    #[must_use]
    pub fn servers(&self, group: usize) -> Vec<Member> {
        let start = group % self.rf;
        (0..self.rf).map(|index| member((start + index) % self.rf)).collect()
    }

    /// The first compare-and-set of a group.
    #[must_use]
    pub fn create(&self, group: usize) -> Change {
        Change::Create {
            group: group_id(group),
            generation: VoterGeneration(1),
            servers: self.servers(group),
        }
    }

    /// The lane of a key.
    #[must_use]
    pub fn lane_of(&self, key: usize) -> Lane {
        let server = u8::try_from(key / GROUPS % self.rf).unwrap_or(0);
        Lane { group: group_id(key % GROUPS), server: ServerIndex(server) }
    }
}

/// A group's id.
#[must_use]
pub fn group_id(group: usize) -> LogicGroup {
    LogicGroup(u16::try_from(group).unwrap_or(0))
}

/// A node's id.
#[must_use]
pub fn node_id(node: usize) -> NodeId {
    NodeId(u32::try_from(node).unwrap_or(0) + 1)
}

/// The node with this id.
#[must_use]
pub fn node_of(id: NodeId) -> usize {
    usize::try_from(id.0).unwrap_or(1).saturating_sub(1)
}

/// A node with its first data directory.
#[must_use]
pub fn member(node: usize) -> Member {
    let id = node_id(node);
    Member { node: id, store: StoreId(u128::from(id.0)) }
}

/// A set of voters.
#[must_use]
pub fn voter_set(generation: u32, voters: &[usize]) -> VoterSet {
    let voters = voters.iter().map(|node| node_id(*node)).collect();
    VoterSet { generation: VoterGeneration(generation), voters }
}
