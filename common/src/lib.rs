//! The vocabulary that every part of FastDHT shares: ids, addresses, hashing and routing, versions,
//! operations, and the codecs of the log record and of the node protocol.
//!
//! Pure: no socket, no clock, no file, no task. Everything here is a function of its arguments, so
//! it can be fuzzed, simulated and pinned by golden bytes.

#![warn(clippy::indexing_slicing, missing_docs)]

pub mod address;
pub mod agreed;
pub mod codec;
pub mod durability;
pub mod failure;
pub mod hash;
pub mod ids;
pub mod key;
pub mod limits;
pub mod log_record;
pub mod op;
pub mod register;
pub mod reply;
pub mod stored;
pub mod version;
pub mod view;
pub mod wire;
