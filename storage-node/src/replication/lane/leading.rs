//! The leader of a lane, from the promise round to the hand-over (guarantees 4.2, 4.4).

use std::collections::{BTreeMap, VecDeque};

use common::ids::{Epoch, Lsn, NodeId};

use super::pulls::Peer;
use super::replica::{LaneReplica, Role};
use crate::replication::action::Action;
use crate::replication::message::{Message, Term};
use crate::replication::position::{Head, Position};
use crate::replication::register::Register;
use crate::replication::timing::{HEARTBEAT_MS, HOLD_MS, HOLD_PAUSE_MS, REPEAT_MS, SEAL_WAIT_MS};

/// How far a leader is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Asks R to promise its epoch: last record of each, and whether it kept its log.
    Sealing(BTreeMap<NodeId, (Position, bool)>),
    /// Fetches what it lacks of the best log, up to this record.
    Copying(NodeId, Position),
    /// The first record of its stream is written.
    Serving,
    /// New requests wait for a hand-over, until this time at most.
    Holding(u64),
    /// The lease is given up; only a new since-epoch brings the lane back.
    GaveUp,
}

/// A leader's state in one term.
#[derive(Clone, Debug)]
pub struct Leading {
    pub(super) since: Epoch,
    pub(super) phase: Phase,
    /// R, as of the register epoch `view`, without this server.
    pub(super) needed: Vec<NodeId>,
    /// Returning servers that are needed as of `view` besides.
    pub(super) extra: Vec<NodeId>,
    /// All configured servers.
    pub(super) servers: Vec<NodeId>,
    pub(super) view: Epoch,
    pub(super) peers: BTreeMap<NodeId, Peer>,
    /// Records that are not official: number, whether it has to be durable, when it was written.
    pub(super) pending: VecDeque<(Lsn, bool, u64)>,
    pub(super) last: Lsn,
    pub(super) official: Lsn,
    /// The last official record that had to be durable for it.
    pub(super) official_durable: Lsn,
    pub(super) began_ms: u64,
    pub(super) again_ms: u64,
    /// No hand-over begins before this, since one did not come about.
    hold_at_ms: u64,
}

impl Leading {
    fn new(now_ms: u64, since: Epoch) -> Self {
        Self {
            since,
            phase: Phase::Sealing(BTreeMap::new()),
            needed: Vec::new(),
            extra: Vec::new(),
            servers: Vec::new(),
            view: Epoch(0),
            peers: BTreeMap::new(),
            pending: VecDeque::new(),
            last: Lsn(0),
            official: Lsn(0),
            official_durable: Lsn(0),
            began_ms: now_ms,
            again_ms: now_ms + REPEAT_MS,
            hold_at_ms: 0,
        }
    }

    /// How far it is.
    #[must_use]
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Whether requests are answered, as far as the lease allows.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.phase == Phase::Serving && self.official > Lsn(0)
    }

    pub(super) fn gave_up(&self) -> bool {
        self.phase == Phase::GaveUp
    }

    /// Whom it fetches the best log from.
    pub(super) fn copy_source(&self) -> Option<NodeId> {
        match self.phase {
            Phase::Copying(from, _) => Some(from),
            _ => None,
        }
    }

    pub(super) fn has_first(&self) -> bool {
        self.last > Lsn(0)
    }

    /// When a parked pull is answered in any case.
    fn answer_at_ms(&self) -> u64 {
        let parked = self.peers.values().filter_map(Peer::parked_ms).min();
        parked.map_or(u64::MAX, |parked_ms| parked_ms + HEARTBEAT_MS)
    }

    pub(super) fn poll_timeout(&self) -> u64 {
        match self.phase {
            Phase::Sealing(_) => self.again_ms.min(self.began_ms + SEAL_WAIT_MS),
            Phase::Copying(..) => self.again_ms,
            Phase::Holding(_) if self.official == self.last => 0,
            Phase::Holding(until_ms) => self.answer_at_ms().min(until_ms),
            Phase::Serving | Phase::GaveUp => self.answer_at_ms(),
        }
    }
}

impl LaneReplica {
    /// The register names this server as leader since `since`: promise that epoch, durably first,
    /// and ask R for the same.
    pub(super) fn begin(
        &mut self,
        now_ms: u64,
        since: Epoch,
        register: &Register,
        actions: &mut Vec<Action>,
    ) {
        let mut leading = Leading::new(now_ms, since);
        leading.servers = register.servers.iter().map(|member| member.node).collect();
        leading.servers.retain(|node| *node != self.me.node);
        self.end(Role::Leading(leading), actions);
        if self.me.rules.self_seal {
            self.promise(since, actions);
        }
        actions.push(Action::Leads(self.term(since)));
        let own = (self.held.last(), !self.amnesiac);
        if let Role::Leading(leading) = &mut self.role {
            leading.on_register(now_ms, register);
            leading.answer(self.me.node, own);
        }
        self.ask_promises(actions);
        self.choose(now_ms, actions);
    }

    fn ask_promises(&self, actions: &mut Vec<Action>) {
        if let Role::Leading(Leading { phase: Phase::Sealing(answers), needed, since, .. }) =
            &self.role
        {
            let missing = needed.iter().filter(|node| !answers.contains_key(node));
            let seal = |node: &NodeId| Action::Send(*node, Message::Seal(self.term(*since)));
            actions.extend(missing.map(seal));
        }
    }

    /// A server of R promised.
    pub fn on_sealed(
        &mut self,
        now_ms: u64,
        from: NodeId,
        (term, last, kept): (Term, Position, bool),
        actions: &mut Vec<Action>,
    ) {
        if let Role::Leading(leading) = &mut self.role
            && leading.since == term.since
            && leading.needed.contains(&from)
        {
            leading.heard(now_ms, from);
            leading.answer(from, (last, kept));
            self.choose(now_ms, actions);
        }
    }

