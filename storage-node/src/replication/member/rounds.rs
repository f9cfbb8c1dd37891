//! This server's rounds at the register: when one begins, and what its outcome means.

use common::ids::{LogicGroup, NodeId};

use super::group::GroupReplica;
use crate::replication::action::Action;
use crate::replication::message::{Message, RegisterMessage};
use crate::replication::register::Ballot;
use crate::replication::register::Change;
use crate::replication::register::proposer::{Goal, Outcome};

/// The longest pause after a take-over that leases kept from happening.
const LEASE_PAUSE_MS_MAX: u64 = 200;

impl GroupReplica {
    /// Begins a round if something is wanted, none is under way and the pause is over.
    pub(super) fn start_round(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        if self.proposer.is_busy() || now_ms < self.round_at_ms {
            return;
        }
        let Some(goal) = self.want(now_ms) else {
            self.round_at_ms = self.look_ms(now_ms);
            return;
        };
        if self.takes_without_asking(now_ms, &goal, actions) {
            return;
        }
        // Who wants to depart asks again if this round does not bring it about.
        self.departures = None;
        self.rounds += 1;
        self.round_at_ms = now_ms + self.pause_ms();
        self.proposer.start(now_ms, goal, actions);
    }

    /// Creates the group: the explicit first compare-and-set, repeated until the group exists.
    pub fn on_create(&mut self, change: Change) {
        self.creation = Some(change);
    }

    /// A voter answered.
    pub fn on_voter(
        &mut self,
        now_ms: u64,
        from: NodeId,
        (group, ballot): (LogicGroup, Ballot),
        step: RegisterMessage,
        actions: &mut Vec<Action>,
    ) {
        if group != self.start.group {
            return;
        }
        let leading: Vec<_> =
            self.leading().iter().map(|term| (term.lane.server, term.since)).collect();
        let mut sends = Vec::new();
        let outcomes = self.proposer.on_answer(now_ms, (from, ballot), step, &leading, &mut sends);
        for outcome in outcomes {
            self.on_outcome(now_ms, outcome, actions);
        }
        // A consent is sent after the lanes it is about were given up.
        actions.extend(sends);
    }

    pub(super) fn on_outcome(&mut self, now_ms: u64, outcome: Outcome, actions: &mut Vec<Action>) {
        self.round_at_ms = now_ms + self.pause_ms();
        match outcome {
            Outcome::Chosen { value, .. } => {
                self.read_wanted = false;
                if value.epoch > self.known() {
                    let others = value.servers.iter().filter(|m| m.node != self.node());
                    let tell =
                        |node| Action::Send(node, Message::TellRegister { value: value.clone() });
                    actions.extend(others.map(|member| tell(member.node)));
                    self.round_at_ms = now_ms;
                }
                self.on_register(now_ms, value, actions);
            }
            Outcome::Lost(terms) => {
                for (server, _) in terms {
                    if let Some(lane) = self.lanes.get_mut(usize::from(server.0)) {
                        lane.give_up(actions);
                    }
                }
            }
            Outcome::LeaseRuns(remaining_ms) => {
                // The mark comes next, if that is what is missing; otherwise the leases have to end.
                let first = !self.lease_runs;
                self.lease_runs = true;
                let pause_ms = if first { 0 } else { remaining_ms.min(LEASE_PAUSE_MS_MAX) };
                self.round_at_ms = now_ms + pause_ms;
            }
            Outcome::Unknown | Outcome::Failed => {}
        }
    }

    /// Mutant only: a since-epoch of this server's own making, without the register.
    fn takes_without_asking(
        &mut self,
        now_ms: u64,
        goal: &Goal,
        actions: &mut Vec<Action>,
    ) -> bool {
        let Goal::Change { change: change @ Change::TakeOver { .. }, .. } = goal else {
            return false;
        };
        if self.start.rules.lane_epoch_from_register {
            return false;
        }
        let forged = change.apply(self.register.as_ref());
        if let Ok(forged) = forged {
            self.on_register(now_ms, forged, actions);
        }
        true
    }
}
