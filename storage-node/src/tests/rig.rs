//! A store and its log on one disk, driven as a worker and its threads do: append, apply, sync, flush
//! behind the log, release behind the flush.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use common::ids::{ClusterId, LogicGroup, NodeId, StoreId};
use common::log_record::LogRecord;

use super::lying::{Lie, LyingFs};
use super::script::stream;
use crate::binlog::{
    Batch, Log, LogIdentity, LogOptions, LogPosition, SEGMENT_BYTES_MIN, SyncEvent, WhenAbsent,
};
use crate::engine::{FlushJob, Store, StoreIdentity, StoreOptions};
use crate::files::{Fs, MemFs};

/// Where the group's file is.
pub(super) fn file() -> PathBuf {
    PathBuf::from("/groups/3.redb")
}

pub(super) const OPTIONS: StoreOptions =
    StoreOptions { cache_bytes: 8 << 10, servers: 2, purge_tombstones: true };

pub(super) fn identity() -> StoreIdentity {
    StoreIdentity {
        store: StoreId(7),
        cluster: ClusterId::of_name("demo"),
        node: NodeId(1),
        group: LogicGroup(3),
    }
}

/// The store, open.
pub(super) struct Rig {
    pub(super) store: Store,
    pub(super) log: Log,
    synced: Receiver<SyncEvent>,
}

/// What was found when it was opened: the log's records, by their numbers.
pub(super) type Found = Vec<(u64, Vec<u8>)>;

impl Rig {
    /// Opens log and file, or makes them, and replays. What is not as it must be is an error.
    pub(super) fn open(disk: &MemFs, lie: Lie) -> Result<(Self, Found), String> {
        let fs = LyingFs::over(disk, lie);
        let mut store = open_store(&fs)?;
        let StoreIdentity { store: id, cluster, node, .. } = identity();
        let options = LogOptions {
            segment_bytes: SEGMENT_BYTES_MIN,
            sync_interval: Duration::from_secs(24 * 3600),
            when_absent: WhenAbsent::Create,
        };
        let mut records = Vec::new();
        let mut visit = |at: LogPosition, body: &[u8]| {
            records.push((at, body.to_vec()));
            Ok(())
        };
        let identity = LogIdentity { store: id, cluster, node };
        let (log, report) = Log::open(fs, Path::new("/log"), identity, options, &mut visit)
            .map_err(|error| error.to_string())?;
        let covered = store.checkpoint().log_mark;
        if LogPosition::new(covered.0, covered.1) >= report.end {
            return Err(format!("the file is ahead of the log (I6): {covered:?}, {}", report.end));
        }
        let mut found = Found::new();
        for (at, body) in records {
            let record = LogRecord::decode(&body).map_err(|error| error.to_string())?;
            let mark = (at.segment, at.offset);
            store.apply(&record.head, &record.mutations, mark).map_err(|e| e.to_string())?;
            let number = record.head.lsn.0;
            if found.last().is_some_and(|(last, _)| last + 1 != number) {
                return Err(format!("a gap before record {number}"));
            }
            found.push((number, body));
        }
        let flushed = store.checkpoint().positions.get(&stream()).map_or(0, |lsn| lsn.0);
        if found.first().is_some_and(|(first, _)| *first > flushed + 1) {
            return Err(format!("the log begins behind the file, which ends at {flushed}"));
        }
        let (sender, synced) = channel();
        log.on_sync(move |event| drop(sender.send(event)));
        Ok((Self { store, log, synced }, found))
    }

    /// Appends and applies a record; whether the log took it.
    pub(super) fn append(&mut self, body: &[u8]) -> bool {
        let mut batch = Batch::new();
        batch.push(|out| out.extend_from_slice(body)).unwrap();
        let at = self.log.appended();
        if self.log.append(&mut batch).is_err() {
            return false;
        }
        let record = LogRecord::decode(body).unwrap();
        // Not before where it stands, which is all that is asked of a mark.
        let mark = (at.segment, at.offset);
        self.store.apply(&record.head, &record.mutations, mark).unwrap();
        true
    }

    /// Makes the log durable; whether it is.
    pub(super) fn sync(&self) -> bool {
        let upto = self.log.appended();
        self.log.request_sync(upto);
        while self.log.durable() < upto {
            match self.synced.recv_timeout(Duration::from_secs(60)).expect("the thread is silent") {
                SyncEvent::Durable(_) => {}
                SyncEvent::Poisoned(_) => return false,
            }
        }
        true
    }

    /// Runs a flush that has begun; whether it was successful.
    pub(super) fn run(&mut self, job: FlushJob) -> bool {
        let done = job.run();
        let well = done.error().is_none();
        drop(self.store.finish_flush(done));
        well
    }

    /// Flushes behind the log, and releases of the log what is not needed any more.
    pub(super) fn flush(&mut self, before_the_log: bool) -> bool {
        let Some(job) = self.store.begin_flush() else {
            return self.store.stopped().is_none();
        };
        if before_the_log {
            return self.run(job) && self.sync();
        }
        if !(self.sync() && self.run(job)) {
            return false;
        }
        let needed = self.store.oldest_unflushed();
        let upto = needed
            .map_or(self.log.durable(), |(segment, offset)| LogPosition::new(segment, offset));
        self.log.release(upto).is_ok()
    }
}

fn open_store(fs: &Arc<dyn Fs>) -> Result<Store, String> {
    let path = file();
    fs.create_dir(Path::new("/groups")).map_err(|e| e.to_string())?;
    fs.sync_dir(Path::new("/")).map_err(|e| e.to_string())?;
    let exists = fs.exists(&path).map_err(|e| e.to_string())?;
    let open = if exists { Store::open } else { Store::create };
    let store = open(fs, &path, identity(), OPTIONS).map_err(|error| error.to_string())?;
    fs.sync_dir(Path::new("/groups")).map_err(|e| e.to_string())?;
    Ok(store)
}
