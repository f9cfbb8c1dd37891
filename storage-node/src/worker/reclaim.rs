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
pub const SLICE_TIME: Duration = Duration::from_micros(100);
/// Records and objects of a slice: bounds it where the clock stands still.
pub const SLICE_STEPS: usize = 1_024;
/// So many slices of reclaim follow one another, with the others' turns between them.
const BURST: u32 = 4;
/// Then the worker has so much time without one: reclaim takes a part of it, however much there is.
const REST: Duration = Duration::from_millis(1);

/// What a follower reclaims has expired for so long by the time of the leader that told it: more than
/// clocks that are followed may differ, and a heartbeat takes.
const CLOCK_MARGIN_MS: u64 = 2 * HLC_AHEAD_MS_MAX + 1_000;

/// When the next slice of reclaim begins.
#[derive(Debug, Default)]
pub struct ReclaimPace {
    /// Slices of the burst.
    slices: u32,
}

impl ReclaimPace {
    /// How long to wait behind a slice that left something to do, or not. Zero: the others have one
    /// turn.
    #[must_use]
    pub fn rest(&mut self, reclaims: bool) -> Duration {
        self.slices = if reclaims { (self.slices + 1) % BURST } else { 0 };
        match (reclaims, self.slices) {
            (false, _) => TICK,
            (true, 0) => REST,
            (true, _) => Duration::ZERO,
        }
    }
}

/// Does the slices of a worker as long as it lives.
pub(super) async fn follow(worker: Rc<Worker>) {
    let walk_added = Rc::clone(&worker.core.borrow().walks.added);
    let mut pace = ReclaimPace::default();
    loop {
        let walks = worker.turn(Core::walk_slice);
        if walks {
            // Between every two slices the others have a turn.
            tokio::task::yield_now().await;
        }
        let rest = pace.rest(worker.turn(Core::reclaim_slice));
        if walks || rest.is_zero() {
            tokio::task::yield_now().await;
        } else {
            drop(tokio::time::timeout(rest, walk_added.notified()).await);
        }
    }
}

/// Does something for one slice that begins now.
pub fn with_slice<T>(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reclaim_rests_behind_each_burst_and_while_there_is_nothing_to_do() {
        let mut pace = ReclaimPace::default();
        for _ in 0..3 {
            let rests: Vec<Duration> = (0..BURST).map(|_| pace.rest(true)).collect();
            let (last, first) = rests.split_last().unwrap();
            assert_eq!(*last, REST);
            assert!(first.iter().all(Duration::is_zero), "{rests:?}");
        }
        assert_eq!((pace.rest(true), pace.rest(false)), (Duration::ZERO, TICK));
        assert!((1..BURST).all(|_| pace.rest(true).is_zero()), "a burst of its own");
        assert_eq!(pace.rest(true), REST);
    }
}
