//! A store with a log that forgets nothing, and writes of single records to it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use common::address::{Field, Object};
use common::ids::{
    ClusterId, Epoch, Lane, LogicGroup, Lsn, NodeId, RequestId, ServerIndex, StoreId, Stream,
};
use common::key::{HEADER_SUFFIX, KIND_NAMED, put_field_suffix, put_object_prefix};
use common::log_record::{LogHead, Mutation};
use common::stored::{Body, Stored};
use common::version::{Hlc, Version};
use redb::{Builder, WriteTransaction};
use tempfile::TempDir;

use crate::engine::changes::entry_bytes;
use crate::engine::checked_pages;
use crate::engine::chunk::Cursor;
use crate::engine::layout::{expiry_key, split_key};
use crate::engine::sealed::decode_record;
use crate::engine::{Slice, Store, StoreIdentity, StoreOptions, View};
use crate::files::{Fs, MemFs, PowerCut, RealFs};

/// The real file system.
pub(super) fn real() -> Arc<dyn Fs> {
    Arc::new(RealFs)
}

pub(super) const OPTIONS: StoreOptions =
    StoreOptions { cache_bytes: 8 << 10, servers: 2, purge_tombstones: true };

pub(super) fn identity() -> StoreIdentity {
    StoreIdentity {
        store: StoreId(7),
        cluster: ClusterId::of_name("demo"),
        node: NodeId::of_name("a1"),
        group: LogicGroup(3),
    }
}

pub(super) fn stream() -> Stream {
    let lane = Lane { group: LogicGroup(3), server: ServerIndex(0) };
    Stream { lane, epoch: Epoch(1) }
}

pub(super) fn version(hlc: u64) -> Version {
    Version { epoch: Epoch(1), hlc: Hlc(hlc), node: NodeId::of_name("a1") }
}

pub(super) fn object(name: &str) -> Object<'_> {
    Object { namespace: b"ns", name: name.as_bytes() }
}

pub(super) fn prefix(name: &str) -> Vec<u8> {
    let mut prefix = Vec::new();
    put_object_prefix(&mut prefix, object(name));
    prefix
}

pub(super) fn key(name: &str, field: Field<'_>) -> Vec<u8> {
    let mut key = prefix(name);
    put_field_suffix(&mut key, field);
    key
}

pub(super) fn header_key(name: &str) -> Vec<u8> {
    [&prefix(name), HEADER_SUFFIX].concat()
}

/// What one record of a write is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Put {
    Value { expire_at: u64, value: Vec<u8> },
    Tombstone,
    Header { expire_at: u64, cleared: u64 },
}

impl Put {
    pub(super) fn value(value: &str) -> Self {
        Self::Value { expire_at: 0, value: value.into() }
    }

    fn stored(&self, hlc: u64) -> Stored<'_> {
        let body = match self {
            Self::Value { expire_at, value } => Body::Value { expire_at: *expire_at, value },
            Self::Tombstone => Body::Tombstone,
            Self::Header { expire_at, cleared: 0 } => {
                Body::Header { expire_at: *expire_at, cleared: Version::default() }
            }
            Self::Header { expire_at, cleared } => {
                Body::Header { expire_at: *expire_at, cleared: version(*cleared) }
            }
        };
        Stored { version: version(hlc), body }
    }
}

/// The live objects of a lane.
pub(super) fn count(store: &Store, server: ServerIndex, now_ms: u64) -> u64 {
    let count = store.count(b"ns", server, now_ms, &mut Slice::unbounded());
    count.expect("readable").expect("it goes to the end")
}

/// A store in a directory of its own and everything that was ever logged. A record's number is its
/// time as well.
pub(super) struct Bench {
    pub(super) directory: TempDir,
    pub(super) options: StoreOptions,
    fs: Arc<dyn Fs>,
    path: PathBuf,
    store: Option<Store>,
    log: Vec<Vec<(Vec<u8>, Put)>>,
    /// So many records of the log are durable.
    durable: usize,
}

