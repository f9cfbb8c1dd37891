//! Evaluation of an operation against a lane's latest data: the reply, and for writes the changed
//! keys that become one log record. The record carries results; replicas evaluate nothing.
//!
//! Pure: reads through a [`View`](crate::engine::view::View), gets the time as an argument, knows no
//! clock, no socket, no file.
//!
//! Invariants:
//!
//! * What exists is decided by [`engine::visible`](crate::engine::visible) alone.
//! * What was replaced, deleted or expired never comes back: neither when the string that hid it is
//!   deleted, nor when the object is written again.
//! * No object inherits the expiry of one that had ceased to exist before.
//! * A refused operation leaves no draft and no answer.
//! * Get, put and add of one record allocate nothing beyond the buffers they are given.
//!
//! SCAN and COUNT look at a whole lane, not at records, and are answered by the engine.

mod action;
mod batch;
mod draft;
mod expiry;
mod keys;
mod live;
mod moment;
mod number;
mod object;
mod outcome;
mod page;
mod read;
mod refused;
mod target;
mod write;

#[cfg(test)]
mod tests;

pub use draft::Draft;
pub use keys::KeyBuffer;
pub use moment::Moment;
pub use read::read;
pub use refused::Refused;
pub use write::write;
