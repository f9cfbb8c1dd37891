//! How a command over log files ends.

use std::process::ExitCode;

use super::format::{Flaw, LogError};
use crate::failure::{STATUS_PROBLEM, STATUS_USAGE};

/// Exit status when something could not be read, so that nothing is known of it.
const STATUS_UNREADABLE: u8 = STATUS_USAGE;

/// What was met on the way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Something that a start of the node refuses.
    pub(super) damage: bool,
    /// Something that could not be read.
    pub(super) unreadable: bool,
}

impl Outcome {
    /// Takes a flaw into account.
    pub(super) fn note(&mut self, flaw: &Flaw) {
        match flaw {
            Flaw::Refused(LogError::Io { .. }) => self.unreadable = true,
            Flaw::Refused(_) => self.damage = true,
            Flaw::TornEnd { .. } | Flaw::Stray { .. } => {}
        }
    }

    /// Takes what was met elsewhere into account.
    pub(super) fn add(&mut self, other: Self) {
        self.damage |= other.damage;
        self.unreadable |= other.unreadable;
    }

    /// The exit status. Damage that was found is certain, whatever was not read.
    pub(super) fn exit_code(self) -> ExitCode {
        match self {
            Self { damage: true, .. } => ExitCode::from(STATUS_PROBLEM),
            Self { unreadable: true, .. } => ExitCode::from(STATUS_UNREADABLE),
            Self { .. } => ExitCode::SUCCESS,
        }
    }
}
