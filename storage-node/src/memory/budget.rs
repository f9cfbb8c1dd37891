//! What the threads of a node share of its memory.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::memory::{Drain, FlushTurn, FlushView, FlushWhy, Marks};

/// Copies of other servers' records are taken until memtables exceed the budget by this part of it: who
/// takes none for a second leaves R, so clients wait first.
const COPIES_PART: usize = 8;
/// Memory that is full for longer refuses writes, in milliseconds: reads that stand behind them on their
/// connections need none.
const FULL_MS_MAX: u64 = 2_000;
/// A time that does not come.
const NEVER: u64 = u64::MAX;
/// Reclaim leaves this part of the budget to writers.
const RESERVED_PART: usize = 8;

/// The memory of all memtables of the node.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    marks: Marks,
    workers: Vec<Used>,
    /// Bytes of the memtable that is being flushed that are in the file.
    flushed: AtomicUsize,
    /// Most bytes of one group.
    largest_group: AtomicUsize,
    /// Bytes a second.
    drain: AtomicU64,
    /// The last flush failed.
    failing: AtomicBool,
    /// Since when memory is full, in milliseconds.
    full_since_ms: AtomicU64,
    /// It is so for too long.
    full_for_long: AtomicBool,
    turn: Mutex<FlushTurn>,
    measured: Mutex<Drain>,
}

/// Of one worker.
#[derive(Debug, Default)]
struct Used {
    /// Bytes of its memtables.
    bytes: AtomicUsize,
    /// Bytes of writes whose answers are held back.
    waiting: AtomicU64,
}

impl MemoryBudget {
    pub(crate) fn new(budget: usize, workers: usize) -> Self {
        let drain = Drain::default();
        metrics::gauge!("fdht_node_memtable_budget_bytes").set(budget as f64);
        Self {
            marks: Marks::new(budget),
            workers: (0..workers).map(|_| Used::default()).collect(),
            flushed: AtomicUsize::new(0),
            largest_group: AtomicUsize::new(0),
            drain: AtomicU64::new(drain.rate()),
            failing: AtomicBool::new(false),
            full_since_ms: AtomicU64::new(NEVER),
            full_for_long: AtomicBool::new(false),
            turn: Mutex::new(FlushTurn::new(workers)),
            measured: Mutex::new(drain),
        }
    }

    /// A worker looked at its memtables.
    pub(crate) fn measured(&self, worker: usize, bytes: usize, view: FlushView) {
        if let Some(used) = self.workers.get(worker) {
            used.bytes.store(bytes, Ordering::Relaxed);
        }
        let mut turn = self.turn();
        turn.show(worker, view);
        self.largest_group.store(turn.largest_group(), Ordering::Relaxed);
    }

