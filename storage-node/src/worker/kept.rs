//! What of the log servers in step may still need from the lanes that are led here.
//!
//! A record is official when the servers in step have handed it to their kernels. A power cut takes
//! from such a server what it had not made durable, and it fetches that again from the lanes' leaders.
//! So a leader keeps its log from the first record that a server in step has not said to be durable.

use common::ids::{Lsn, NodeId};

use crate::binlog::LogPosition;
use crate::replication::lane::Role;
use crate::replication::position::Position;
use crate::worker::group::{Group, LaneData};

impl Group {
    /// Where in the log, or before which place in it, the first record stands that some server in step
    /// may lose: of the lanes that `me` leads. `first` is where the log begins.
    pub(super) fn not_durable_elsewhere(
        &self,
        me: NodeId,
        first: LogPosition,
    ) -> Option<LogPosition> {
        let led = self.lanes.iter().filter(|lane| lane.lead.is_some());
        led.filter_map(|lane| self.not_durable_in(lane, me, first)).min()
    }

    fn not_durable_in(
        &self,
        lane: &LaneData,
        me: NodeId,
        first: LogPosition,
    ) -> Option<LogPosition> {
        let register = self.replica.register()?;
        let lead = lane.lead.as_ref()?;
        let Role::Leading(leading) = self.lane_replica(lane.id.server)?.role() else { return None };
        let said = |node: NodeId| {
            let mut all = leading.acknowledgements();
            all.find(|(from, ..)| *from == node).map_or(Lsn(0), |(_, _, durable)| durable)
        };
        let others = register.in_step.iter().filter(|node| **node != me);
        let durable = others.map(|node| said(*node)).min()?;
        if durable == Lsn(0) {
            // Nor does anybody know how much of older streams it has.
            return Some(first);
        }
        if durable >= lead.appended {
            return None;
        }
        let next = Position { epoch: lead.term.since, lsn: durable.next() };
        Some(lane.index.find(next).map_or(first, |(_, at)| at))
    }
}
