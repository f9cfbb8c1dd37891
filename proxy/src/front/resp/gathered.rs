//! The end of a command that asks in many parts: when all of them have answered, and which failure
//! is the answer.

use common::failure::Failure;

use crate::front::call::Progress;

use super::error::graver;

/// Counts a command's parts. All of them are waited for even after a failure, which then is the
/// answer.
#[derive(Default)]
pub(super) struct Gathered {
    outstanding: usize,
    failure: Option<Failure>,
}

impl Gathered {
    /// Waits for so many parts.
    pub(super) fn of(outstanding: usize) -> Self {
        Self { outstanding, failure: None }
    }

    /// One part more is asked.
    pub(super) fn add(&mut self) {
        self.outstanding += 1;
    }

    /// Parts that have not ended.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Whether a part failed: the rest of the others is of no use.
    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// A part answered: with its end, with a wish for more, or with a failure, of which the gravest
    /// is kept. Whether all parts have ended.
    pub(super) fn on_part(&mut self, part: Result<Progress, Failure>) -> Progress {
        match part {
            Ok(Progress::Waiting) => return Progress::Waiting,
            Ok(Progress::Done) => {}
            Err(failure) => {
                self.failure = Some(match self.failure.take() {
                    None => failure,
                    Some(earlier) => graver(earlier, failure),
                });
            }
        }
        self.outstanding -= 1;
        if self.outstanding > 0 { Progress::Waiting } else { Progress::Done }
    }

    /// What the client is told instead of what was gathered.
    pub(super) fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}
