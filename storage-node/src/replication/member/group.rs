//! The group's state on this server and its lanes' shared inputs.
//!
//! The driver calls an `on_*` input, then carries out the actions; [`GroupReplica::on_timeout`] when
//! [`GroupReplica::poll_timeout`] says, which an input may change. Some milliseconds late is fine: a
//! time that passed says that something can be done, not that it is overdue.

use std::collections::BTreeMap;

use common::ids::{Epoch, Lane, LogicGroup, Lsn, NodeId, ServerIndex};

use crate::replication::action::Action;
use crate::replication::lane::replica::Identity;
use crate::replication::lane::{LaneReplica, LaneStart, Role};
use crate::replication::message::{Message, Term};
use crate::replication::position::{Head, Position};
use crate::replication::register::{Change, Member, Proposer, Register, VoterSet};
use crate::replication::rules::Rules;
use crate::replication::timing::{ASK_MS, LOOK_MS, ROUND_JITTER_MS, ROUND_PAUSE_MS};

/// What a process start knows of a group.
#[derive(Clone, Debug)]
pub struct GroupStart {
    /// The group.
    pub group: LogicGroup,
    /// This server with its data directory.
    pub me: Member,
    /// The process start: greater with each, stored before it is used.
    pub life: u64,
    /// The voters in force.
    pub voters: VoterSet,
    /// What the log holds of each lane.
    pub lanes: BTreeMap<ServerIndex, LaneStart>,
    /// The rules in force.
    pub rules: Rules,
}

/// A lane being handed over: given up here for this node in this term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HandOver {
    pub(super) lane: ServerIndex,
    pub(super) since: Epoch,
    pub(super) to: NodeId,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct GroupReplica {
    pub(super) start: GroupStart,
    pub(super) register: Option<Register>,
    pub(super) lanes: Vec<LaneReplica>,
    pub(super) proposer: Proposer,
    /// No round begins before this.
    pub(super) round_at_ms: u64,
    pub(super) rounds: u64,
    /// The register shall be read by a round: at the start, and when a voter refuses a lease.
    pub(super) read_wanted: bool,
    /// Since when another server is known to know a newer register than this one.
    pub(super) behind_ms: Option<u64>,
    /// Leases kept the last take-over from happening.
    pub(super) lease_runs: bool,
    /// When this register was learned.
    pub(super) learned_ms: u64,
    ask_at_ms: u64,
    ask_turn: usize,
    pub(super) hand_overs: Vec<HandOver>,
    pub(super) departing: bool,
    pub(super) departed: bool,
    /// When another server is asked, and which, to take this one out of R.
    pub(super) depart_at_ms: u64,
    pub(super) depart_turn: usize,
    /// A server that wants to be taken out of R, with the terms it gave up.
    pub(super) departures: Option<(NodeId, Vec<(ServerIndex, Epoch)>)>,
    pub(super) creation: Option<Change>,
}

impl GroupReplica {
    /// The group at the start of the process. It serves nothing before it has read the register.
    #[must_use]
    pub fn new(now_ms: u64, start: GroupStart) -> Self {
        let voters = start.voters.clone();
        let proposer = Proposer::new(start.group, start.me.node, start.life, voters);
        Self {
            start,
            register: None,
            lanes: Vec::new(),
            proposer,
            round_at_ms: now_ms,
            rounds: 0,
            read_wanted: true,
            behind_ms: None,
            lease_runs: false,
            learned_ms: now_ms,
            ask_at_ms: now_ms + ASK_MS,
            ask_turn: 0,
            hand_overs: Vec::new(),
            departing: false,
            departed: false,
            depart_at_ms: now_ms,
            depart_turn: 0,
            departures: None,
            creation: None,
        }
    }

    /// The register as known here.
    #[must_use]
    pub fn register(&self) -> Option<&Register> {
        self.register.as_ref()
    }

    /// A lane.
    #[must_use]
    pub fn lane(&self, server: ServerIndex) -> Option<&LaneReplica> {
        self.lanes.get(usize::from(server.0))
    }

    /// Whether the register does not list this server with this data directory: it is no member of
    /// the group, whatever its node id says (guarantees 2.2). It asks for nothing, promises nothing
    /// and acknowledges nothing.
    #[must_use]
    pub fn is_stranger(&self) -> bool {
        self.register.as_ref().is_some_and(|register| !self.is_server_of(register))
    }

