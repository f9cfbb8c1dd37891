//! Reclaim of what expired, in slices.

use std::time::Duration;

use common::ids::ServerIndex;
use common::version::HLC_AHEAD_MS_MAX;

use crate::engine::Slice;
use crate::worker::core::Core;
use crate::worker::group::{Group, LaneData};
use crate::worker::slices::with_slice;

/// How long a slice of reclaim takes.
pub const SLICE_TIME: Duration = Duration::from_micros(100);

/// What a follower reclaims has expired for so long by the time of the leader that told it: more than
/// clocks that are followed may differ, and a heartbeat takes.
const CLOCK_MARGIN_MS: u64 = 2 * HLC_AHEAD_MS_MAX + 1_000;

impl Core {
    /// Once a tick: which groups have something to reclaim. Most of the time none has.
    pub(crate) fn look_for_reclaim(&mut self) {
        let now_ms = self.now_ms();
        let waits = |group: &&mut Group| !group.reclaims && group.store.has_reclaim(now_ms);
        for group in self.groups.values_mut().filter(waits) {
            group.reclaims = true;
            self.reclaims.push_back(group.id);
        }
    }

    /// One slice of reclaim; groups take turns. Returns whether there may be more to do now. Tombstones
    /// take memory until they are flushed, so there is nothing to do while that is short or cannot be
    /// flushed.
    pub(crate) fn reclaim_slice(&mut self) -> bool {
        let memory = &self.shared.memory;
        if self.reclaims.is_empty() || memory.is_tight() || self.shared.write_refusal().is_some() {
            return false;
        }
        let now_ms = self.now_ms();
        with_slice(SLICE_TIME, self.slice_steps, |slice| {
            while let Some(id) = self.reclaims.pop_front() {
                let Some(group) = self.groups.get_mut(&id) else { continue };
                group.reclaims = false;
                if group.stopped.is_none() {
                    group.reclaim(now_ms, slice);
                }
                if slice.is_over() {
                    group.reclaims = true;
                    self.reclaims.push_back(id);
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
