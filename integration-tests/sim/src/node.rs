//! A simulated node: its disk, and the process that runs the machines while it is up.

use std::collections::{BTreeMap, HashMap, VecDeque};

use common::ids::{Epoch, Lane, LogicGroup, Lsn, StoreId};
use storage_node::replication::action::Action;
use storage_node::replication::lane::LaneStart;
use storage_node::replication::lease::LeaseHolder;
use storage_node::replication::member::{GroupReplica, GroupStart};
use storage_node::replication::message::{Message, Term};
use storage_node::replication::position::Position;
use storage_node::replication::register::voter::Slot;
use storage_node::replication::register::{Member, Register, Voter, VoterGeneration, VoterSet};

use crate::client::Request;
use crate::log::{Incr, LaneLog, Rec};
use crate::setup::{self, GROUPS, KEYS, Setup};

/// What survives a process.
#[derive(Debug, Default)]
pub struct Disk {
    /// The data directory's id.
    pub store: StoreId,
    /// The greatest voter set the node was told of.
    pub set: VoterSet,
    /// The generation its voter was admitted to.
    pub admitted: Option<VoterGeneration>,
    /// The voter's registers.
    pub slots: BTreeMap<LogicGroup, Slot>,
    /// Registers that the node learned.
    pub registers: BTreeMap<LogicGroup, Register>,
    /// Promised epochs.
    pub promises: BTreeMap<Lane, Epoch>,
    /// Logs.
    pub logs: BTreeMap<Lane, LaneLog>,
    /// Lanes that lost power and have not caught up since.
    pub forgot: BTreeMap<Lane, bool>,
}

/// Who waits for a record.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// The record's place.
    pub place: usize,
    /// The client's request.
    pub request: Request,
    /// Its answer.
    pub op: Incr,
}

/// A leader's data: what it evaluates on, and who waits.
#[derive(Debug, Default)]
pub struct LeadState {
    /// The records that count.
    pub flat: Vec<Rec>,
    /// Records before the leader's own stream.
    pub base: usize,
    /// Number of the stream's first record.
    pub first: Lsn,
    /// So many of them are official.
    pub official: usize,
    /// So many of them the checker has seen as official.
    pub checked: usize,
    /// Values with everything pending.
    pub counts: [u64; KEYS],
    /// Values with everything official.
    pub official_counts: [u64; KEYS],
    /// Requests in the log: their place and their answer.
    pub done: HashMap<u64, (usize, u64)>,
    /// Who waits.
    pub waiting: Vec<Waiting>,
}

impl LeadState {
    /// Adds a record that was appended.
    pub fn push(&mut self, rec: Rec) {
        if let Some(op) = rec.op {
            self.counts[op.key] += 1;
            self.done.insert(op.request, (self.flat.len(), op.answer));
        }
        self.flat.push(rec);
    }

    /// Records are official up to this number of the stream.
    pub fn advance(&mut self, lsn: Lsn) {
        let count = self.base + usize::try_from(lsn.0 + 1 - self.first.0).unwrap_or(0);
        while self.official < count {
            if let Some(op) = self.flat[self.official].op {
                self.official_counts[op.key] += 1;
            }
            self.official += 1;
        }
    }
}

/// Whose inputs wait while something of it is being made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// The voter.
    Voter,
    /// A group.
    Group(usize),
}

/// What arrives for a unit.
#[derive(Debug)]
pub enum Input {
    /// A message with its records.
    Peer(usize, Message, Vec<Rec>),
    /// Records that this node asked for have left the log.
    Gone(Term),
    /// A client's request.
    Request(Request),
    /// The log is durable up to there.
    Durable(Lane, Position),
}

/// A unit that waits for its disk.
#[derive(Debug, Default)]
pub struct Busy {
    /// What is being stored, and what comes after it, with the records of the input.
    pub rest: VecDeque<Action>,
    /// The records of the input.
    pub recs: Vec<Rec>,
    /// What arrived meanwhile.
    pub inputs: VecDeque<Input>,
}

/// The running process.
#[derive(Debug)]
pub struct Process {
    /// Its voter.
    pub voter: Voter,
    /// Its leases.
    pub leases: LeaseHolder,
    /// Its groups; empty on a node that is only a voter.
    pub groups: Vec<GroupReplica>,
    /// Data of the lanes it leads.
    pub leads: BTreeMap<Lane, LeadState>,
    /// Units that wait for the disk.
    pub busy: BTreeMap<Unit, Busy>,
    /// It was asked to stop.
    pub departing: bool,
}

