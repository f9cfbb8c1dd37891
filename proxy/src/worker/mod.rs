//! One worker: a thread with its own client sessions and its own node connections, nothing shared
//! on the way of a request.
//!
//! `core` holds the state and passes answers to their owners; `node_task` and `flush` move bytes to
//! and from nodes; `retry` repeats requests, and `inbox` gives them up at their deadlines and takes
//! what other threads send; `follow` adopts the topology that nodes know.

mod core;
mod dispatch;
mod flush;
mod follow;
mod inbox;
mod node_task;
mod retry;

pub(crate) use self::core::{Owner, Worker};
pub(crate) use dispatch::Dispatcher;
pub(crate) use follow::Seen;
pub(crate) use inbox::{Message, WorkerStatus, run};
