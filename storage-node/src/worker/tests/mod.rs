//! Tests of a worker's core: real stores, a log on a simulated disk, answers read from a socket.
//!
//! A test plays the other threads: it says when a sync of the log begins to hang and when it goes on,
//! runs the flushes, and crashes and reopens the node. Nothing sleeps.

mod answer;
mod client;
mod durability;
mod failing_log;
mod flushing;
mod gate;
mod groups;
mod node;
mod order;
mod recovery;
mod refusals;
mod request;
