//! When a record is official: all of R hold it, and it, or a later one, is of the leader's own
//! epoch (guarantees 3). Records of older streams become so with the first of this one.

use common::ids::Lsn;

use super::leading::{Leading, Phase};
use super::replica::{LaneReplica, Role};
use crate::replication::action::Action;
use crate::replication::position::Position;

impl Leading {
    /// How far all needed servers hold the stream: written, durable.
    fn acknowledged(&self, own_durable: Lsn) -> (Lsn, Lsn) {
        let mut lowest = (self.last, own_durable);
        for node in self.all_needed() {
            let acked = self.peers.get(&node).map(|peer| (peer.written, peer.durable));
            let (written, durable) = acked.unwrap_or_default();
            lowest = (lowest.0.min(written), lowest.1.min(durable));
        }
        lowest
    }

    fn advance(&mut self, own_durable: Lsn) -> bool {
        let before = self.official;
        let (written, durable) = self.acknowledged(own_durable);
        while let Some((lsn, needs_durable, _)) = self.pending.front() {
            if *lsn > written || (*needs_durable && *lsn > durable) {
                break;
            }
            self.official = *lsn;
            if *needs_durable {
                self.official_durable = *lsn;
            }
            self.pending.pop_front();
        }
        self.official > before
    }
}

impl LaneReplica {
    /// Looks whether more became official, and answers pulls.
    pub(super) fn advance(&mut self, now_ms: u64, actions: &mut Vec<Action>) {
        let (rules, own_durable) = (self.me.rules, self.durable_of(self.held.last().epoch));
        let Role::Leading(leading) = &mut self.role else {
            return;
        };
        leading.forget_silent(now_ms, rules);
        let own_durable = if rules.ack_after_fsync { own_durable } else { leading.last };
        let first = leading.official == Lsn(0);
        if leading.has_first() && leading.advance(own_durable) {
            self.official = Position { epoch: leading.since, lsn: leading.official };
            let (since, serves) = (leading.since, leading.phase == Phase::Serving);
            actions.push(Action::Official(self.id, self.official));
            if first && serves {
                actions.push(Action::Serves(self.term(since)));
            }
        }
        self.answer_pulls(now_ms, actions);
    }
}
