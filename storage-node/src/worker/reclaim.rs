//! What a worker does in slices between the turns of its clients: reclaim of what expired, and the walks
//! that wait. A request waits for one slice at most.

use std::rc::Rc;
use std::time::Duration;

use common::ids::{LogicGroup, ServerIndex};
use common::version::HLC_AHEAD_MS_MAX;
use rt::clock;

use crate::engine::Slice;
use crate::worker::core::Core;
use crate::worker::group::{Group, LaneData};
use crate::worker::inbox::{TICK, Worker};

/// How long a slice of reclaim takes.
const SLICE_TIME: Duration = Duration::from_micros(100);
/// Records and objects of a slice: bounds it where the clock stands still.
pub(super) const SLICE_STEPS: usize = 1_024;
/// So many slices of reclaim follow one another, with the others' turns between them.
const BURST: u32 = 4;
/// Then the worker has so much time without one: reclaim takes a part of it, however much there is.
const REST: Duration = Duration::from_millis(1);

/// What a follower reclaims has expired for so long by the time of the leader that told it: more than
/// clocks that are followed may differ, and a heartbeat takes.
const CLOCK_MARGIN_MS: u64 = 2 * HLC_AHEAD_MS_MAX + 1_000;

/// Does the slices of a worker as long as it lives.
pub(super) async fn follow(worker: Rc<Worker>) {
    let walk_added = Rc::clone(&worker.core.borrow().walks.added);
    let mut slices = 0;
    loop {
        let walks = worker.turn(Core::walk_slice);
        if walks {
            // Between every two slices the others have a turn.
            tokio::task::yield_now().await;
        }
        let reclaims = worker.turn(Core::reclaim_slice);
        slices = if reclaims { slices + 1 } else { 0 };
        if walks || (reclaims && slices % BURST != 0) {
            tokio::task::yield_now().await;
        } else {
            let rest = if reclaims { REST } else { TICK };
            drop(tokio::time::timeout(rest, walk_added.notified()).await);
        }
    }
}

/// Does something for one slice that begins now.
pub(super) fn with_slice<T>(
    time: Duration,
    steps_max: usize,
    work: impl FnOnce(&mut Slice<'_>) -> T,
) -> T {
    let begin = clock::now();
    let clock = move || clock::now().saturating_duration_since(begin);
    work(&mut Slice::timed(time, steps_max, &clock))
}

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
