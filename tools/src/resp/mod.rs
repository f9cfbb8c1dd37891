//! A small RESP2 client, written for the tools alone: it shares no code with the proxy, so the two
//! check each other.

mod client;
mod codec;

pub(crate) use client::{Client, ClientError};
pub use codec::check_reply;
pub(crate) use codec::{CodecError, Outcome, Reply, put_command, skip};
