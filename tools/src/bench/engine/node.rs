//! What a node's worker does to its engine, on this thread: a turn of writes is encoded as log
//! records, appended together, and applied when it is as durable as asked. What it does beside the
//! turns is in [`duties`](super::duties).
//!
//! Left out are the evaluation of operations, the pending overlay, the dedup window and the protocol:
//! they belong to the layers above. A read sees what is applied, not the turn it is in.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::Instant;

use common::durability::Sync;
use common::ids::{
    ClusterId, Epoch, Lane, LogicGroup, Lsn, NodeId, RequestId, ServerIndex, StoreId, Stream,
};
use common::log_record::{LogHead, LogRecord, LogRecordWriter, Mutation};
use common::reply::{Existed, Reply, Written};
use common::stored::{Body, Stored};
use common::version::HlcClock;
use common::wire::reply;
use rt::clock::DataClock;
use storage_node::TICK;
use storage_node::binlog::{
    Batch, Log, LogFs, LogIdentity, LogOptions, LogPosition, RealFs, SEGMENT_BYTES_DEFAULT,
    SYNC_INTERVAL_DEFAULT, WhenAbsent,
};
use storage_node::engine::{FlushJob, Slice, Store, StoreIdentity, StoreOptions, View};
use storage_node::memory::Drain;

use super::draw::Draw;
use super::duties::Flush;
use super::flusher::{self, Event, Work};
use super::keys::{Keys, Values};
use super::place::failed;
use super::reclaim::Reclaim;
use super::round::{Length, Meter, Round};
use super::sizes::{Budget, Sizes};
use crate::bench::BenchError;
use crate::clock;

/// Entries of a memtable while the keys are loaded.
const LOAD_ENTRIES: u64 = 1_000_000;
/// What may wait for the flush thread, and for the one that writes.
const QUEUE: usize = 1024;
/// No sync but those that are asked for.
const SYNC_INTERVAL_NONE: std::time::Duration = std::time::Duration::from_secs(86_400);

/// The engine, its log and the thread that flushes.
pub(super) struct Node {
    pub(super) log: Arc<Log>,
    /// By logic group.
    pub(super) stores: Vec<Store>,
    /// The last number of each group's stream.
    lsns: Vec<Lsn>,
    sync: Sync,
    turn_ops: u64,
    keys: Keys,
    values: Values,
    key_count: u64,
    clock: DataClock,
    /// How far this engine's time is ahead of the clock.
    pub(super) ahead_ms: u64,
    /// Time of the turn, in milliseconds since 1970.
    pub(super) wall_ms: u64,
    hlc: HlcClock,
    batch: Batch,
    /// The group of each record of the turn.
    groups: Vec<usize>,
    answer: Vec<u8>,
    requests: u128,
    /// Memory of one entry, on average.
    pub(super) entry_bytes: f64,
    pub(super) budget: Budget,
    pub(super) budget_bytes: usize,
    pub(super) log_limit: u64,
    pub(super) memtable_bytes: usize,
    /// Of them, what is in the file already.
    pub(super) flushed_bytes: usize,
    pub(super) drain: Drain,
    /// Log records of the last turn.
    pub(super) turn_bytes: usize,
    pub(super) flush: Flush,
    /// Memtables that were frozen, and their memory.
    pub(super) frozen: (u64, u64),
    pub(super) tick_at: Instant,
    pub(super) reclaim: Reclaim,
    pub(super) released_segment: u64,
    pub(super) events: Receiver<Event>,
    pub(super) work: SyncSender<Work>,
    thread: Option<JoinHandle<()>>,
}

/// The head of a record of the group, written by the only leader there is.
pub(super) fn head(group: u16, lsn: Lsn, hlc: common::version::Hlc, request: u128) -> LogHead {
    let lane = Lane { group: LogicGroup(group), server: ServerIndex(0) };
    LogHead {
        stream: Stream { lane, epoch: Epoch(1) },
        lsn,
        hlc,
        node: NodeId::of_name("bench"),
        request: RequestId(request),
        open: 0,
    }
}

/// Appends a blind put of one record to `out`, as a worker does. `expire_at` in milliseconds since 1970,
/// 0 is never; `answer` is a buffer.
pub(super) fn encode_put(
    out: &mut Vec<u8>,
    head: &LogHead,
    (key, value): (&[u8], &[u8]),
    expire_at: u64,
    answer: &mut Vec<u8>,
) {
    let version = head.version();
    let total = u32::try_from(value.len()).expect("--value-size is limited");
    answer.clear();
    let existed = Existed::Unknown;
    let written = Written { applied: true, existed, version, expire_at, total, value: None };
    reply::encode(answer, &Reply::Written(written));
    let mut writer = LogRecordWriter::new(out, head);
    let stored = Stored { version, body: Body::Value { expire_at, value } };
    writer.mutation(&Mutation { key, stored });
    writer.finish(answer);
}