    /// A worker appended so many bytes since it looked.
    pub(crate) fn grew(&self, worker: usize, bytes: usize) {
        if let Some(used) = self.workers.get(worker) {
            used.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Whether a flush is due.
    pub(crate) fn is_short(&self) -> bool {
        self.unflushed() > Marks::soft(self.room())
    }

    /// The turn to flush, if it is this worker's. It ends with [`Self::end_flush`].
    pub(crate) fn take_turn(
        &self,
        worker: usize,
        too_far: impl Fn((u64, u64)) -> bool,
    ) -> Option<FlushWhy> {
        self.turn().take(worker, self.is_short(), too_far)
    }

    /// The worker that had the turn measured its memtables after the flush; or nothing was flushed.
    pub(crate) fn end_flush(&self) {
        self.flushed.store(0, Ordering::Relaxed);
        self.turn().end();
    }

    /// The flush thread begins with a memtable.
    pub(crate) fn flush_began(&self) {
        self.flushed.store(0, Ordering::Relaxed);
    }

    /// So many bytes more of it are in the file.
    pub(crate) fn flush_went_on(&self, bytes: usize, took: Duration) {
        self.flushed.fetch_add(bytes, Ordering::Relaxed);
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        measured.flushed(bytes, took);
        self.drain.store(measured.rate(), Ordering::Relaxed);
        metrics::gauge!("fdht_node_flush_rate_bytes").set(measured.rate() as f64);
    }

    /// It is in the file, or is not.
    pub(crate) fn flush_succeeded(&self, well: bool) {
        self.failing.store(!well, Ordering::Relaxed);
    }

    /// How many bytes a second this worker's writes may have, if that is limited. What is allowed is
    /// shared out by what waits, so that it waits equally long everywhere.
    pub(crate) fn rate(&self, worker: usize, waiting: u64) -> Option<u64> {
        let own = self.workers.get(worker)?;
        own.waiting.store(waiting, Ordering::Relaxed);
        let drain = self.drain.load(Ordering::Relaxed);
        let rate = Marks::rate(self.room(), self.unflushed(), drain)?;
        let all: u64 = self.workers.iter().map(|used| used.waiting.load(Ordering::Relaxed)).sum();
        let (part, of) = if all == 0 { (1, self.workers.len() as u64) } else { (waiting, all) };
        let share = u128::from(rate) * u128::from(part) / u128::from(of.max(1));
        Some(u64::try_from(share).unwrap_or(u64::MAX).max(1))
    }

    /// Whether what can wait should leave the rest of the budget to writers.
    pub(crate) fn is_tight(&self) -> bool {
        let budget = self.marks.budget();
        self.used() > budget - budget / RESERVED_PART
    }

    /// Whether nothing more may be read from clients until a flush ends.
    pub(crate) fn is_full(&self) -> bool {
        self.used() > self.marks.budget()
    }

    /// A worker looks, at a time in milliseconds of the node's monotonic clock.
    pub(crate) fn look(&self, now_ms: u64) {
        let since_ms = if self.is_full() {
            self.full_since_ms.fetch_min(now_ms, Ordering::Relaxed).min(now_ms)
        } else {
            self.full_since_ms.store(NEVER, Ordering::Relaxed);
            now_ms
        };
        self.full_for_long.store(now_ms - since_ms > FULL_MS_MAX, Ordering::Relaxed);
    }

    /// Whether it was full for so long, when somebody looked last, that nobody should wait for it.
    pub(crate) fn is_full_for_long(&self) -> bool {
        self.full_for_long.load(Ordering::Relaxed) && self.is_full()
    }

    /// Whether no copies of other servers' records may be taken until a flush ends.
    pub(crate) fn is_full_for_copies(&self) -> bool {
        let budget = self.marks.budget();
        self.used() > budget.saturating_add(budget / COPIES_PART)
    }

    /// Whether memory cannot be freed: the last flush failed.
    pub(crate) fn is_stuck(&self) -> bool {
        self.failing.load(Ordering::Relaxed) && self.is_full()
    }

    /// Memory of all memtables, in bytes.
    pub(crate) fn used(&self) -> usize {
        self.workers.iter().map(|used| used.bytes.load(Ordering::Relaxed)).sum()
    }

    fn unflushed(&self) -> usize {
        self.used().saturating_sub(self.flushed.load(Ordering::Relaxed))
    }

    fn room(&self) -> usize {
        self.marks.room(self.used(), self.largest_group.load(Ordering::Relaxed))
    }

    fn turn(&self) -> MutexGuard<'_, FlushTurn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: fn((u64, u64)) -> bool = |_| false;

    fn view(largest: usize) -> FlushView {
        FlushView { largest, largest_group: largest, ..FlushView::default() }
    }

    #[test]
    fn the_memtables_of_all_workers_count_together() {
        let memory = MemoryBudget::new(8_000, 2);
        memory.measured(0, 2_000, view(2_000));
        assert_eq!(memory.take_turn(0, NEAR), None, "2,000 of 3,750");
        memory.measured(1, 2_500, view(2_500));
        assert_eq!(memory.take_turn(0, NEAR), None, "the other one's is larger");
        assert_eq!(memory.take_turn(1, NEAR), Some(FlushWhy::Memory));
        memory.measured(0, 9_000, view(9_000));
        assert_eq!(memory.take_turn(0, NEAR), None, "one flush in the node");
        memory.end_flush();
        assert_eq!(memory.take_turn(0, NEAR), Some(FlushWhy::Memory));
    }

    #[test]
    fn what_is_in_the_file_lets_writers_go_on_but_takes_memory_until_the_end() {
        let memory = MemoryBudget::new(8_000, 1);
        memory.measured(0, 3_900, view(3_900));
        assert!(memory.rate(0, 0).is_some());
        memory.flush_began();
        memory.flush_went_on(1_500, Duration::from_millis(10));
        assert_eq!(memory.rate(0, 0), None, "2,400 of 3,750 wait");
        memory.grew(0, 4_200);
        assert!(memory.is_full(), "8,100 of 8,000");
        assert!(!memory.is_full_for_copies());
        memory.grew(0, 1_000);
        assert!(memory.is_full_for_copies());
        memory.measured(0, 4_200, view(4_200));
        memory.end_flush();
        assert!(!memory.is_full());
        assert_eq!(memory.rate(0, 0), Some(150_000 / 8), "nothing is in the file of this one");
    }

    #[test]
    fn what_is_allowed_is_shared_out_by_what_waits() {
        let memory = MemoryBudget::new(8_000, 2);
        memory.measured(0, 3_125, view(3_125));
        memory.flush_went_on(0, Duration::ZERO);
        memory.flush_went_on(1_000_000, Duration::from_secs(100));
        memory.end_flush();
        let all = 10_000;
        let about = |rate: Option<u64>, part: u64| {
            let rate = rate.unwrap();
            assert!((part - 20..=part).contains(&rate), "{rate} of {part}");
        };
        about(memory.rate(0, 0), all / 2);
        about(memory.rate(1, 300), all);
        about(memory.rate(0, 100), all / 4);
        about(memory.rate(1, 300), all * 3 / 4);
    }

    #[test]
    fn memory_that_cannot_be_freed_is_told_apart() {
        let memory = MemoryBudget::new(1_000, 1);
        memory.flush_succeeded(false);
        assert!(!memory.is_stuck(), "there is room");
        memory.measured(0, 1_001, view(1));
        assert!(memory.is_stuck());
        memory.flush_succeeded(true);
        assert!(!memory.is_stuck());
    }

    #[test]
    fn memory_that_stays_full_is_told_apart() {
        let memory = MemoryBudget::new(1_000, 1);
        memory.measured(0, 1_001, view(1));
        memory.look(5_000);
        memory.look(7_000);
        assert!(!memory.is_full_for_long());
        memory.look(7_001);
        assert!(memory.is_full_for_long());
        memory.measured(0, 1_000, view(1));
        assert!(!memory.is_full_for_long(), "there is room");
        memory.look(7_002);
        memory.measured(0, 1_001, view(1));
        assert!(!memory.is_full_for_long());
        memory.look(9_000);
        assert!(!memory.is_full_for_long(), "it is full anew");
    }
}
