//! The bytes of what nodes say to each other: the body of a peer frame.
//!
//! ```text
//! voter generation u32 of the sender | messages to the end of the body: kind u8 | its fields
//! ```
//!
//! Integers are little-endian; the section "Between nodes" of `docs/PROTOCOL.md` has the fields of
//! each kind, and `storage-node/tests/golden/peer.hex` worked examples. A sender calls
//! [`put_generation`] once, then [`put_message`] and the other writers as often as it likes; a
//! receiver calls [`take_generation`], then [`take`] until nothing is left.
//!
//! Decoders borrow, allocate only for bytes that are there and panic on none. Numbers above
//! [`NUMBER_MAX`] are refused, so the machines may count on from any number they are told. Whether
//! the sender may say such a thing, and whether it names groups that exist, is the receiver's to
//! check.
//!
//! [`put_slot`] is no message: a voter's state of one group, for its disk, in the same encoding.

mod fields;
mod frame;
mod message;
mod records;
mod register_message;
mod slot;
#[cfg(test)]
mod tests;

pub use fields::{NUMBER_MAX, TERMS_MAX};
pub use frame::{check_peer_frame, put_generation, take_generation};
pub use message::{Incoming, put_message, put_needs_reseed, put_voters, take};
pub use records::{BODIES_MAX, RECORD_BYTES_MAX, RecordsWriter};
pub use slot::{put_slot, take_slot};