/// Applies a record that stands in the log at `at`.
pub(super) fn apply(store: &mut Store, body: &[u8], at: LogPosition) -> Result<(), BenchError> {
    let record = LogRecord::decode(body).map_err(|e| failed("read a record", e))?;
    let applied = store.apply(&record.head, &record.mutations, (at.segment, at.offset));
    applied.map_err(|e| failed("apply a record", e))
}

/// Makes the store of a group, as in a node whose groups have one server.
pub(super) fn store(dir: &Path, group: u16, cache_bytes: usize) -> Result<Store, BenchError> {
    let (path, identity, options) = store_parts(dir, group, cache_bytes);
    Store::create(&disk(), &path, identity, options).map_err(|e| failed("make a group's file", e))
}

/// Opens a store that [`store`] made.
pub(super) fn reopen(dir: &Path, group: u16, cache_bytes: usize) -> Result<Store, BenchError> {
    let (path, identity, options) = store_parts(dir, group, cache_bytes);
    Store::open(&disk(), &path, identity, options).map_err(|e| failed("open a group's file", e))
}

fn disk() -> Arc<dyn LogFs> {
    Arc::new(RealFs)
}

fn store_parts(
    dir: &Path,
    group: u16,
    cache_bytes: usize,
) -> (std::path::PathBuf, StoreIdentity, StoreOptions) {
    let LogIdentity { store, cluster, node } = identity();
    let identity = StoreIdentity { store, cluster, node, group: LogicGroup(group) };
    let options = StoreOptions { cache_bytes, servers: 1, purge_tombstones: true };
    (dir.join(format!("{group}.redb")), identity, options)
}

fn identity() -> LogIdentity {
    LogIdentity {
        store: StoreId(1),
        cluster: ClusterId::of_name("bench"),
        node: NodeId::of_name("bench"),
    }
}

/// Begins a log in `dir`.
pub(super) fn log(dir: &Path, segment_bytes: u64, sync: Sync) -> Result<Log, BenchError> {
    let sync_interval = if sync == Sync::None { SYNC_INTERVAL_NONE } else { SYNC_INTERVAL_DEFAULT };
    let options = LogOptions { segment_bytes, sync_interval, when_absent: WhenAbsent::Create };
    let opened =
        Log::open(Arc::new(RealFs), &dir.join("log"), identity(), options, &mut |_, _| Ok(()));
    opened.map(|(log, _)| log).map_err(|e| failed("begin a log", e))
}

impl Node {
    /// An engine in `dir` with `keys` keys in its files.
    pub(super) fn load(dir: &Path, sizes: &Sizes, keys: u64) -> Result<Self, BenchError> {
        let cache_bytes = sizes.cache_bytes / usize::from(sizes.groups);
        let stores =
            (0..sizes.groups).map(|group| store(dir, group, cache_bytes)).collect::<Result<_, _>>();
        let log = Arc::new(log(dir, SEGMENT_BYTES_DEFAULT, sizes.sync)?);
        let (event, events) = mpsc::sync_channel(QUEUE);
        let (work, jobs) = mpsc::sync_channel(QUEUE);
        let synced = event.clone();
        // Where the queue is full, what is in it makes the node look at the log as well.
        log.on_sync(move |_| drop(synced.try_send(Event::Synced)));
        let thread = flusher::start(Arc::clone(&log), jobs, event)?;
        let mut node = Self {
            log,
            stores: stores?,
            lsns: vec![Lsn(0); usize::from(sizes.groups)],
            sync: sizes.sync,
            turn_ops: u64::from(sizes.turn),
            keys: Keys::default(),
            values: Values::new(sizes.value_bytes),
            key_count: keys,
            clock: DataClock::default(),
            ahead_ms: 0,
            wall_ms: rt::clock::wall_ms(),
            hlc: HlcClock::default(),
            batch: Batch::new(),
            groups: Vec::new(),
            answer: Vec::new(),
            requests: 0,
            entry_bytes: 1.0,
            budget: Budget::None,
            budget_bytes: usize::MAX / 2,
            log_limit: sizes.log_limit,
            memtable_bytes: 0,
            flushed_bytes: 0,
            drain: Drain::default(),
            turn_bytes: 0,
            flush: Flush::Idle,
            frozen: (0, 0),
            tick_at: clock::now() + TICK,
            reclaim: Reclaim::new(clock::now()),
            released_segment: 0,
            events,
            work,
            thread: Some(thread),
        };
        node.fill()?;
        Ok(node)
    }

