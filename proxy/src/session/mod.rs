//! Client connections: who speaks which protocol, and for RESP and FastDHT the loop that starts
//! commands in order, and sends their answers in order.

mod accept;
mod front;
mod slots;
mod state;

pub(crate) use accept::accept;
pub(crate) use state::Session;
