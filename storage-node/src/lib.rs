//! The storage node: one file per logic group, one binlog, no knowledge of where else data lies.
//!
//! `binlog` and `engine` do not know each other; `group` evaluates operations; `replication` decides
//! who leads and what is official; `worker` drives it and states the order append -> durable ->
//! official -> applied -> answered. See `docs/ARCHITECTURE.md`.

pub mod args;
pub mod binlog;
pub mod catch_up;
pub mod control;
pub mod digest;
pub mod engine;
pub mod files;
pub mod group;
pub mod lane;
pub mod memory;
pub mod replication;

mod acceptor;
mod admin;
mod commands;
mod data_dir;
mod disk;
mod error;
mod flusher;
mod parallel;
mod peers;
mod replay;
mod run;
mod shared;
#[cfg(test)]
mod tests;
mod topology;
mod worker;

pub use error::StartError;
pub use run::run;
// What `fdht bench engine` has to do as a worker does it.
pub use worker::{LOG_KEPT_BYTES, ReclaimPace, SLICE_STEPS, SLICE_TIME, TICK, with_slice};