    /// Writes every key once, past the log: what replaces a bulk load.
    fn fill(&mut self) -> Result<(), BenchError> {
        let groups = self.group_count();
        for number in 0..self.key_count {
            let hlc = self.hlc.tick(self.wall_ms);
            let (group, key) = self.keys.physical(number, groups);
            self.lsns[group] = self.lsns[group].next();
            let head = head(u16_of(group), self.lsns[group], hlc, 0);
            let value = self.values.of(number);
            let body = Body::Value { expire_at: 0, value };
            let mutation = Mutation { key, stored: Stored { version: head.version(), body } };
            // Places before the log's first.
            let applied = self.stores[group].apply(&head, &[mutation], (0, number));
            applied.map_err(|e| failed("load a key", e))?;
            let loaded = number + 1;
            if loaded % LOAD_ENTRIES != 0 && loaded != self.key_count {
                continue;
            }
            if self.entry_bytes <= 1.0 {
                let bytes: usize = self.stores.iter().map(Store::memory_bytes).sum();
                self.entry_bytes = bytes as f64 / loaded as f64;
            }
            self.stores.iter_mut().try_for_each(flush_here)?;
        }
        Ok(())
    }

    pub(super) fn group_count(&self) -> u16 {
        u16_of(self.stores.len())
    }

