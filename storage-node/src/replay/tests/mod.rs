//! Replay: what it does whatever the log holds.

mod bench;
mod model;
mod threads;
