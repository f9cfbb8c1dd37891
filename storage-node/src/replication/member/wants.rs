//! What this server wants changed in the register, decided anew at every step from what it sees.
//!
//! Only a server of R asks for lanes or takes others out, and none that may have forgotten
//! something (guarantees 4.1, 4.2). A returning server asks to be let in (guarantees 3).

use common::ids::{Epoch, NodeId, ServerIndex};

use super::group::{GroupReplica, HandOver};
use crate::replication::action::Action;
use crate::replication::lane::{LaneReplica, Role};
use crate::replication::message::Message;
use crate::replication::register::proposer::Goal;
use crate::replication::register::{Change, LaneLeader, Register};
use crate::replication::timing::{ASK_MS, DEPART_MS, HAND_BACK_PAUSE_MS, MARK_MS_MAX};

impl GroupReplica {
    pub(super) fn want(&self, now_ms: u64) -> Option<Goal> {
        if self.is_stranger() {
            return self.wants_read(now_ms).then_some(Goal::Read);
        }
        let Some(register) = &self.register else {
            return Some(match &self.creation {
                None => Goal::Read,
                Some(change) => {
                    let (expected, change) = (Epoch(0), change.clone());
                    Goal::Change { expected, change, consent: Vec::new() }
                }
            });
        };
        match self.wanted_change(now_ms, register) {
            Some((change, consent)) => {
                Some(Goal::Change { expected: register.epoch, change, consent })
            }
            None => self.wants_read(now_ms).then_some(Goal::Read),
        }
    }

    fn wants_read(&self, now_ms: u64) -> bool {
        self.read_wanted || self.behind_ms.is_some_and(|since_ms| now_ms >= since_ms + ASK_MS)
    }

    fn wanted_change(
        &self,
        now_ms: u64,
        register: &Register,
    ) -> Option<(Change, Vec<(ServerIndex, Epoch)>)> {
        let me = self.node();
        if !register.is_in_step(me) {
            let join = !self.departing && self.may_join(register);
            return join.then(|| (Change::Join { member: self.start.me }, Vec::new()));
        }
        if let Some(hand_over) = self.hand_overs.first().filter(|_| !self.departing) {
            let by = if register.is_in_step(hand_over.to) { hand_over.to } else { me };
            let change = Change::Lead { lane: hand_over.lane, by };
            return Some((change, vec![(hand_over.lane, hand_over.since)]));
        }
        // Its own lane again: R stays as it is, and the promise round finds who kept its log, or
        // takes the union of all when nobody did.
        let restarted = self.lanes.iter().find_map(|lane| lane.needs_new_term(register));
        if let Some(term) = restarted.filter(|_| !self.departing) {
            let lane = term.lane.server;
            return Some((Change::Lead { lane, by: me }, vec![(lane, term.since)]));
        }
        let amnesiac = self.lanes.iter().any(LaneReplica::is_amnesiac);
        if amnesiac && self.start.rules.amnesiac_waits {
            return None;
        }
        if register.leaving == Some(me) {
            let forgotten = now_ms >= self.learned_ms + MARK_MS_MAX;
            return forgotten.then(|| (Change::Raise, Vec::new()));
        }
        if let Some((silent, consent)) = &self.departures
            && register.is_in_step(*silent)
        {
            return Some((Change::TakeOver { silent: *silent, by: me }, consent.clone()));
        }
        let silent = register.leaving.or_else(|| self.silent(now_ms, register))?;
        Some((self.removal(register, silent), Vec::new()))
    }

    /// Takes a silent server out. Its lanes come here; if their leases run, it is marked first.
    fn removal(&self, register: &Register, silent: NodeId) -> Change {
        if !register.is_in_step(silent) {
            // A returning server that fell silent again: a newer epoch ends that it is needed.
            return Change::Raise;
        }
        if self.lease_runs && register.leaving.is_none() {
            return Change::Mark { leaving: silent };
        }
        Change::TakeOver { silent, by: self.node() }
    }

    /// A server that keeps this one waiting: a follower of its lanes, or a leader.
    fn silent(&self, now_ms: u64, register: &Register) -> Option<NodeId> {
        let found = |lane: &LaneReplica| match lane.role() {
            Role::Leading(leading) => leading.silent(now_ms),
            Role::Following(f) => {
                let missed = f.misses_leader(now_ms) && register.is_in_step(f.leader());
                missed.then_some(f.leader())
            }
            Role::Idle => None,
        };
        self.lanes.iter().find_map(found).filter(|node| *node != self.node())
    }

    /// Every lane's leader needs this server as of this very register, and lacks nothing of it.
    fn may_join(&self, register: &Register) -> bool {
        let confirmed = |(server, leader): (ServerIndex, LaneLeader)| {
            let following = self.lane(server).map(LaneReplica::role);
            matches!(following, Some(Role::Following(f))
                if f.since() == leader.since && f.confirmed() == Some(register.epoch))
        };
        register.has_server(self.start.me) && register.leaders().all(confirmed)
    }

    /// Begins and completes hand-overs: lanes back to their home server, or all of them at the end.
    pub(super) fn hand_over(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let Some(register) = &self.register else {
            return;
        };
        let me = self.node();
        let settled = now_ms >= self.learned_ms + HAND_BACK_PAUSE_MS && register.leaving.is_none();
        let other = register.in_step.iter().copied().find(|node| *node != me);
        let mut given_up = Vec::new();
        for lane in &mut self.lanes {
            let Some(term) = lane.leads() else {
                continue;
            };
            let home = register.home(term.lane.server).filter(|home| register.is_in_step(*home));
            let home = home.filter(|_| settled && lane.may_hold(now_ms));
            let to = if self.departing { other } else { home };
            let Some(to) = to.filter(|to| *to != me) else {
                continue;
            };
            lane.hold(now_ms, actions);
            if lane.may_give_up() {
                lane.give_up(actions);
                given_up.push(HandOver { lane: term.lane.server, since: term.since, to });
            }
        }
        for hand_over in given_up {
            self.hand_overs.retain(|known| known.lane != hand_over.lane);
            self.hand_overs.push(hand_over);
            self.hurry(now_ms);
        }
        if self.departing {
            self.depart(now_ms, actions);
        }
    }

    /// Leaving for good: once no lane is led any more, another server takes this one out of R.
    pub(super) fn depart(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let Some(register) = &self.register else {
            return;
        };
        let me = self.node();
        let others: Vec<_> = register.in_step.iter().copied().filter(|node| *node != me).collect();
        if self.is_stranger() || !register.is_in_step(me) || others.is_empty() {
            if !self.departed {
                self.departed = true;
                actions.push(Action::Departed(self.start.group));
            }
            return;
        }
        if now_ms < self.depart_at_ms || !self.leading().is_empty() {
            return;
        }
        self.depart_at_ms = now_ms + DEPART_MS;
        self.depart_turn += 1;
        let own = register.leaders().filter(|(_, leader)| leader.node == me);
        let consent = own.map(|(server, leader)| (server, leader.since)).collect();
        if let Some(to) = others.get(self.depart_turn % others.len()) {
            let (group, known) = (self.start.group, register.epoch);
            actions.push(Action::Send(*to, Message::Depart { group, known, consent }));
        }
    }
}