    /// From now on a flush begins above this.
    pub(super) fn set_budget(&mut self, budget: Budget) {
        self.budget = budget;
        self.budget_bytes = match budget {
            Budget::Bytes(bytes) => bytes,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "memory of a memtable"
            )]
            Budget::Entries(entries) => (entries as f64 * self.entry_bytes) as usize,
            // Twice of it is still a number.
            Budget::None => usize::MAX / 2,
        };
    }

    /// Freezes all memtables and hands their flushes out.
    pub(super) fn freeze(&mut self) -> Vec<(usize, FlushJob)> {
        let stores = self.stores.iter_mut().enumerate();
        stores.filter_map(|(group, store)| Some((group, store.begin_flush()?))).collect()
    }

    /// Runs flushes that were handed out, on this thread.
    pub(super) fn thaw(&mut self, jobs: Vec<(usize, FlushJob)>) -> Result<(), BenchError> {
        let appended = self.log.appended();
        self.log.request_sync(appended);
        self.wait_durable(appended)?;
        jobs.into_iter().try_for_each(|(group, job)| finish_here(&mut self.stores[group], job))
    }

    /// Runs turns of drawn operations, until what they wrote is in the files.
    pub(super) fn round(&mut self, draw: &mut Draw, length: Length) -> Result<Round, BenchError> {
        let frozen_before = self.frozen;
        let began = clock::now();
        let flushes = |per_group: u64| frozen_before.0 + per_group * u64::from(self.group_count());
        let frozen_end = match length {
            Length::Flushes(per_group) => flushes(per_group),
            Length::Ops(_) | Length::Time(_) => u64::MAX,
        };
        let mut meter = Meter::start(began)?;
        let (mut from, mut over) = (began, false);
        while !over {
            let left = match length {
                Length::Ops(all) => (all - meter.ops()).min(self.turn_ops),
                Length::Flushes(_) | Length::Time(_) => self.turn_ops,
            };
            self.turn(draw, left)?;
            let pause = self.duties()?;
            let to = clock::now();
            meter.turn(left, from, to, pause);
            from = to;
            over = match length {
                Length::Ops(all) => meter.ops() >= all,
                Length::Time(time) => to.duration_since(began) >= time,
                Length::Flushes(_) => self.frozen.0 >= frozen_end,
            };
        }
        match length {
            Length::Flushes(_) => self.wait_flushed()?,
            Length::Ops(_) | Length::Time(_) => self.settle()?,
        }
        let (flushes, bytes) = (self.frozen.0 - frozen_before.0, self.frozen.1 - frozen_before.1);
        meter.end(flushes, bytes as f64 / self.entry_bytes)
    }

    /// One turn of `ops` operations.
    pub(super) fn turn(&mut self, draw: &mut Draw, ops: u64) -> Result<(), BenchError> {
        self.wall_ms = self.now_ms();
        for _ in 0..ops {
            let number = draw.key();
            if draw.is_write() { self.write(number, 0)? } else { self.check_read(number)? }
        }
        self.end_turn()
    }

    /// One turn that writes these keys, to expire at a time in milliseconds since 1970.
    pub(super) fn write_turn(
        &mut self,
        mut numbers: Range<u64>,
        expire_at: u64,
    ) -> Result<(), BenchError> {
        self.wall_ms = self.now_ms();
        numbers.try_for_each(|number| self.write(number, expire_at))?;
        self.end_turn()
    }

    /// This engine's time, in milliseconds since 1970.
    pub(super) fn now_ms(&mut self) -> u64 {
        self.clock.wall_ms() + self.ahead_ms
    }

    fn write(&mut self, number: u64, expire_at: u64) -> Result<(), BenchError> {
        let groups = self.group_count();
        let hlc = self.hlc.tick(self.wall_ms);
        let (group, key) = self.keys.physical(number, groups);
        self.lsns[group] = self.lsns[group].next();
        self.requests += 1;
        let head = head(u16_of(group), self.lsns[group], hlc, self.requests);
        let (value, answer) = (self.values.of(number), &mut self.answer);
        let pushed = self.batch.push(|out| encode_put(out, &head, (key, value), expire_at, answer));
        pushed.map_err(|e| failed("make a log record", e))?;
        self.groups.push(group);
        Ok(())
    }

    /// Append, as durable as asked, apply.
    fn end_turn(&mut self) -> Result<(), BenchError> {
        self.turn_bytes = self.batch.bytes();
        if self.batch.is_empty() {
            return Ok(());
        }
        let receipt = self.log.append(&mut self.batch).map_err(|e| failed("append", e))?;
        if self.sync == Sync::Always {
            self.log.request_sync(receipt.end);
            self.wait_durable(receipt.end)?;
        }
        for (index, &group) in self.groups.iter().enumerate() {
            let at = self.batch.position(receipt.first, index);
            apply(&mut self.stores[group], self.batch.body(index), at)?;
        }
        self.batch.clear();
        self.groups.clear();
        Ok(())
    }

    /// Reads a key and checks that its value is its own.
    pub(super) fn check_read(&mut self, number: u64) -> Result<(), BenchError> {
        let groups = self.group_count();
        let (group, key) = self.keys.physical(number, groups);
        let record = self.stores[group].record(key).map_err(|e| failed("read", e))?;
        let stored = record.as_ref().map(|record| record.stored());
        let found = match stored.as_ref().map(|stored| stored.body) {
            Some(Body::Value { value, .. }) => self.values.is_of(number, value),
            _ => false,
        };
        if found {
            return Ok(());
        }
        Err(BenchError::Found(format!("key {number} without its value in the engine")))
    }

    /// Checks that nothing but a tombstone is left of a key.
    pub(super) fn check_gone(&mut self, number: u64) -> Result<(), BenchError> {
        let groups = self.group_count();
        let (group, key) = self.keys.physical(number, groups);
        let record = self.stores[group].record(key).map_err(|e| failed("read", e))?;
        if record.is_none_or(|record| record.stored().body == Body::Tombstone) {
            return Ok(());
        }
        Err(BenchError::Found(format!("key {number} in the engine, though it is reclaimed")))
    }

    /// Counts the objects of all groups.
    pub(super) fn count(&self) -> Result<u64, BenchError> {
        let counts = self.stores.iter().map(|store| count_all(store, self.wall_ms));
        counts.sum()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Nobody listens any more: the flush thread must not wait for room in the queue.
        self.events = mpsc::sync_channel(0).1;
        drop(self.work.send(Work::Stop));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Counts the objects of a group.
pub(super) fn count_all(store: &Store, now_ms: u64) -> Result<u64, BenchError> {
    let count = store.count(b"", ServerIndex(0), now_ms, &mut Slice::unbounded());
    Ok(count.map_err(|e| failed("count", e))?.unwrap_or_default())
}

/// Flushes a store's memtable on this thread.
pub(super) fn flush_here(store: &mut Store) -> Result<(), BenchError> {
    let job = store.begin_flush();
    job.map_or(Ok(()), |job| finish_here(store, job))
}

fn finish_here(store: &mut Store, job: FlushJob) -> Result<(), BenchError> {
    // Nothing is measured now, so it may take its time here.
    drop(store.finish_flush(job.run()));
    store.stopped().map_or(Ok(()), |why| Err(failed("flush", why)))
}

fn u16_of(group: usize) -> u16 {
    u16::try_from(group).expect("--groups is limited")
}
