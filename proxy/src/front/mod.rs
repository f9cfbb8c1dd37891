//! The three client protocols, as pure code: bytes in, operations out; answers in, bytes out.
//!
//! A front never sees a socket or a node. It starts a *call* for each command: the call submits
//! operations through [`call::Submit`] and is handed their answers until it is done. The session
//! driver keeps the calls of a connection in order.

pub mod call;
pub mod fastdht;
pub mod http;
pub mod resp;
pub mod sniff;
