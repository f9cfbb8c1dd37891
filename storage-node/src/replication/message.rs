//! What nodes say to each other. The driver puts many of these, of many groups, into one message of
//! the wire; the records themselves are added by it where a [`Span`] names them.

use common::ids::{Epoch, Lane, LogicGroup, Lsn, ServerIndex};

use super::position::{Position, Span};
use super::register::{Ballot, Register};

/// A leader's claim: a lane since an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term {
    /// The lane.
    pub lane: Lane,
    /// The leader's since-epoch.
    pub since: Epoch,
}

/// A term whose lease runs at a voter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunningLease {
    /// The lane.
    pub lane: ServerIndex,
    /// The since-epoch it was granted for.
    pub since: Epoch,
    /// How long it runs, on the voter's clock.
    pub remaining_ms: u64,
}

/// Between the proposer and the voters of a register. A reply carries its request's ballot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RegisterMessage {
    /// Asks to promise a ballot.
    Prepare,
    /// Promised; what was accepted last, and the leases that run.
    Promised {
        /// The last accepted value with its ballot.
        accepted: Option<(Ballot, Register)>,
        /// Leases that keep lanes from being taken.
        leases: Vec<RunningLease>,
    },
    /// A greater ballot was promised.
    Outbid {
        /// That ballot.
        promised: Ballot,
    },
    /// Asks to accept a value.
    Accept {
        /// The value.
        value: Register,
        /// Terms that their leaders have given up: their leases do not count any more.
        consent: Vec<(ServerIndex, Epoch)>,
    },
    /// Accepted.
    Accepted,
    /// Not accepted yet: it takes a lane whose lease runs.
    LeaseRuns {
        /// For how long.
        remaining_ms: u64,
    },
    /// The value was chosen under this ballot.
    Chosen {
        /// The value.
        value: Register,
    },
}

/// Everything that nodes say to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A step of a register's round.
    Register {
        /// The group.
        group: LogicGroup,
        /// The round.
        ballot: Ballot,
        /// The step.
        step: RegisterMessage,
    },
    /// Asks a voter for the leases of all lanes that a node leads.
    Renew {
        /// The node's own time; comes back with the grant.
        sent_ms: u64,
        /// Its terms.
        terms: Vec<Term>,
    },
    /// The voter's answer.
    Granted {
        /// The time of the request.
        sent_ms: u64,
        /// What was granted.
        granted: Vec<Term>,
        /// What was not.
        refused: Vec<Term>,
    },
    /// Asks a voter for a newer register than the one of this epoch.
    AskRegister {
        /// The group.
        group: LogicGroup,
        /// What is known.
        known: Epoch,
    },
    /// A register that was chosen.
    TellRegister {
        /// The value.
        value: Register,
    },
    /// A server that is about to stop leads nothing any more and asks another one to take it out
    /// of R: that one knows whether it has kept its own log, the asker does not.
    Depart {
        /// The group.
        group: LogicGroup,
        /// The register epoch it knows; at another one the request is void.
        known: Epoch,
        /// The terms that it gave up.
        consent: Vec<(ServerIndex, Epoch)>,
    },
    /// A new leader asks a server of R to promise its epoch.
    Seal(Term),
    /// Promised: the end of the server's log.
    Sealed {
        /// The leader's term.
        term: Term,
        /// The server's last record.
        last: Position,
        /// Whether the server kept its log: what may have been forgotten does not count.
        kept: bool,
    },
    /// A newer epoch was promised: the asker leads no more.
    Superseded {
        /// The asker's term.
        term: Term,
        /// What was promised.
        promised: Epoch,
    },
    /// A new leader asks for the records of the best log that it lacks.
    Copy {
        /// Its term.
        term: Term,
        /// What it holds.
        have: Vec<Position>,
    },
    /// A follower asks for records, acknowledges, and shows that it lives.
    Pull(Pull),
    /// Records, as the answer to a pull or a copy.
    Records(Records),
    /// The asked server does not lead the lane in that term.
    NotLeading {
        /// The term that was asked for.
        term: Term,
        /// The register epoch it knows.
        known: Epoch,
    },
}

/// A follower's pull (guarantees 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// Lane and since-epoch: an acknowledgement counts in this stream only (I18).
    pub term: Term,
    /// The follower's process start; acknowledgements of an earlier one are forgotten.
    pub life: u64,
    /// What it holds of every stream of the lane; after it adopted the stream, only of that one.
    pub have: Vec<Position>,
    /// Records of this stream handed to its kernel.
    pub written: Lsn,
    /// Records of this stream that are durable there.
    pub durable: Lsn,
    /// It is about to stop: once out of R it must not be needed again.
    pub leaving: bool,
}

/// The answer to a pull or a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    /// Lane and since-epoch.
    pub term: Term,
    /// The asker's process start, from its pull; 0 for a copy.
    pub life: u64,
    /// The records, in the order to append.
    pub spans: Vec<Span>,
    /// The leader's last official record in this stream; 0 as long as its first is not.
    pub official: Lsn,
    /// The follower's acknowledgement is needed as of this register epoch, and it has acknowledged
    /// every official record.
    pub confirmed: Option<Epoch>,
}
