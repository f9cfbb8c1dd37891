//! What fronts and the session driver say to each other, whatever the protocol.

use common::address::Object;
use common::durability::{Acks, Sync};
use common::failure::Failure;
use common::ids::{Lane, LogicGroup};
use common::op::Op;
use common::reply::Reply;

/// What came back for one operation: the leader's reply, or why there is none.
pub type Answer<'a> = Result<Reply<'a>, Failure>;

/// A request's own wish for safety where it differs from its namespace's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durability {
    /// How many servers must hold a write.
    pub acks: Option<Acks>,
    /// How durable it must be there.
    pub sync: Option<Sync>,
}

/// Where a call sends its operations. Operations of one call and of the calls behind it reach each
/// lane in the order they were submitted.
pub trait Submit {
    /// Sends `op` to the leader of the lane of its object. The answer comes back as `part`, a
    /// number that the call chooses, unique among its unanswered ones.
    fn submit(&mut self, part: u32, op: &Op<'_>, durability: Durability);

    /// Sends `op` ([`Op::Scan`], [`Op::Count`]) to the leader of a lane.
    fn submit_to(&mut self, part: u32, lane: Lane, op: &Op<'_>);

    /// The lane of an object.
    fn lane_of(&self, object: Object<'_>) -> Lane;

    /// Number of logic groups.
    fn logic_groups(&self) -> u16;

    /// The lanes of a logic group, by server index.
    fn lanes_of(&self, group: LogicGroup) -> Vec<Lane>;

    /// Wall time in milliseconds since 1970.
    fn now_ms(&self) -> u64;
}

/// Whether a call needs more answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Its whole answer was written.
    Done,
    /// Answers are outstanding.
    Waiting,
}

/// What became of a command when it was started.
#[derive(Debug)]
pub enum Started<C> {
    /// Its whole answer was written.
    Answered,
    /// The same, and the connection closes once the answer is sent.
    AnsweredAndClose,
    /// Answers are outstanding; further commands may be started meanwhile.
    Waiting(C),
    /// Answers are outstanding and more operations may follow from them, so no further command of
    /// the connection is started until this one is done.
    WaitingAlone(C),
}
