//! What a worker remembers of a lane between its log and its store. Pure structures: no clock, no
//! file, no task.
//!
//! * [`backlog`]: the records that are in the log but not applied
//! * [`index`]: where in the log older records of a stream stand
//! * [`dedup`]: the answers of recent requests by their ids (guarantees 2.9, I7)
//! * [`retention`]: how long the log is kept for servers that are away (guarantees 3)

pub mod backlog;
pub mod dedup;
pub mod index;
pub mod retention;

pub use backlog::{Backlog, Body, Entry};
pub use dedup::{DEDUP_BYTES_DEFAULT, DedupWindow, Kept};
pub use index::{MARK_BYTES, StreamIndex};
pub use retention::{Keep, Lack, Retention};
