//! The node protocol: what proxies, nodes and tools say to a node.
//!
//! Constraints: many requests of many clients in flight on one connection, answered in any order;
//! a node takes all frames of one read as a batch; versioned; nothing is allocated from a length
//! before its bytes have arrived.
//!
//! A connection begins with the node's [`Greeting`](hello::Greeting), the peer's
//! [`Hello`](hello::Hello) and the node's [`HelloAnswer`](hello::HelloAnswer). Then
//! [`Request`](request::RequestHead) and response frames flow, each pair under one id that the peer
//! chooses; announcements of the topology, questions for it and for the [`views`], and an operator's
//! [`command`]s are requests of other kinds. Nodes say more to each other in frames of their own,
//! whose bodies are the storage node's. The bytes are documented in
//! `docs/PROTOCOL.md` and pinned by the golden files in `common/tests/golden`.

pub mod command;
pub mod frame;
pub mod hello;
pub mod register;
pub mod reply;
pub mod request;
pub mod response;
pub mod views;
mod write;
