//! What one logic group does with its records. Operations are evaluated by the lane's leader into a
//! reply and a list of changed keys; nothing here knows a socket, a task or a file format.
//!
//! * [`evaluate`]: operation in, reply and changed keys out. Pure.
//! * [`changes`]: changed keys laid over a [`View`](crate::engine::view::View).
//! * [`overlay`]: the pending records of a lane, which are not official yet.

pub mod changes;
pub mod evaluate;
pub mod overlay;
