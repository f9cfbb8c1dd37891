//! The lane's state on this server and the inputs that do not depend on its role.

use common::ids::{Epoch, Lane, Lsn, NodeId};

use super::following::Following;
use super::leading::Leading;
use crate::replication::action::Action;
use crate::replication::message::{Message, Pull, Records, Term};
use crate::replication::position::{Head, Holdings, Position};
use crate::replication::register::Register;
use crate::replication::rules::Rules;
use crate::replication::timing::RECORDS_MAX;

/// What a process start finds of a lane. All of it is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaneStart {
    /// The log.
    pub held: Holdings,
    /// The last epoch that was promised.
    pub promised: Epoch,
    /// The log may lack records that were acknowledged: the machine lost power since this server
    /// was last known to have everything (stored boot id, guarantees 4.2).
    pub amnesiac: bool,
}

/// What this server is for the lane at the moment.
#[derive(Clone, Debug)]
pub enum Role {
    /// Nothing: it waits for the register, or for a new since-epoch.
    Idle,
    /// Its leader.
    Leading(Leading),
    /// It follows a leader.
    Following(Following),
}

/// Who this server is.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The node.
    pub node: NodeId,
    /// Its process start: greater with each.
    pub life: u64,
    /// The rules in force.
    pub rules: Rules,
}

/// See the module. Watermarks: `held >= durable`, `held >= official` (as far as known here).
#[derive(Clone, Debug)]
pub struct LaneReplica {
    pub(super) id: Lane,
    pub(super) me: Identity,
    pub(super) held: Holdings,
    pub(super) durable: Position,
    pub(super) promised: Epoch,
    pub(super) amnesiac: bool,
    pub(super) official: Position,
    /// The process is about to stop.
    pub(super) leaving: bool,
    pub(super) role: Role,
}

impl LaneReplica {
    /// A lane at the start of the process.
    #[must_use]
    pub fn start(id: Lane, me: Identity, start: LaneStart) -> Self {
        let LaneStart { held, promised, amnesiac } = start;
        let (durable, official) = (held.last(), Position::default());
        let (leaving, role) = (false, Role::Idle);
        Self { id, me, held, durable, promised, amnesiac, official, leaving, role }
    }

    /// The process is about to stop: its pulls say so from now on.
    pub fn on_depart(&mut self) {
        self.leaving = true;
    }

    /// It does not stop after all.
    pub fn on_stay(&mut self) {
        self.leaving = false;
    }

    /// The lane.
    #[must_use]
    pub fn id(&self) -> Lane {
        self.id
    }

    /// What is held.
    #[must_use]
    pub fn held(&self) -> &Holdings {
        &self.held
    }

    /// The last official record known here.
    #[must_use]
    pub fn official(&self) -> Position {
        self.official
    }

    /// Whether this server may have forgotten acknowledged records of the lane.
    #[must_use]
    pub fn is_amnesiac(&self) -> bool {
        self.amnesiac
    }

    /// The role.
    #[must_use]
    pub fn role(&self) -> &Role {
        &self.role
    }

    /// The term in which this server leads the lane and has not given it up.
    #[must_use]
    pub fn leads(&self) -> Option<Term> {
        match &self.role {
            Role::Leading(leading) if !leading.gave_up() => Some(self.term(leading.since)),
            _ => None,
        }
    }

    /// The term in which this server serves the lane, if its lease holds.
    #[must_use]
    pub fn serves(&self) -> Option<Term> {
        match &self.role {
            Role::Leading(leading) if leading.serves() => Some(self.term(leading.since)),
            _ => None,
        }
    }

    /// The register names this server as leader in a term that an earlier process start led, or
    /// that was given up: it needs a new since-epoch (guarantees 2.1).
    #[must_use]
    pub fn needs_new_term(&self, register: &Register) -> Option<Term> {
        let leader = register.leader(self.id.server)?;
        let own = leader.node == self.me.node && leader.since <= self.promised;
        (own && self.leads().is_none()).then(|| self.term(leader.since))
    }

    pub(super) fn term(&self, since: Epoch) -> Term {
        Term { lane: self.id, since }
    }

    /// A register was learned, newer than any before.
    pub fn on_register(&mut self, now_ms: u64, register: &Register, actions: &mut Vec<Action>) {
        let Some(leader) = register.leader(self.id.server) else {
            return self.end(Role::Idle, actions);
        };
        if leader.node != self.me.node {
            if leader.since < self.promised {
                return; // Somebody newer asked already; the register will follow.
            }
            if let Role::Following(following) = &mut self.role
                && following.since == leader.since
            {
                following.leader = leader.node;
                return self.pull(now_ms, actions);
            }
            return self.follow(now_ms, leader.node, leader.since, actions);
        }
        match &mut self.role {
            Role::Leading(leading) if leading.since == leader.since => {
                leading.on_register(now_ms, register);
                self.advance(now_ms, actions);
            }
            _ if self.promised < leader.since => {
                self.begin(now_ms, leader.since, register, actions)
            }
            _ => self.end(Role::Idle, actions),
        }
    }

    /// Another role; a leadership ends.
    pub(crate) fn end(&mut self, role: Role, actions: &mut Vec<Action>) {
        if let Role::Leading(leading) = &self.role {
            actions.push(Action::Ended(self.term(leading.since)));
        }
        self.role = role;
    }