/// A node.
#[derive(Debug)]
pub struct Node {
    /// Its place.
    pub index: usize,
    /// What survives.
    pub disk: Disk,
    /// The process, while it is up.
    pub process: Option<Process>,
    /// Number of the process start, also over data directories.
    pub life: u64,
    /// It is stopped until then.
    pub paused_until_us: u64,
    /// Its disk syncs nothing until then.
    pub stuck_until_us: u64,
    /// The wake-up that is planned.
    pub wake_us: u64,
    /// A sync is planned for then.
    pub sync_us: u64,
    /// It never starts again.
    pub gone: bool,
    /// Its first disk is gone.
    pub blank: bool,
    rate: u64,
    offset_us: u64,
}

impl Node {
    /// A node that is down, with its first disk.
    #[must_use]
    pub fn new(index: usize, setup: &Setup) -> Self {
        let set = setup::voter_set(1, &setup.voters);
        let votes = setup.voters.contains(&index);
        let disk = Disk {
            store: setup::member(index).store,
            admitted: votes.then_some(set.generation),
            set,
            ..Disk::default()
        };
        Self {
            index,
            disk,
            process: None,
            life: 0,
            paused_until_us: 0,
            stuck_until_us: 0,
            wake_us: u64::MAX,
            sync_us: u64::MAX,
            gone: false,
            blank: false,
            rate: setup.rates[index],
            offset_us: 7_000_000 * u64::from(setup::node_id(index).0),
        }
    }

    /// The disk was replaced: the node comes back as a stranger.
    pub fn replace_disk(&mut self) {
        let store = StoreId(self.disk.store.0 + 100);
        self.disk = Disk { store, set: self.disk.set.clone(), ..Disk::default() };
        self.blank = true;
    }

    /// The node's own time.
    #[must_use]
    pub fn local_ms(&self, now_us: u64) -> u64 {
        (now_us * (1_000 + self.rate) / 1_000 + self.offset_us) / 1_000
    }

    /// The real time at which the node's clock shows `local_ms`.
    #[must_use]
    pub fn real_us(&self, local_ms: u64) -> u64 {
        let local_us = local_ms.min(u64::MAX / 2_000_000) * 1_000;
        (local_us.saturating_sub(self.offset_us)) * 1_000 / (1_000 + self.rate) + 999
    }

    /// Starts the process.
    pub fn start(&mut self, now_us: u64, setup: &Setup) {
        self.life += 1;
        let now_ms = self.local_ms(now_us);
        let (admitted, slots) = (self.disk.admitted, self.disk.slots.clone());
        let voter = Voter::start(now_ms, admitted, slots, setup.rules);
        let leases = LeaseHolder::new(self.disk.set.voters.clone());
        let serves = self.index < setup.rf;
        let groups = (0..GROUPS).filter(|_| serves).map(|group| {
            let start = GroupStart {
                group: setup::group_id(group),
                me: Member { store: self.disk.store, ..setup::member(self.index) },
                life: self.life,
                voters: self.disk.set.clone(),
                lanes: self.lanes(setup::group_id(group)),
                rules: setup.rules,
            };
            GroupReplica::new(now_ms, start)
        });
        let groups = groups.collect();
        let (leads, busy) = (BTreeMap::new(), BTreeMap::new());
        self.process = Some(Process { voter, leases, groups, leads, busy, departing: false });
    }

    fn lanes(&self, group: LogicGroup) -> BTreeMap<common::ids::ServerIndex, LaneStart> {
        let mut lanes: BTreeMap<_, LaneStart> = BTreeMap::new();
        for (lane, promised) in self.disk.promises.iter().filter(|(l, _)| l.group == group) {
            lanes.entry(lane.server).or_default().promised = *promised;
        }
        for (lane, log) in self.disk.logs.iter().filter(|(lane, _)| lane.group == group) {
            lanes.entry(lane.server).or_default().held = log.holdings();
        }
        for (lane, forgot) in self.disk.forgot.iter().filter(|(lane, _)| lane.group == group) {
            lanes.entry(lane.server).or_default().amnesiac = *forgot;
        }
        lanes
    }

    /// Whether the node answers at this moment.
    #[must_use]
    pub fn runs(&self, now_us: u64) -> bool {
        self.process.is_some() && self.paused_until_us <= now_us
    }

    /// Whether a unit waits for the disk.
    #[must_use]
    pub fn is_busy(&self, unit: Unit) -> bool {
        self.process.as_ref().is_some_and(|process| process.busy.contains_key(&unit))
    }

    /// The replica of a group.
    #[must_use]
    pub fn group(&self, group: LogicGroup) -> Option<&GroupReplica> {
        self.process.as_ref()?.groups.get(usize::from(group.0))
    }

    /// Whether the server can be in step in a group once everything works again: it was not lost,
    /// and no leader's log lacks what it needs.
    #[must_use]
    pub fn can_return(&self, group: LogicGroup) -> bool {
        let lanes = self.group(group).map(GroupReplica::lanes).unwrap_or_default();
        !self.gone && !self.blank && !lanes.iter().any(|lane| lane.needs_reseed())
    }
}
