//! The node's small durable state, and the thread that owns it and runs the node's voter.
//!
//! [`ControlStore`] is the file: process starts, promises of lanes, what a power cut may have taken,
//! the voter set, and what the voter answered for. Format and life cycle are in `docs/STORAGE.md`,
//! section "control.redb". [`Control`] is the way to the thread: it takes what waits, asks the voter
//! (the rules of voter generations stand in front of it), commits once, and only then tells anybody
//! anything.
//!
//! Kept here:
//! * what an answer depends on is durable before the answer leaves (guarantees 3);
//! * a promise, a process start and a voter generation never fall, over restarts too;
//! * after the first failed commit nothing is voted on and nothing is reported as stored;
//! * a voter that was not admitted answers nothing (guarantees 2.2).
//!
//! Nothing here knows a lane's log, a socket or a worker's inbox: answers leave through an outlet.

mod boot;
mod electorate;
mod error;
mod kept;
mod layout;
mod store;
#[cfg(test)]
mod tests;
mod thread;
mod turn;

pub use boot::boot_id;
pub use electorate::AdmitRefused;
pub use error::ControlError;
pub use kept::{Change, Kept, Started};
pub use layout::NodeIdentity;
pub use store::ControlStore;
pub use thread::{Control, ControlInbox, ControlStart, start};
pub use turn::{ControlEvent, Outlet, Request};