    fn is_server_of(&self, register: &Register) -> bool {
        register.has_server(self.start.me) || !self.start.rules.store_is_member
    }

    /// A lane that something arrived for; none in a stranger.
    pub(super) fn lane_mut(&mut self, lane: Lane) -> Option<&mut LaneReplica> {
        if self.is_stranger() {
            return None;
        }
        self.lanes.get_mut(usize::from(lane.server.0))
    }

    /// All lanes.
    #[must_use]
    pub fn lanes(&self) -> &[LaneReplica] {
        &self.lanes
    }

    pub(super) fn node(&self) -> NodeId {
        self.start.me.node
    }

    /// The epoch of the register known here; 0 if none is.
    #[must_use]
    pub fn known(&self) -> Epoch {
        self.register.as_ref().map_or(Epoch(0), |register| register.epoch)
    }

    /// Terms in which this server leads lanes and has not given them up.
    #[must_use]
    pub fn leading(&self) -> Vec<Term> {
        self.lanes.iter().filter_map(LaneReplica::leads).collect()
    }

    /// A value of the register that was chosen; older ones change nothing (I18).
    pub fn on_register(&mut self, now_ms: u64, register: Register, actions: &mut Vec<Action>) {
        if register.group != self.start.group || register.epoch <= self.known() {
            return;
        }
        self.lease_runs = false;
        self.departures = None;
        self.behind_ms = None;
        self.learned_ms = now_ms;
        let me =
            Identity { node: self.start.me.node, life: self.start.life, rules: self.start.rules };
        self.hand_overs.retain(|h| register.leader(h.lane).is_some_and(|l| l.since == h.since));
        if self.is_server_of(&register) {
            for (server, _) in register.leaders().skip(self.lanes.len()) {
                let start = self.start.lanes.remove(&server).unwrap_or_default();
                self.lanes.push(LaneReplica::start(register.lane(server), me, start));
            }
            for lane in &mut self.lanes {
                lane.on_register(now_ms, &register, actions);
            }
        } else {
            self.lanes.iter_mut().for_each(|lane| lane.end(Role::Idle, actions));
        }
        self.register = Some(register.clone());
        actions.push(Action::NewRegister(register));
    }

    /// Asks a voter for a newer register, each time another one.
    pub(super) fn ask(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        self.ask_at_ms = now_ms + ASK_MS;
        let voters = &self.proposer.voters().voters;
        self.ask_turn = (self.ask_turn + 1) % voters.len().max(1);
        if let Some(voter) = voters.get(self.ask_turn) {
            let (group, known) = (self.start.group, self.known());
            actions.push(Action::Send(*voter, Message::AskRegister { group, known }));
        }
    }

    /// This process is about to stop: hand the lanes over, leave R, push [`Action::Departed`].
    pub fn on_depart(&mut self) {
        self.departing = true;
        self.lanes.iter_mut().for_each(LaneReplica::on_depart);
    }

    /// It does not leave after all: nobody else is in step any more. Lanes that were given up are led
    /// again in a new term.
    pub fn on_stay(&mut self) {
        (self.departing, self.departed) = (false, false);
        self.lanes.iter_mut().for_each(LaneReplica::on_stay);
    }

    /// Another server knows the register of this epoch. If nobody tells it in time it is read by a
    /// round: what told the voters and this server that it was chosen may be lost.
    pub(super) fn heard_of(&mut self, now_ms: u64, epoch: Epoch) {
        if epoch > self.known() {
            self.behind_ms.get_or_insert(now_ms);
        }
    }

    /// Something is wanted of the register now, and was not before.
    pub(super) fn hurry(&mut self, now_ms: u64) {
        if !self.proposer.is_busy() {
            self.round_at_ms = self.round_at_ms.min(now_ms);
        }
    }

    /// A newer voter set came into force: a round under way is dropped, the register is read again.
    pub fn set_voters(&mut self, now_ms: u64, set: VoterSet) {
        if self.proposer.set_voters(set) {
            self.read_wanted = true;
            (self.round_at_ms, self.ask_at_ms) = (now_ms, now_ms);
        }
    }

