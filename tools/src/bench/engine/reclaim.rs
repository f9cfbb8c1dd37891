//! Reclaim between the turns, in the worker's own slices and with its share of the time. A worker also
//! waits while memory is short; where something expires here, it is not.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use storage_node::{ReclaimPace, SLICE_STEPS, SLICE_TIME, with_slice};

use super::node::Node;
use super::place::failed;
use crate::bench::BenchError;
use crate::clock;

/// How far it is.
#[derive(Debug)]
pub(super) struct Reclaim {
    pace: ReclaimPace,
    /// When the next slice begins.
    next_at: Instant,
    /// The group that it begins with.
    next_group: usize,
    /// Whether a slice has found nothing more to do since this was cleared.
    pub(super) is_done: bool,
    /// CPU of this thread in the slices.
    pub(super) cpu: Duration,
}

impl Reclaim {
    /// The first slice begins at this time.
    pub(super) fn new(next_at: Instant) -> Self {
        let pace = ReclaimPace::default();
        Self { pace, next_at, next_group: 0, is_done: false, cpu: Duration::ZERO }
    }
}

impl Node {
    /// Does a slice if it is time for one.
    pub(super) fn reclaim_when_due(&mut self) -> Result<(), BenchError> {
        if clock::now() < self.reclaim.next_at {
            return Ok(());
        }
        let before = thread_cpu()?;
        let more = self.reclaim_slice()?;
        self.reclaim.cpu += thread_cpu()?.saturating_sub(before);
        self.reclaim.is_done |= !more;
        self.reclaim.next_at = clock::now() + self.reclaim.pace.rest(more);
        Ok(())
    }

    /// Returns whether there may be more to do now.
    fn reclaim_slice(&mut self) -> Result<bool, BenchError> {
        let (now_ms, first) = (self.wall_ms, self.reclaim.next_group);
        let order = (first..self.stores.len()).chain(0..first);
        let due = order.filter(|group| self.stores[*group].has_reclaim(now_ms));
        let due: Vec<usize> = due.collect();
        with_slice(SLICE_TIME, SLICE_STEPS, |slice| {
            for group in due {
                let reclaimed = self.stores[group].reclaim(|_| now_ms, slice);
                reclaimed.map_err(|e| failed("reclaim", e))?;
                if slice.is_over() {
                    self.reclaim.next_group = group + 1;
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }
}

/// CPU that this thread has taken.
fn thread_cpu() -> Result<Duration, BenchError> {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).map_err(|e| failed("read the CPU time", e))
}
