//! The binlog: one append-only log per node, write-ahead log and replication log at once.
//!
//! It stores record bodies that mean nothing to it, in segments of a fixed length made ahead of
//! need. Format, life cycle and recovery are described in `docs/STORAGE.md`.
//!
//! Kept here:
//! * A batch is handed to the kernel with one write; nobody who appends waits for an fsync.
//! * `appended >= durable`; `durable` rises only after an fsync of everything before it (I1).
//! * The first failed write or fsync poisons the log until it is opened again.
//! * A changed byte is found at start: a torn tail is cut, everything else is refused (I13).
//!
//! The log does not know what records mean, whose answers wait for which position, or how long
//! anybody needs a segment: its owner states `append -> durable -> apply -> answer`.

mod batch;
mod damage;
mod error;
mod frame;
mod inspect;
mod log;
mod position;
mod reader;
mod recovery;
mod retention;
mod scan;
mod segment;
mod shared;
mod sync;
mod writer;

pub use batch::Batch;
pub use error::LogError;
pub use frame::BODY_BYTES_MAX;
pub use inspect::{Content, Flaw, Found, Frame, Inspector, SegmentFile};
pub use log::{
    Log, LogOptions, LogStats, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MIN, SYNC_INTERVAL_DEFAULT,
    Visitor, WhenAbsent,
};
pub use position::LogPosition;
pub use reader::LogReader;
pub use recovery::{Cut, RecoveryReport};
pub use scan::{RecordSink, Refusal, SegmentRecords};
pub use segment::LogIdentity;
pub use shared::SyncEvent;
pub use writer::AppendReceipt;

pub use crate::files::{Fs as LogFs, FsFile as LogFile, MemFs, PowerCut, RealFs};
