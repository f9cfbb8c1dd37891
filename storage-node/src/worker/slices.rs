//! What a worker does in slices between the turns of its clients: the walks that wait, and reclaim of
//! what expired. A request waits for one slice at most, and slices leave time to requests.

use std::rc::Rc;
use std::time::Duration;

use rt::clock;

use crate::engine::Slice;
use crate::worker::core::Core;
use crate::worker::inbox::{TICK, Worker};

/// Records and objects of a slice: bounds it where the clock stands still.
pub const SLICE_STEPS: usize = 1_024;
/// So long slices follow one another, with the others' turns between them.
const BURST: Duration = Duration::from_micros(400);
/// Then the worker has so much time without one, however much there is to do.
pub const REST: Duration = Duration::from_millis(1);

/// Does the slices of a worker as long as it lives.
pub(super) async fn follow(worker: Rc<Worker>) {
    let walk_added = Rc::clone(&worker.core.borrow().walks.added);
    let mut burst = Burst::default();
    loop {
        let (walks, walked) = slice(&worker, Core::walk_slice);
        if walks {
            // Between every two slices the others have a turn.
            tokio::task::yield_now().await;
        }
        let (reclaims, reclaimed) = slice(&worker, Core::reclaim_slice);
        let (frames, hurry) = {
            let core = worker.core.borrow();
            (core.frames, core.walks.hurry)
        };
        match burst.then(walked + reclaimed, walks.then_some(hurry), reclaims, frames) {
            Then::Again => tokio::task::yield_now().await,
            Then::Rest => tokio::time::sleep(REST).await,
            Then::Wait => drop(tokio::time::timeout(TICK, walk_added.notified()).await),
        }
    }
}

/// One slice: whether there is more to do, and how long it took.
fn slice(worker: &Worker, work: impl FnOnce(&mut Core) -> bool) -> (bool, Duration) {
    let begin = clock::now();
    let more = worker.turn(work);
    (more, clock::now().saturating_duration_since(begin))
}

/// What the slices since the last rest took.
#[derive(Debug, Default)]
pub struct Burst {
    taken: Duration,
    /// The frames that had arrived by then.
    frames: u64,
}

/// What follows slices.
#[derive(Debug, PartialEq, Eq)]
pub enum Then {
    /// More of them, behind what the others have to do.
    Again,
    /// A time for the others.
    Rest,
    /// There is nothing to do.
    Wait,
}

impl Burst {
    /// Slices took so long; there is more to do for walks, which are in some hurry, and for reclaim.
    /// `frames` have arrived by now: where none comes, walks rest for nobody. Reclaim always does:
    /// nobody waits for it.
    pub fn then(
        &mut self,
        took: Duration,
        walks: Option<u32>,
        reclaims: bool,
        frames: u64,
    ) -> Then {
        self.taken += took;
        if walks.is_none() && !reclaims {
            return Then::Wait;
        }
        if self.taken < BURST * (1 << walks.unwrap_or(0)) {
            return Then::Again;
        }
        let before = std::mem::replace(self, Self { taken: Duration::ZERO, frames });
        if reclaims || frames != before.frames { Then::Rest } else { Then::Again }
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

#[cfg(test)]
mod tests {
    use super::*;

    const SLICE: Duration = Duration::from_micros(100);

    #[test]
    fn slices_leave_most_of_the_time_to_requests() {
        for (walks, reclaims, slices) in [(Some(0), false, 1), (None, true, 1), (Some(0), true, 2)]
        {
            assert_eq!(rests(walks, reclaims, slices), 25 * slices, "{walks:?} {reclaims}");
        }
    }

    #[test]
    fn walks_that_are_in_a_hurry_leave_less() {
        let rests = [0, 1, 2, 3, 4].map(|hurry| rests(Some(hurry), false, 1));
        assert_eq!(rests, [25, 12, 6, 3, 1]);
    }

    /// In a hundred rounds of so many slices each.
    fn rests(walks: Option<u32>, reclaims: bool, slices: u32) -> u32 {
        let mut burst = Burst::default();
        let mut rests = 0;
        for frames in 1..=100 {
            match burst.then(SLICE * slices, walks, reclaims, frames) {
                Then::Again => {}
                Then::Rest => rests += 1,
                Then::Wait => panic!("there is more"),
            }
        }
        rests
    }

    #[test]
    fn walks_rest_for_nobody_where_nobody_comes_and_reclaim_does() {
        let mut burst = Burst::default();
        assert_eq!(burst.then(BURST, Some(0), false, 1), Then::Rest, "the walk itself came");
        assert_eq!(burst.then(BURST, Some(0), false, 1), Then::Again);
        assert_eq!(burst.then(BURST, None, true, 1), Then::Rest);
        assert_eq!(burst.then(SLICE, None, false, 1), Then::Wait);
    }

    /// Else small walks, one behind the other, would take all the time.
    #[test]
    fn work_that_comes_in_small_pieces_rests_too() {
        let mut burst = Burst::default();
        for frames in 1..=4 {
            assert_eq!(burst.then(SLICE, None, false, frames), Then::Wait);
        }
        assert_eq!(burst.then(SLICE, Some(0), false, 5), Then::Rest);
    }
}
