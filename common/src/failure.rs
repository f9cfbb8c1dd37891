//! Why an operation was not answered with a reply: made by a node, or by the proxy on the way.
//!
//! [`Class`] keeps apart what the caller must keep apart: *not applied* is provable and safe to
//! repeat; *unknown* may have been applied and is never reported as failed.

use thiserror::Error;

use crate::view::GroupView;

/// One failure with a text for people: where and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{detail}")]
pub struct Failure {
    /// What kind.
    pub code: FailureCode,
    /// Where and why; names groups and servers. At most
    /// [`DETAIL_BYTES_MAX`](crate::limits::DETAIL_BYTES_MAX) bytes cross the wire.
    pub detail: String,
    /// The view of the group that whoever refuses knows, so that the sender need not ask for it.
    /// Crosses the wire with those codes only that [name a view](FailureCode::names_view).
    pub view: Option<Box<GroupView>>,
}

/// Kinds of failure. The numbers are part of the node protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FailureCode {
    /// The object is of the other kind.
    WrongKind = 1,
    /// A name, value or batch is over its limit.
    OverLimit = 2,
    /// The value is not a 64-bit decimal integer.
    NotInteger = 3,
    /// The addition would overflow.
    Overflow = 4,
    /// `acks: 1` where a write must not be lost after it was answered: a counter, a condition.
    AcksTooWeak = 5,
    /// This server does not lead the lane.
    NotLeader = 16,
    /// This server will serve the lane, but not yet.
    NotYet = 17,
    /// The sender belongs to another cluster.
    WrongCluster = 18,
    /// This server does not hold the logic group.
    UnknownGroup = 19,
    /// The time the sender gave was over before anything was done.
    DeadlinePassed = 20,
    /// No server of the lane could be reached in time; nothing was sent.
    NoServer = 21,
    /// A queue or memory budget is full; nothing was done.
    Busy = 22,
    /// Writes are refused: the disk is nearly full.
    DiskFull = 32,
    /// The group or the node's log stopped after an error and waits for an operator.
    Stopped = 33,
    /// It was applied, but not on as many servers as asked for.
    AcksShort = 48,
    /// It was sent, and no answer came: it may have been applied.
    Unknown = 64,
    /// The leader stepped down before the write was official: it may still become so. Repeating it
    /// under the same request id tells (I7).
    Interrupted = 65,
    /// The request's bytes are not of the protocol: a bug, or another version.
    Malformed = 80,
}

/// What a caller may conclude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The request itself is wrong; repeating it is pointless.
    Client,
    /// Provably not applied; safe to repeat.
    NotApplied,
    /// Refused until an operator helps; not applied.
    Stopped,
    /// Applied on fewer servers than asked for.
    AcksShort,
    /// Perhaps applied.
    Unknown,
}

impl FailureCode {
    const ALL: [Self; 18] = [
        Self::WrongKind,
        Self::OverLimit,
        Self::NotInteger,
        Self::Overflow,
        Self::AcksTooWeak,
        Self::NotLeader,
        Self::NotYet,
        Self::WrongCluster,
        Self::UnknownGroup,
        Self::DeadlinePassed,
        Self::NoServer,
        Self::Busy,
        Self::DiskFull,
        Self::Stopped,
        Self::AcksShort,
        Self::Unknown,
        Self::Interrupted,
        Self::Malformed,
    ];

    /// The number on the wire.
    #[must_use]
    pub fn as_u8(self) -> u8 {
        self as u8
    }

    /// The code with this number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_u8() == number)
    }

    /// What a caller may conclude. Without a catch-all: a new code must be decided here.
    #[must_use]
    pub fn class(self) -> Class {
        match self {
            Self::WrongKind
            | Self::OverLimit
            | Self::NotInteger
            | Self::Overflow
            | Self::AcksTooWeak
            | Self::Malformed => Class::Client,
            Self::NotLeader
            | Self::NotYet
            | Self::WrongCluster
            | Self::UnknownGroup
            | Self::DeadlinePassed
            | Self::NoServer
            | Self::Busy => Class::NotApplied,
            Self::DiskFull | Self::Stopped => Class::Stopped,
            Self::AcksShort => Class::AcksShort,
            Self::Unknown | Self::Interrupted => Class::Unknown,
        }
    }

    /// Whether a failure of this kind may name the view of the group.
    #[must_use]
    pub fn names_view(self) -> bool {
        matches!(self, Self::NotLeader | Self::NotYet | Self::Interrupted)
    }
}

impl Failure {
    /// A failure with its text.
    pub fn new(code: FailureCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), view: None }
    }

    /// A failure that names the view to repeat by.
    pub fn with_view(code: FailureCode, detail: impl Into<String>, view: GroupView) -> Self {
        Self { view: Some(Box::new(view)), ..Self::new(code, detail) }
    }
}
