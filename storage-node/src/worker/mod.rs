//! One worker of a node: a thread that owns the groups `g` with `g mod workers` = its index.
//!
//! `core` executes what changes nothing and `write` what changes something; `turn` holds what one
//! turn appends together; `official` states the order append -> durable -> official -> applied ->
//! answered. `protocol` hands inputs to the groups' machines in
//! [`replication`](crate::replication), `actions` carries out what they want, `serve` sends followers
//! their records. `connection` is what arrives from a peer, `peer` what is sent to it; `links` and
//! `dial` are the connections to other nodes; `inbox` takes what other threads send; `maintain`
//! is what is due regularly, `flushing` begins flushes and slows writers down, `reclaim` does what is done
//! in slices, scans and counts (`walk`) among it; `compact` chooses files to return their free space.

mod actions;
mod compact;
mod connection;
mod core;
mod dial;
mod flushing;
mod group;
mod inbox;
mod input;
mod kept;
mod lead;
mod links;
mod maintain;
mod official;
mod peer;
mod protocol;
mod reclaim;
mod serve;
mod start;
mod status;
mod stopped;
mod turn;
mod walk;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use self::core::Core;
pub(crate) use compact::COMPACT_BYTES_MIN;
pub(crate) use connection::Introduced;
pub(crate) use dial::Partner;
pub(crate) use group::{OpenedGroup, OpenedLane};
pub use inbox::TICK;
pub(crate) use inbox::{Message, run};
pub use maintain::LOG_KEPT_BYTES;
pub(crate) use peer::Peer;
pub use reclaim::{ReclaimPace, SLICE_STEPS, SLICE_TIME, with_slice};
pub(crate) use start::{Life, Started};
pub(crate) use status::{DigestAsk, FollowerLag, GroupStatus, LaneStatus};
