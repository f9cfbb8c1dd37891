//! What reaches a group's protocol from outside, when it cannot be handled at once.

use common::ids::NodeId;

use crate::replication::message::{Message, Records};

/// Inputs that wait while something of the group is made durable. More than this are dropped: the
/// protocol repeats what is lost.
pub(crate) const INPUTS_MAX: usize = 4_096;

/// One input.
pub(crate) enum Input {
    /// A message without records.
    Message(NodeId, Message),
    /// Records that arrived.
    Records(Arrived<Vec<u8>>),
}

/// Records that arrived from a leader.
pub(crate) struct Arrived<B> {
    pub(crate) from: NodeId,
    pub(crate) records: Records,
    /// Everything the leader will still append has a greater time, in milliseconds since 1970.
    pub(crate) safe_ms: u64,
    /// Some of them have to be durable before they are official.
    pub(crate) sync: bool,
    /// The records.
    pub(crate) bodies: Vec<B>,
}
