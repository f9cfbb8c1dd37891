//! Whose flush is next: one at a time in the node, since one thread and one disk do them.

/// A place in the log, as the engine names it.
type Mark = (u64, u64);

/// What a worker's groups look like to the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FlushView {
    /// Bytes of the largest memtable that could be flushed.
    pub(crate) largest: usize,
    /// Most bytes of one group, the memtable included that is being flushed.
    pub(crate) largest_group: usize,
    /// The first place in the log that is in no file.
    pub(crate) oldest: Option<Mark>,
    /// A flush failed and is to be tried again.
    pub(crate) retry: bool,
}

/// Why a flush begins, and so which of a worker's groups it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlushWhy {
    /// One that failed is tried again.
    Retry,
    /// Memory is short: the largest memtable.
    Memory,
    /// The log grew too long: what holds back the oldest part of it.
    Log,
}

/// Who may flush.
#[derive(Debug)]
pub(crate) struct FlushTurn {
    views: Vec<FlushView>,
    taken: bool,
}

impl FlushTurn {
    /// Nobody flushes.
    pub(crate) fn new(workers: usize) -> Self {
        Self { views: vec![FlushView::default(); workers], taken: false }
    }

    /// What a worker has now.
    pub(crate) fn show(&mut self, worker: usize, view: FlushView) {
        if let Some(place) = self.views.get_mut(worker) {
            *place = view;
        }
    }

    /// Most bytes of one group.
    pub(crate) fn largest_group(&self) -> usize {
        self.views.iter().map(|view| view.largest_group).max().unwrap_or(0)
    }

    /// The turn, if nobody has it and it is this worker's. `short` says whether memory is short,
    /// `too_far` whether the log from there on is too long. Whoever has it gives it back with
    /// [`Self::end`].
    pub(crate) fn take(
        &mut self,
        worker: usize,
        short: bool,
        too_far: impl Fn(Mark) -> bool,
    ) -> Option<FlushWhy> {
        if self.taken {
            return None;
        }
        let (next, why) = self.next(short, too_far)?;
        self.taken = next == worker;
        self.taken.then_some(why)
    }

    fn next(&self, short: bool, too_far: impl Fn(Mark) -> bool) -> Option<(usize, FlushWhy)> {
        let views = || self.views.iter().enumerate();
        if let Some((worker, _)) = views().find(|(_, view)| view.retry) {
            return Some((worker, FlushWhy::Retry));
        }
        // Before memory: writers who keep memory short for ever would let the log grow for ever. What
        // holds it back is flushed only once in so much log, so memory hardly waits for it.
        let oldest = views().filter_map(|(worker, view)| Some((view.oldest?, worker))).min();
        if let Some((_, worker)) = oldest.filter(|(oldest, _)| too_far(*oldest)) {
            return Some((worker, FlushWhy::Log));
        }
        let (worker, view) = views().max_by_key(|(_, view)| view.largest).filter(|_| short)?;
        (view.largest > 0).then_some((worker, FlushWhy::Memory))
    }

    /// The flush ended, or there was nothing to flush.
    pub(crate) fn end(&mut self) {
        self.taken = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(largest: usize, oldest: Option<Mark>) -> FlushView {
        FlushView { largest, largest_group: largest, oldest, retry: false }
    }

    fn turn(views: impl IntoIterator<Item = FlushView>) -> FlushTurn {
        let views: Vec<_> = views.into_iter().collect();
        let mut turn = FlushTurn::new(views.len());
        for (worker, view) in views.into_iter().enumerate() {
            turn.show(worker, view);
        }
        turn
    }

    const NEAR: fn(Mark) -> bool = |_| false;

    #[test]
    fn one_flush_at_a_time_in_the_node_and_the_largest_of_all_first() {
        let mut turn = turn([view(10, None), view(30, None), view(20, None)]);
        assert_eq!(turn.take(0, true, NEAR), None, "another worker has the largest");
        assert_eq!(turn.take(2, true, NEAR), None);
        assert_eq!(turn.take(1, true, NEAR), Some(FlushWhy::Memory));
        turn.show(1, view(0, None));
        assert_eq!(turn.take(2, true, NEAR), None, "a flush is under way");
        turn.end();
        assert_eq!(turn.take(0, true, NEAR), None);
        assert_eq!(turn.take(2, true, NEAR), Some(FlushWhy::Memory));
        assert_eq!(turn.largest_group(), 20);
    }

    #[test]
    fn a_log_that_is_too_long_is_flushed_from_its_oldest_part_on() {
        let mut turn = turn([view(50, Some((7, 0))), view(5, Some((3, 9))), view(0, None)]);
        let too_far = |mark: Mark| mark < (4, 0);
        assert_eq!(turn.take(0, false, NEAR), None);
        assert_eq!(turn.take(0, false, too_far), None);
        assert_eq!(turn.take(1, false, too_far), Some(FlushWhy::Log));
        turn.end();
        turn.show(1, view(5, Some((8, 0))));
        assert_eq!(turn.take(1, false, too_far), None);
        assert_eq!(turn.take(0, true, too_far), Some(FlushWhy::Memory));
    }

    /// Memtables grow in blocks: among many of one size some might never be the largest.
    #[test]
    fn memory_that_stays_short_does_not_let_the_log_grow() {
        let mut turn = turn([view(50, Some((7, 0))), view(5, Some((3, 9)))]);
        let too_far = |mark: Mark| mark < (4, 0);
        assert_eq!(turn.take(1, true, too_far), Some(FlushWhy::Log));
        turn.end();
        turn.show(1, view(5, Some((4, 0))));
        assert_eq!(turn.take(0, true, too_far), Some(FlushWhy::Memory));
    }

    #[test]
    fn what_failed_is_tried_again_before_anything_else() {
        let mut turn = turn([view(50, Some((1, 0))), FlushView { retry: true, ..view(1, None) }]);
        assert_eq!(turn.take(0, true, |_| true), None);
        assert_eq!(turn.take(1, false, NEAR), Some(FlushWhy::Retry));
    }

    #[test]
    fn nothing_is_flushed_where_nothing_is() {
        assert_eq!(turn([view(0, None)]).take(0, true, |_| true), None);
    }
}
