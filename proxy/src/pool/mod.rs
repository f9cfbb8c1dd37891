//! Connections to the nodes: which requests are on the way on which connection, and what becomes of
//! them when the connection breaks or time runs out. No socket in here: the worker's node tasks
//! move the bytes.

mod connection;
mod in_flight;
mod nodes;

pub(crate) use connection::LinkState;
pub(crate) use in_flight::Ticket;
pub(crate) use nodes::{ConnectionKey, LARGE_BYTES, NodeStatus, Pool, Request};
