//! What operators do to the cluster as a whole, over the nodes' own protocol: bring its logic groups
//! into being, and replace a lost voter set.
//!
//! Invariants:
//! * What is done is decided by pure functions of the topology and of what the servers answered
//!   (`birth`, `succession`); the rest only asks and tells.
//! * A voter set is only ever replaced by one with a greater generation, after the old one was told
//!   to stop: what the old one agreed on before is known then, and it agrees on nothing afterwards.
//! * Everything can be repeated, also after it stopped half-way.

mod birth;
mod client;
mod connection;
mod error;
mod failover;
#[cfg(test)]
mod fake;
mod init;
mod known;
mod secret;
mod succession;

pub(crate) use error::ClusterError;
pub(crate) use failover::{FailoverArgs, failover};
pub(crate) use init::{Outcome, init};
pub(crate) use secret::secret;
