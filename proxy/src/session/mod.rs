//! Client connections: who speaks which protocol, and for RESP and FastDHT the loop that starts
//! commands in order, and sends their answers in order.
//!
//! `connection` moves bytes; `state` decides what is started, held back and sent; `slots` keeps the
//! order; `front` is the one place that tells the protocols apart.

mod accept;
mod connection;
mod front;
mod slots;
mod state;

pub(crate) use accept::accept;
pub(crate) use connection::Session;
