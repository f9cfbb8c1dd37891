//! The storage of one logic group: a memtable over a redb file.
//!
//! [`Store`] applies log records to the active memtable, answers reads from the memtables and the
//! file, and hands frozen memtables to a flush that runs on another thread. It does not know the
//! log: it is told where a record stands, and says from where on the log is still needed. It does
//! not evaluate operations either; evaluation reads through [`View`] and decides with [`visible`].
//!
//! Invariants kept here:
//! * a greater version wins, an equal one changes nothing, so applying twice is harmless;
//! * positions reach the file with, or after, the last of the data they cover;
//! * counts reach the file with the data they count;
//! * what hides records leaves the file after what it hides;
//! * no read transaction outlives the next commit of a flush.

pub(crate) mod backend;
mod before;
mod changes;
mod checked_pages;
mod chunk;
mod compact;
mod counts;
mod digest;
pub mod error;
mod file;
mod flush;
mod garbage;
mod layers;
mod layout;
mod memtable;
mod meta;
mod open_file;
mod order;
mod readers;
mod reclaim;
pub mod record;
mod replace;
pub(crate) mod rules;
mod scan;
mod sealed;
pub mod slice;
mod sort;
mod store;
#[cfg(test)]
mod tests;
pub mod view;
pub mod visible;

pub use compact::{CompactEnd, CompactJob, CompactStep, Space};
pub use digest::{BUCKETS, DigestKey, DigestKeys, DigestPage, bucket_of};
pub use error::EngineError;
pub use flush::{FlushDone, FlushJob, Garbage};
pub use layout::{Checkpoint, StoreIdentity};
pub use record::RecordRef;
pub use scan::{ScanFrom, VisitObject};
pub use slice::Slice;
pub use store::{Store, StoreOptions};
pub use view::View;
