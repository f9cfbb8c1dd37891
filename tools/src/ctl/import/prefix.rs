//! How far the input is acknowledged without a gap. Pure.

use std::collections::VecDeque;

/// Marks records by their number in input order; `done` of them are marked without a gap.
#[derive(Debug, Default)]
pub(super) struct Prefix {
    done: u64,
    /// Marks behind the first gap; the front one is always unset. The senders' bounded queues keep
    /// this short.
    ahead: VecDeque<bool>,
}

impl Prefix {
    /// Starts where an earlier import ended.
    pub(super) fn starting_at(done: u64) -> Self {
        Self { done, ahead: VecDeque::new() }
    }

    /// Record `number` (from 0) is acknowledged.
    pub(super) fn mark(&mut self, number: u64) {
        let Some(at) = number.checked_sub(self.done) else {
            return;
        };
        let at = usize::try_from(at).expect("the window is bounded by the queues");
        if at >= self.ahead.len() {
            self.ahead.resize(at + 1, false);
        }
        self.ahead[at] = true;
        while self.ahead.front() == Some(&true) {
            self.ahead.pop_front();
            self.done += 1;
        }
    }

    /// How many records from the beginning are all acknowledged.
    pub(super) fn done(&self) -> u64 {
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_holds_the_prefix_back() {
        let mut prefix = Prefix::starting_at(10);
        prefix.mark(11);
        prefix.mark(13);
        assert_eq!(prefix.done(), 10);
        prefix.mark(10);
        assert_eq!(prefix.done(), 12);
        prefix.mark(12);
        assert_eq!(prefix.done(), 14);
        prefix.mark(3);
        assert_eq!(prefix.done(), 14, "what is behind is known");
    }
}