    /// Somebody promised a newer epoch: this server leads no more (guarantees 4.3).
    pub fn on_superseded(&mut self, term: Term, promised: Epoch, actions: &mut Vec<Action>) {
        if let Role::Leading(leading) = &self.role
            && leading.since == term.since
            && promised > term.since
        {
            self.end(Role::Idle, actions);
        }
    }

    /// Takes the best log once all of R promised, or, after a short wait, one that kept its log.
    fn choose(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        let Phase::Sealing(answers) = &leading.phase else {
            return;
        };
        let all = leading.needed.iter().all(|node| answers.contains_key(node));
        let waited = now_ms >= leading.began_ms + SEAL_WAIT_MS;
        if !all && !waited && self.me.rules.seal {
            return;
        }
        let by_epoch = self.me.rules.cut_by_epoch;
        let kept = answers.iter().filter(|(_, (_, kept))| *kept || !self.me.rules.amnesiac_waits);
        let rank =
            |last: &Position| if by_epoch { *last } else { Position { epoch: Epoch(0), ..*last } };
        // When all of R forgot, the union of their logs is the longest: each is a prefix of it.
        let best = kept
            .max_by_key(|(_, (last, _))| rank(last))
            .or_else(|| answers.iter().max_by_key(|(_, (last, _))| rank(last)).filter(|_| all));
        let Some((&node, &(last, _))) = best else {
            return;
        };
        let ahead = if by_epoch { self.held.last() < last } else { self.held.last() != last };
        if node == self.me.node || !ahead {
            return self.write_first(now_ms, actions);
        }
        leading.phase = Phase::Copying(node, last);
        leading.again_ms = now_ms + REPEAT_MS;
        self.ask_copy(actions);
    }

    fn ask_copy(&self, actions: &mut Vec<Action>) {
        if let Role::Leading(Leading { phase: Phase::Copying(from, _), since, .. }) = &self.role {
            let copy = Message::Copy { term: self.term(*since), have: self.held.vector() };
            actions.push(Action::Send(*from, copy));
        }
    }

    /// Records of the best log arrived.
    pub(super) fn on_copied(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let Role::Leading(Leading { phase: Phase::Copying(_, upto), .. }) = &self.role else {
            return;
        };
        if self.held.last() >= *upto {
            self.write_first(now_ms, actions);
        } else {
            self.ask_copy(actions);
        }
    }

    /// Writes the first record of the stream: where all older streams end (guarantees 2.5). It has
    /// to be durable whatever the namespaces ask, since records before it become official with it.
    fn write_first(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        let since = leading.since;
        let lsn = self.held.of(since).next();
        let mut ends = self.held.chain();
        ends.retain(|end| end.epoch < since);
        let head = Head { at: Position { epoch: since, lsn }, ends: Some(ends) };
        assert!(self.held.take(&head), "{}: a stream begins once, on what is held", self.id);
        (leading.phase, leading.last) = (Phase::Serving, lsn);
        leading.pending.push_back((lsn, true, now_ms));
        actions.push(Action::AppendFirst(self.id, head));
        let void = self.held.void();
        if !void.is_empty() {
            actions.push(Action::Void(self.id, void));
        }
        self.advance(now_ms, actions);
    }

    /// Begins a hand-over: requests wait until R holds everything, or [`HOLD_MS`] have passed.
    pub fn hold(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let rules = self.me.rules;
        if let Role::Leading(leading) = &mut self.role
            && leading.serves()
            && rules.handover_ends_old
        {
            leading.phase = Phase::Holding(now_ms + HOLD_MS);
            actions.push(Action::Holds(self.term(self.promised)));
        }
    }

    /// Whether a hand-over may begin, or is under way.
    pub(crate) fn may_hold(&self, now_ms: u64) -> bool {
        matches!(&self.role, Role::Leading(leading) if now_ms >= leading.hold_at_ms)
    }

    /// Whether the lane is held and everything of it is official.
    #[must_use]
    pub fn may_give_up(&self) -> bool {
        match &self.role {
            Role::Leading(l) => {
                let held = matches!(l.phase, Phase::Holding(_)) || !self.me.rules.handover_ends_old;
                held && l.official == l.last && l.has_first()
            }
            _ => false,
        }
    }

    /// Stops serving for good in this term: what it consents to cannot be taken back.
    pub fn give_up(&mut self, actions: &mut Vec<Action>) {
        if let Role::Leading(leading) = &mut self.role
            && self.me.rules.handover_ends_old
        {
            leading.phase = Phase::GaveUp;
            actions.push(Action::Ended(Term { lane: self.id, since: leading.since }));
        }
    }

    pub(super) fn lead_on(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        let repeat = now_ms >= leading.again_ms;
        if repeat {
            leading.again_ms = now_ms + REPEAT_MS;
        }
        match &leading.phase {
            Phase::Sealing(_) => {
                if repeat {
                    self.ask_promises(actions);
                }
                self.choose(now_ms, actions);
            }
            Phase::Copying(..) if repeat => {
                // The source may be gone or may have lost what it showed: ask everybody again.
                let own = (self.held.last(), !self.amnesiac);
                leading.phase = Phase::Sealing(BTreeMap::from([(self.me.node, own)]));
                leading.began_ms = now_ms;
                self.ask_promises(actions);
            }
            Phase::Holding(until_ms) if now_ms >= *until_ms => {
                (leading.phase, leading.hold_at_ms) = (Phase::Serving, now_ms + HOLD_PAUSE_MS);
                actions.push(Action::Serves(self.term(self.promised)));
            }
            _ => {}
        }
        self.advance(now_ms, actions);
    }
}
