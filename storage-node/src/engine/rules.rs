//! Rules of the engine that the crash suite breaks on purpose, to see that it notices. Each is read at
//! one place. In a program that is not a test they hold, and cost nothing.

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The checkpoint reaches the file with the last commit of a flush, not with the first.
    CheckpointLast,
    /// Counts reach the file in the commit of the records they count.
    CountsWithRecords,
    /// A record of the log loses against one of the same version.
    EqualChangesNothing,
    /// A copy of a file is durable before it gets the file's name.
    CopyDurable,
    /// A file is not written while it is copied.
    FlushWaitsForCopy,
}

/// Whether a rule holds.
#[cfg(not(test))]
pub(crate) const fn holds(_rule: Rule) -> bool {
    true
}

#[cfg(test)]
pub(crate) use broken::{break_rule, holds};

#[cfg(test)]
mod broken {
    use std::cell::Cell;

    use super::Rule;

    thread_local! {
        static BROKEN: Cell<Option<Rule>> = const { Cell::new(None) };
    }

    /// Breaks a rule in this thread, and mends the one that was broken before.
    pub(crate) fn break_rule(rule: Option<Rule>) {
        BROKEN.set(rule);
    }

    pub(crate) fn holds(rule: Rule) -> bool {
        BROKEN.get() != Some(rule)
    }
}
