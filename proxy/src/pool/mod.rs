//! What is between the fronts and the nodes: who leads which lane, which requests are on the way on
//! which connection, and what becomes of them when a leader changes, a connection breaks or time
//! runs out (guarantees 4.5). No socket in here: the worker's node tasks move the bytes.
//!
//! ```text
//! Pool (core)  submit, answers, lost connections, views, deadlines
//!   lanes        the queue of each lane
//!     lane_queue   order and pace: flow, stall, probe, open
//!   requests     every unanswered request with its bytes; ids and attempts
//!   nodes        the servers of the topology and their connections
//!   asker        whom to ask for views, and when
//!   outcome      what a client is told
//!   status       the same for people
//! ```
//!
//! Invariants:
//! * A request goes out under one request id however often it is repeated (I7), and only its last
//!   attempt's answer counts.
//! * No request of a lane is sent while another one of that lane, submitted earlier, is to be
//!   repeated: what one client submits reaches a lane in this order, also across a failover.
//! * Views go forward only; nothing is guessed where there is none.

mod asker;
mod connection;
mod core;
mod lane_queue;
mod lanes;
mod nodes;
mod outcome;
mod requests;
mod status;
#[cfg(test)]
mod tests;

pub(crate) use self::core::{GivenUp, LARGE_BYTES, Pool, Request};
pub(crate) use connection::LinkState;
pub(crate) use nodes::{ConnectionKey, NodeStatus};
pub(crate) use requests::Ticket;
pub(crate) use status::LaneStatus;
