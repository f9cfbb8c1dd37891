//! The leader numbers records that the driver appends to its log.

use common::ids::Lsn;

use super::replica::{LaneReplica, Role};
use crate::replication::action::Action;
use crate::replication::position::{Head, Position};

impl LaneReplica {
    /// Numbers the next record, which the driver appends at once; `None` if nothing may be written.
    pub fn append(
        &mut self,
        now_ms: u64,
        needs_durable: bool,
        actions: &mut Vec<Action>,
    ) -> Option<Head> {
        let Role::Leading(leading) = &self.role else {
            return None;
        };
        let at = Position { epoch: leading.since, lsn: leading.last.next() };
        let numbered = self.append_run(now_ms, at.lsn, &[needs_durable], actions);
        numbered.then_some(Head { at, ends: None })
    }

    /// Numbers a run of records that the driver has already appended to its log; `durable` says of
    /// each whether it is official only once it is durable. Nothing is numbered, and the answer is
    /// false, if the lane does not serve or another number than `first` comes next.
    pub fn append_run(
        &mut self,
        now_ms: u64,
        first: Lsn,
        durable: &[bool],
        actions: &mut Vec<Action>,
    ) -> bool {
        let Role::Leading(leading) = &mut self.role else {
            return false;
        };
        let Ok(count) = u64::try_from(durable.len()) else {
            return false;
        };
        if !leading.serves() || first != leading.last.next() {
            return false;
        }
        let numbered = self.held.take_run(leading.since, first, count);
        assert!(numbered, "{}: the leader's records follow each other", self.id);
        for needs_durable in durable {
            leading.last = leading.last.next();
            leading.pending.push_back((leading.last, *needs_durable, now_ms));
        }
        self.advance(now_ms, actions);
        true
    }

    /// The last record held: in the leader the last one numbered.
    #[must_use]
    pub fn last(&self) -> Position {
        self.held.last()
    }

    /// How many of the configured servers, this leader included, hold a record of its stream:
    /// handed to the kernel, or `durable`. 0 if this server does not lead.
    #[must_use]
    pub fn acked_by(&self, lsn: Lsn, durable: bool) -> usize {
        let Role::Leading(leading) = &self.role else {
            return 0;
        };
        let own = if durable { self.durable_of(leading.since) } else { leading.last };
        let others = leading.acknowledgements().filter(|(node, ..)| leading.servers.contains(node));
        let holds = |(_, written, is_durable): &(_, Lsn, Lsn)| {
            lsn <= if durable { *is_durable } else { *written }
        };
        usize::from(lsn <= own) + others.filter(holds).count()
    }
}
