//! Tests of a worker's core: real stores, a log on a simulated disk, the node's own voter as the only
//! one, answers read from a socket.
//!
//! A test plays the other threads: it says when a sync of the log begins to hang and when it goes on,
//! runs the flushes, hands over what the control thread says, and crashes and reopens the node. Time
//! is the real one, so a test waits for what takes time, and for nothing else.

mod answer;
mod client;
mod clock;
mod compacting;
mod control;
mod crash;
mod dedup;
mod drive;
mod durability;
mod failing_log;
mod flushing;
mod follower;
mod gate;
mod groups;
mod kept;
mod node;
mod order;
mod other;
mod pressure;
mod recovery;
mod refusals;
mod register;
mod request;
mod stopped;
mod two_servers;
mod walks;
mod weak;
