//! One worker: a thread with its own client sessions and its own node connections, nothing shared
//! on the way of a request.
//!
//! `core` holds the state and passes answers to their owners; `node_task` and `flush` move bytes to
//! and from nodes; `inbox` takes what other threads send and gives up requests at their deadlines.

mod core;
mod dispatch;
mod flush;
mod inbox;
mod node_task;

pub(crate) use self::core::{Owner, Worker};
pub(crate) use dispatch::Dispatcher;
pub(crate) use inbox::{Message, run};