    pub(super) fn promise(&mut self, since: Epoch, actions: &mut Vec<Action>) {
        if self.promised < since {
            self.promised = since;
            actions.push(Action::StorePromise(self.id, since));
        }
    }

    /// A new leader asks for the promise of its epoch.
    pub fn on_seal(&mut self, now_ms: u64, from: NodeId, term: Term, actions: &mut Vec<Action>) {
        if term.since < self.promised {
            return self.refuse(from, term, actions);
        }
        if term.since > self.promised {
            self.follow(now_ms, from, term.since, actions);
        }
        let (last, kept) = (self.held.last(), !self.amnesiac);
        actions.push(Action::Send(from, Message::Sealed { term, last, kept }));
    }

    fn refuse(&self, from: NodeId, term: Term, actions: &mut Vec<Action>) {
        let promised = self.promised;
        actions.push(Action::Send(from, Message::Superseded { term, promised }));
    }

    /// A new leader asks for records. Only who promised its epoch answers: nothing of an older
    /// epoch is added here any more.
    pub fn on_copy(&self, from: NodeId, term: Term, have: &[Position], actions: &mut Vec<Action>) {
        if self.promised != term.since || self.me.node == from {
            return;
        }
        let spans = Holdings::missing(&self.held.chain(), have, RECORDS_MAX);
        let answer = Records { term, life: 0, spans, official: Lsn(0), confirmed: None };
        actions.push(Action::Send(from, Message::Records(answer)));
    }

    /// A follower pulls. `known` is the register epoch known here.
    pub fn on_pull(
        &mut self,
        now_ms: u64,
        from: NodeId,
        pull: Pull,
        known: Epoch,
        actions: &mut Vec<Action>,
    ) {
        let term = pull.term;
        let lacks = self.lacking(&pull);
        if let Role::Leading(leading) = &mut self.role {
            let own = leading.since == term.since;
            if own || !self.me.rules.ack_own_epoch {
                leading.on_pull(now_ms, from, (pull, lacks), self.me.rules);
                self.advance(now_ms, actions);
            }
            if own {
                return;
            }
        }
        actions.push(Action::Send(from, Message::NotLeading { term, known }));
    }

    /// Records arrived. Their heads are in the order of the answer's spans.
    pub fn on_records(
        &mut self,
        now_ms: u64,
        from: NodeId,
        records: &Records,
        heads: &[Head],
        actions: &mut Vec<Action>,
    ) {
        let since = records.term.since;
        match &self.role {
            Role::Leading(leading)
                if leading.since == since && leading.copy_source() == Some(from) =>
            {
                self.take(heads, actions);
                self.on_copied(now_ms, actions);
            }
            Role::Following(f)
                if f.since == since
                    && f.leader == from
                    && records.life == self.me.life
                    && self.promised == since =>
            {
                self.on_pulled(now_ms, records, heads, actions);
            }
            _ => {}
        }
    }

    /// Appends what fits.
    pub(super) fn take(&mut self, heads: &[Head], actions: &mut Vec<Action>) {
        let known = |held: &Holdings, head: &Head| held.of(head.at.epoch) >= head.at.lsn;
        let first = heads.iter().take_while(|head| known(&self.held, head)).count();
        let fitting = heads.iter().skip(first).take_while(|head| self.held.take(head)).count();
        if fitting > 0 {
            actions.push(Action::Append(self.id, first..first + fitting));
        }
    }

    /// The log is durable up to this record, and all that was appended before it.
    pub fn on_durable(&mut self, now_ms: u64, at: Position, actions: &mut Vec<Action>) {
        if at <= self.durable {
            return;
        }
        self.durable = at;
        self.catch_up(actions);
        match &self.role {
            Role::Leading(_) => self.advance(now_ms, actions),
            Role::Following(f) if f.since == at.epoch => self.pull(now_ms, actions),
            Role::Following(_) | Role::Idle => {}
        }
    }

    /// Whether this server has everything again that it may have forgotten, durably: it answers for
    /// all of it alone as soon as the others are out of R.
    pub(super) fn catch_up(&mut self, actions: &mut Vec<Action>) {
        let has_all = match &self.role {
            Role::Leading(leading) => self.durable_of(leading.since) > Lsn(0),
            Role::Following(following) => {
                let durable = self.durable_of(following.since);
                following.official_first.is_some_and(|official| durable >= official)
            }
            Role::Idle => false,
        };
        if self.amnesiac && has_all {
            self.amnesiac = false;
            actions.push(Action::CaughtUp(self.id));
        }
    }

    /// How much of a stream is durable here.
    pub(super) fn durable_of(&self, since: Epoch) -> Lsn {
        if self.durable.epoch == since { self.durable.lsn } else { Lsn(0) }
    }

    /// Time passed.
    pub fn on_timeout(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        match &self.role {
            Role::Leading(_) => self.lead_on(now_ms, actions),
            Role::Following(_) => self.follow_on(now_ms, actions),
            Role::Idle => {}
        }
    }

    /// When [`Self::on_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        match &self.role {
            Role::Leading(leading) => Some(leading.poll_timeout()),
            Role::Following(following) => Some(following.poll_timeout()),
            Role::Idle => None,
        }
    }
}
