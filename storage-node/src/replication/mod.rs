//! Who leads a lane and when a record is official: the replication protocol as plain state machines.
//!
//! Nothing here knows a socket, a clock, a file or a task. Inputs (`on_*`) take `now_ms`, the
//! node's monotonic clock, which also counts while the process is stopped; what is to be done is
//! pushed as [`action::Action`]s, to be carried out **in their order**: what a `Store…` action names
//! is durable before any action behind it is begun. `poll_timeout` says when `on_timeout` wants to
//! be called next.
//!
//! - [`register`]: the agreed value of a group, its voters and its proposer (guarantees 3, 4.1)
//! - [`lease`]: who may answer reads (guarantees 3)
//! - [`lane`]: one lane on one server: leader, follower (guarantees 2.5, 3, 4.2)
//! - [`member`]: one group on one server: what it wants from the register (guarantees 3, 4)
//! - [`wire`]: the bytes of what the machines say to each other, and of a voter's slot on disk
//!
//! The simulator in `integration-tests/sim` runs these machines; [`rules::Rules`] switches single
//! rules off there, so that its checkers are known to find what they look for.

pub mod action;
pub mod lane;
pub mod lease;
pub mod member;
pub mod message;
pub mod position;
pub mod register;
pub mod rules;
pub mod timing;
pub mod wire;
