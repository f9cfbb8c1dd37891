//! Reclaim of what expired, in slices.

use std::time::Duration;

use common::ids::{LogicGroup, ServerIndex};
use common::version::HLC_AHEAD_MS_MAX;

use crate::engine::Slice;
use crate::worker::core::Core;
use crate::worker::group::{Group, LaneData};
use crate::worker::slices::with_slice;

/// How long a slice of reclaim takes.
const SLICE_TIME: Duration = Duration::from_micros(100);

/// What a follower reclaims has expired for so long by the time of the leader that told it: more than
/// clocks that are followed may differ, and a heartbeat takes.
const CLOCK_MARGIN_MS: u64 = 2 * HLC_AHEAD_MS_MAX + 1_000;

impl Core {
    /// One slice of reclaim, which goes on with the group behind the one that the last slice ended in.
    /// Returns whether there may be more to do now. Tombstones take memory until they are flushed, so
    /// there is nothing to do while that is short or cannot be flushed.
    pub(crate) fn reclaim_slice(&mut self) -> bool {
        if self.shared.memory.is_tight() || self.shared.write_refusal().is_some() {
            return false;
        }
        let (now_ms, next) = (self.now_ms(), self.reclaim_next);
        let order = self.groups.range(next..).chain(self.groups.range(..next));
        // Most of the time none has.
        let has_work = |group: &Group| group.stopped.is_none() && group.store.has_reclaim(now_ms);
        let order = order.filter(|(_, group)| has_work(group)).map(|(id, _)| *id);
        let order: Vec<LogicGroup> = order.collect();
        if order.is_empty() {
            return false;
        }
        with_slice(SLICE_TIME, self.slice_steps, |slice| {
            for id in order {
                let Some(group) = self.groups.get_mut(&id) else { continue };
                group.reclaim(now_ms, slice);
                if slice.is_over() {
                    self.reclaim_next = LogicGroup(id.0.saturating_add(1));
                    return true;
                }
            }
            false
        })
    }
}

impl Group {
    fn reclaim(&mut self, now_ms: u64, slice: &mut Slice<'_>) {
        // A decision that is not known here yet may keep alive what looks expired.
        // The next leader's clock may be behind the one that told the time.
        let margin_ms = if self.servers() > 1 { CLOCK_MARGIN_MS } else { 0 };
        let safe = |lane: &LaneData| lane.safe_ms(now_ms).saturating_sub(margin_ms);
        let safe: Vec<u64> = self.lanes.iter().map(safe).collect();
        let safe_ms = |server: ServerIndex| {
            safe.get(usize::from(server.0)).map_or(0, |safe| now_ms.min(*safe))
        };
        if let Err(error) = self.store.reclaim(safe_ms, slice) {
            self.stop(&error.to_string());
        }
    }
}