impl Bench {
    pub(super) fn new(options: StoreOptions) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let path = directory.path().join("3.redb");
        Self::on(real(), directory, path, options)
    }

    /// A store on a simulated disk.
    pub(super) fn on_disk(disk: &MemFs, options: StoreOptions) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        Self::on(Arc::new(disk.clone()), directory, PathBuf::from("/3.redb"), options)
    }

    fn on(fs: Arc<dyn Fs>, directory: TempDir, path: PathBuf, options: StoreOptions) -> Self {
        let store = Store::create(&fs, &path, identity(), options);
        let store = Some(store.expect("created"));
        fs.sync_dir(path.parent().expect("it is absolute")).expect("synced");
        Self { directory, options, fs, path, store, log: Vec::new(), durable: 0 }
    }

    /// The same with what is left of it on another disk.
    pub(super) fn beside(&self, disk: &MemFs) -> Self {
        let (log, durable) = (self.log.clone(), self.durable);
        let directory = TempDir::new().expect("a temporary directory");
        let (fs, path) = (Arc::new(disk.clone()), self.path.clone());
        let options = self.options;
        let mut bench = Self { directory, options, fs, path, store: None, log, durable };
        bench.reopen();
        bench
    }

    pub(super) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Makes the log durable.
    pub(super) fn sync_log(&mut self) {
        self.durable = self.log.len();
    }

    /// Goes on with what a power cut has left on the disk. Returns how many records the log has left.
    pub(super) fn after_power_cut(&mut self, disk: &MemFs, mode: PowerCut) -> usize {
        self.store = None;
        let unsynced = self.log.len() - self.durable;
        let kept = match mode {
            PowerCut::LoseUnsynced => 0,
            PowerCut::KeepAll => unsynced,
            PowerCut::TornSectors(seed) => usize::try_from(seed).unwrap() % (unsynced + 1),
        };
        self.log.truncate(self.durable + kept);
        // What is found is written again and synced before it is used.
        self.durable = self.log.len();
        self.fs = Arc::new(disk.clone());
        self.reopen();
        self.log.len()
    }

    pub(super) fn store(&self) -> &Store {
        self.store.as_ref().expect("open")
    }

    pub(super) fn store_mut(&mut self) -> &mut Store {
        self.store.as_mut().expect("open")
    }

    /// Closes the file and keeps its directory.
    pub(super) fn close(self) -> TempDir {
        self.directory
    }

    /// What was written with a record's number.
    pub(super) fn logged(&self, number: u64) -> &[(Vec<u8>, Put)] {
        &self.log[usize::try_from(number).unwrap() - 1]
    }

    /// The number and time of the next record.
    pub(super) fn next(&self) -> u64 {
        self.log.len() as u64 + 1
    }

    pub(super) fn write(&mut self, puts: Vec<(Vec<u8>, Put)>) {
        self.log.push(puts);
        self.apply_logged(self.log.len() as u64);
    }

    pub(super) fn set(&mut self, name: &str, expire_at: u64, value: &str) {
        let put = Put::Value { expire_at, value: value.into() };
        self.write(vec![(key(name, Field::Unnamed), put)]);
    }

    pub(super) fn hset(&mut self, name: &str, field: &str, value: &str) {
        self.write(vec![(key(name, Field::Named(field.as_bytes())), Put::value(value))]);
    }

    fn apply_logged(&mut self, number: u64) {
        let puts = self.log[usize::try_from(number).unwrap() - 1].clone();
        self.apply(stream(), number, number, &puts);
    }

    /// Applies a record of any stream that stands at `mark` in the log and is not replayed. Its number
    /// is its time.
    pub(super) fn apply(
        &mut self,
        stream: Stream,
        number: u64,
        mark: u64,
        puts: &[(Vec<u8>, Put)],
    ) {
        let mutations: Vec<_> =
            puts.iter().map(|(key, put)| Mutation { key, stored: put.stored(number) }).collect();
        let head = LogHead {
            stream,
            lsn: Lsn(number),
            hlc: Hlc(number),
            node: NodeId::of_name("a1"),
            request: RequestId(u128::from(number)),
            open: 0,
        };
        self.store_mut().apply(&head, &mutations, (1, mark)).expect("keys are keys");
    }

    pub(super) fn flush(&mut self) {
        self.sync_log();
        if let Some(job) = self.store_mut().begin_flush() {
            let done = job.run();
            assert!(done.error().is_none(), "{:?}", done.error());
            drop(self.store_mut().finish_flush(done));
        }
    }

    /// Stops after some commits of a flush, as a crash would.
    pub(super) fn flush_partly(&mut self, commits: usize) {
        let Some(job) = self.store_mut().begin_flush() else {
            return;
        };
        let order = job.table.sorted(0);
        let mut cursor = Cursor::new(&job.table, &order);
        let mut totals = job.totals.clone();
        for _ in 0..commits {
            if job.write_commit(&mut cursor, &mut totals).expect("written") {
                break;
            }
        }
    }

    /// Changes the file behind the store's back, with the checksums of its pages.
    pub(super) fn tamper(&mut self, change: impl FnOnce(&WriteTransaction)) {
        self.store = None;
        let opened = checked_pages::open(&*self.fs, &self.path, &Builder::new());
        let write = opened.expect("opened").0.begin_write().expect("begun");
        change(&write);
        write.commit().expect("written");
    }

    /// Loses the memtables and closes the file.
    pub(super) fn drop_store(&mut self) {
        self.store = None;
    }

    /// Loses the memtables, opens the file again and replays the log behind its checkpoint.
    pub(super) fn reopen(&mut self) {
        self.store = None;
        let store = Store::open(&self.fs, &self.path, identity(), self.options).expect("opened");
        let checkpoint = store.checkpoint().clone();
        self.store = Some(store);
        let flushed = checkpoint.positions.get(&stream()).map_or(0, |lsn| lsn.0);
        assert!(flushed <= self.log.len() as u64, "the file is ahead of the log (I6)");
        assert_eq!((checkpoint.hlc.0, checkpoint.log_mark.1), (flushed, flushed));
        for number in flushed + 1..=self.log.len() as u64 {
            self.apply_logged(number);
        }
    }

    /// Whether what the file says about its records is so: the counts by kind, and the expiry index. A
    /// header that reclaim is done with may lack there where tombstones are kept.
    pub(super) fn check_file(&self) {
        let reader = self.store().reader().expect("readable");
        let mut records = reader.records_from(b"").expect("readable");
        let (mut headers, mut named, mut stored_bytes) = (0, 0, 0);
        let mut expiry = BTreeSet::new();
        while let Some((key, value)) = records.next().expect("readable") {
            stored_bytes += entry_bytes(key.value(), value.value());
            let stored = decode_record(key.value(), value.value()).expect("a record");
            let (prefix, suffix) = split_key(key.value()).expect("a key");
            let is_value = matches!(stored.body, Body::Value { .. });
            headers += u64::from(matches!(stored.body, Body::Header { .. }));
            named += u64::from(is_value && suffix.first() == Some(&KIND_NAMED));
            if stored.expire_at() != 0 {
                expiry.insert(expiry_key(stored.expire_at(), prefix, suffix).into_boxed_slice());
            }
        }
        let totals = &self.store().totals;
        assert_eq!((totals.headers, totals.named), (headers, named));
        let listed = reader.expiry_after(b"", u64::MAX - 1, usize::MAX).expect("readable");
        stored_bytes += listed.iter().map(|key| entry_bytes(key, &[])).sum::<u64>();
        assert_eq!(totals.stored, stored_bytes);
        let mut listed: BTreeSet<_> = listed.into_iter().collect();
        if !self.options.purge_tombstones {
            for index in [&mut expiry, &mut listed] {
                index.retain(|key| !key.ends_with(HEADER_SUFFIX));
            }
        }
        assert_eq!(listed, expiry);
    }

    pub(super) fn reclaim_all(&mut self, now_ms: u64) {
        while self.reclaim(now_ms, 50) > 0 {}
    }

    /// One slice, with the same safe time for all lanes.
    pub(super) fn reclaim(&mut self, now_ms: u64, slice: usize) -> usize {
        let mut slice = Slice::steps(slice);
        self.store_mut().reclaim(|_| now_ms, &mut slice).expect("reclaimed");
        slice.taken()
    }

    /// The records of an object, tombstones left out: suffix and value.
    pub(super) fn records(&self, name: &str) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        let mut visit = |suffix: &[u8], stored: Stored<'_>| {
            if stored.body != Body::Tombstone {
                records.push(suffix.to_vec());
            }
            ControlFlow::Continue(())
        };
        self.store().fields(&prefix(name), &[], &mut visit).expect("readable");
        records
    }

    pub(super) fn count(&self, now_ms: u64) -> u64 {
        let lanes = 0..self.options.servers;
        lanes.map(|server| count(self.store(), ServerIndex(server), now_ms)).sum()
    }
}