    /// Who was asked says that records which this server lacks have left its log. A follower waits
    /// to be seeded anew; a leader that asked for the best log hands the lane over to its owner.
    pub fn on_reseed(&mut self, term: Term, actions: &mut Vec<Action>) {
        let to = self.lane_mut(term.lane).and_then(|lane| lane.on_reseed(term, actions));
        if let Some(to) = to {
            let hand_over = HandOver { lane: term.lane.server, since: term.since, to };
            self.hand_overs.retain(|known| known.lane != hand_over.lane);
            self.hand_overs.push(hand_over);
        }
    }

    /// Records that `node` asked this leader for have left the log: nothing waits for it any more.
    pub fn on_gone(&mut self, term: Term, node: NodeId) {
        if let Some(lane) = self.lane_mut(term.lane) {
            lane.on_gone(term, node);
        }
    }

    /// The address of a node refuses connections: it is silent as soon as it was not heard for a
    /// short while (guarantees 3).
    pub fn on_refused_address(&mut self, now_ms: u64, node: NodeId) {
        self.lanes.iter_mut().for_each(|lane| lane.on_refused_address(now_ms, node));
    }

    /// Numbers records that the driver appended; see [`LaneReplica::append_run`].
    pub fn append_run(
        &mut self,
        now_ms: u64,
        lane: Lane,
        first: Lsn,
        durable: &[bool],
        actions: &mut Vec<Action>,
    ) -> bool {
        let lane = self.lane_mut(lane);
        lane.is_some_and(|lane| lane.append_run(now_ms, first, durable, actions))
    }

    /// Numbers a record that the driver appends; see [`LaneReplica::append`].
    pub fn append(
        &mut self,
        now_ms: u64,
        lane: Lane,
        needs_durable: bool,
        actions: &mut Vec<Action>,
    ) -> Option<Head> {
        self.lane_mut(lane)?.append(now_ms, needs_durable, actions)
    }

    /// The log is durable up to this record of a lane.
    pub fn on_durable(&mut self, now_ms: u64, lane: Lane, at: Position, actions: &mut Vec<Action>) {
        if let Some(lane) = self.lane_mut(lane) {
            lane.on_durable(now_ms, at, actions);
        }
    }

    /// A voter refused to renew a lease: perhaps there is a newer register.
    pub fn on_refused(&mut self, now_ms: u64, term: Term, actions: &mut Vec<Action>) {
        if self.leading().contains(&term) && now_ms >= self.learned_ms + ROUND_PAUSE_MS {
            self.read_wanted = true;
            self.ask(now_ms, actions);
        }
    }

    /// Time passed.
    pub fn on_timeout(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        for lane in &mut self.lanes {
            lane.on_timeout(now_ms, actions);
        }
        if now_ms >= self.ask_at_ms {
            self.ask(now_ms, actions);
        }
        self.hand_over(now_ms, actions);
        if let Some(outcome) = self.proposer.on_timeout(now_ms, actions) {
            self.on_outcome(now_ms, outcome, actions);
        }
        self.start_round(now_ms, actions);
    }

    /// When [`Self::on_timeout`] wants to be called; a time that passed means soon.
    #[must_use]
    pub fn poll_timeout(&self) -> u64 {
        let lanes = self.lanes.iter().filter_map(LaneReplica::poll_timeout);
        let round = self.proposer.poll_timeout().unwrap_or(self.round_at_ms);
        let leads = self.lanes.iter().any(|lane| lane.leads().is_some());
        let waits = self.departing && !self.departed && !leads;
        let depart = if waits { self.depart_at_ms } else { u64::MAX };
        lanes.chain([self.ask_at_ms, round, depart]).min().unwrap_or(self.ask_at_ms)
    }

    /// When to look next whether anything is wanted: the same for all groups of this node, so that
    /// an idle node wakes up once for all of them.
    pub(super) fn look_ms(&self, now_ms: u64) -> u64 {
        let phase_ms = u64::from(self.node().0) % LOOK_MS;
        now_ms + LOOK_MS - (now_ms + phase_ms) % LOOK_MS
    }

    /// A pause that differs between nodes and rounds, so that two askers part.
    pub(super) fn pause_ms(&self) -> u64 {
        let mixed = (u64::from(self.node().0) << 32 | self.rounds)
            .wrapping_add(self.start.life << 17)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ROUND_PAUSE_MS + (mixed >> 40) % ROUND_JITTER_MS
    }
}
