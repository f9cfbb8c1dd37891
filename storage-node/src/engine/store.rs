//! One logic group's store: its file, the active memtable, and at most one that is being flushed.
//!
//! A store belongs to one worker thread and has no locks of its own. A flush runs elsewhere on a
//! [`FlushJob`], and takes the reader of the file away with each of its commits: a read transaction
//! that lives on while others commit makes the file grow without bound.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use common::codec::DecodeError;
use common::hash::KeyHash;
use common::ids::{Lsn, ServerIndex, Stream};
use common::key::{HEADER_SUFFIX, decode_object_prefix};
use common::log_record::{LogHead, Mutation};
use common::stored::Stored;
use common::version::{Hlc, Version};

use crate::engine::EngineError;
use crate::engine::compact::{CompactEnd, CompactJob, Space, StopCopy};
use crate::engine::counts::CountCache;
use crate::engine::file::{FileReader, FileState, GroupFile, Totals};
use crate::engine::flush::{FlushDone, FlushFailed, FlushJob, Garbage};
use crate::engine::layers::Layers;
use crate::engine::layout::{Checkpoint, StoreIdentity, split_key};
use crate::engine::memtable::{Entry, GarbageMark, KeyHasher, Memtable, Origin, clears, wins};
use crate::engine::order::OrderIndex;
use crate::engine::readers::Readers;
use crate::engine::reclaim::ReclaimState;
use crate::engine::record::RecordRef;
use crate::engine::rules::{Rule, holds};
use crate::engine::view::{View, Visit};
use crate::files::Fs;

/// How a store is run. Only `servers` is part of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// The file's page cache, in bytes. Half of it bounds what one commit of a flush changes.
    pub cache_bytes: usize,
    /// Servers of the physical group: with the key's hash they decide an object's lane.
    pub servers: u8,
    /// Whether a flush drops tombstones instead of writing them. Right only where nobody else
    /// holds a copy of the lane from which an older record could come back.
    pub purge_tombstones: bool,
}

/// A memtable and what the worker derives from it on demand.
pub(super) struct Layer {
    /// Shared with the flush once it is frozen; nobody changes it then.
    pub(super) table: Arc<Memtable>,
    pub(super) counts: RefCell<CountCache>,
    pub(super) order: RefCell<OrderIndex>,
    /// The lowest place in the log of a record that was applied to the table. A record may be applied
    /// after ones that stand behind it, so it is not that of the first record.
    first_mark: Option<(u64, u64)>,
}

impl Layer {
    fn new(hasher: KeyHasher) -> Self {
        Self {
            table: Arc::new(Memtable::new(hasher)),
            counts: RefCell::default(),
            order: RefCell::default(),
            first_mark: None,
        }
    }

    fn mark(&mut self, log_mark: (u64, u64)) {
        self.first_mark = Some(self.first_mark.map_or(log_mark, |first| first.min(log_mark)));
    }

    fn is_empty(&self) -> bool {
        self.first_mark.is_none() && self.table.objects() == 0
    }

    fn table_mut(&mut self) -> &mut Memtable {
        Arc::get_mut(&mut self.table).expect("only a frozen table is shared")
    }
}

/// So many flushes in a row may fail because the file could not be read, before the group stops.
const UNREADABLE_MAX: u32 = 3;

/// A flush that failed and is tried again.
struct Retry {
    checkpoint: Checkpoint,
    /// Nobody has asked for it yet.
    fresh: bool,
}

/// The storage of one logic group.
pub struct Store {
    pub(super) options: StoreOptions,
    file: Arc<GroupFile>,
    file_bytes: u64,
    disk_bytes: u64,
    /// The file is being copied.
    copying: Option<StopCopy>,
    checkpoint: Checkpoint,
    pub(super) totals: Totals,
    applied: BTreeMap<Stream, Lsn>,
    hlc: Hlc,
    log_mark: (u64, u64),
    hasher: KeyHasher,
    pub(super) active: Layer,
    pub(super) frozen: Option<Layer>,
    retry: Option<Retry>,
    /// Flushes in a row that failed because the file could not be read.
    unreadable: u32,
    stopped: Option<String>,
    readers: Arc<Readers>,
    pub(super) reclaim: ReclaimState,
}

impl Store {
    /// Creates the group's file. Its name is durable when the caller has synced the directory, once
    /// for many files, before anything relies on what is in it.
    ///
    /// # Errors
    /// There is a file already, or the file system refuses.
    pub fn create(
        fs: &Arc<dyn Fs>,
        path: &Path,
        identity: StoreIdentity,
        options: StoreOptions,
    ) -> Result<Self, EngineError> {
        let file = GroupFile::create(fs, path, &identity, options.servers, options.cache_bytes)?;
        let totals = Totals::default();
        let state = FileState { checkpoint: Checkpoint::default(), totals };
        Ok(Self::new(file, state, options))
    }

    /// Opens the group's file. The caller syncs the directory here, too: whoever made the file may
    /// have been killed before.
    ///
    /// # Errors
    /// It cannot be read, is damaged, of another format, or belongs to another group, node, store
    /// or cluster.
    pub fn open(
        fs: &Arc<dyn Fs>,
        path: &Path,
        identity: StoreIdentity,
        options: StoreOptions,
    ) -> Result<Self, EngineError> {
        let (servers, cache_bytes) = (options.servers, options.cache_bytes);
        let (file, state) = GroupFile::open(fs, path, &identity, servers, cache_bytes)?;
        Ok(Self::new(file, state, options))
    }

    fn new(file: GroupFile, state: FileState, options: StoreOptions) -> Self {
        let hasher = KeyHasher::default();
        let file = Arc::new(file);
        let (file_bytes, disk_bytes) = file.bytes();
        Self {
            options,
            file_bytes,
            disk_bytes,
            copying: None,
            readers: Arc::new(Readers::new(Arc::clone(&file))),
            file,
            applied: state.checkpoint.positions.clone(),
            hlc: state.checkpoint.hlc,
            log_mark: state.checkpoint.log_mark,
            checkpoint: state.checkpoint,
            totals: state.totals,
            active: Layer::new(hasher.clone()),
            hasher,
            frozen: None,
            retry: None,
            unreadable: 0,
            stopped: None,
            reclaim: ReclaimState::default(),
        }
    }

    /// How far the log is in the file. Replay begins behind its positions.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// How far the log is applied, in the file or in memory.
    #[must_use]
    pub fn applied(&self) -> &BTreeMap<Stream, Lsn> {
        &self.applied
    }

    /// The greatest time of an applied record: the clock must stay above it.
    #[must_use]
    pub fn hlc(&self) -> Hlc {
        self.hlc
    }

    /// Memory of the active memtable, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.active.table.memory_bytes()
    }

    /// Memory of the memtable that is being flushed, in bytes.
    #[must_use]
    pub fn flushing_bytes(&self) -> usize {
        self.frozen.as_ref().map_or(0, |frozen| frozen.table.memory_bytes())
    }

    /// Size of the file after the last flush, in bytes.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The lowest place in the log of an applied record that is not in the file yet. Nothing behind it
    /// may be released from the log.
    #[must_use]
    pub fn oldest_unflushed(&self) -> Option<(u64, u64)> {
        let frozen = self.frozen.as_ref().and_then(|frozen| frozen.first_mark);
        [frozen, self.active.first_mark].into_iter().flatten().min()
    }

    /// Why the group takes no writes any more; reads go on. It ends with a restart.
    #[must_use]
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// Applies a log record that stands at `log_mark`. A record that was applied before changes
    /// nothing. Records of one stream come in their order; records of different streams in any order,
    /// whatever their places in the log. One without mutations, such as the start of a stream, only
    /// moves its stream's position.
    ///
    /// # Errors
    /// A key is no physical key; nothing was changed.
    pub fn apply(
        &mut self,
        head: &LogHead,
        mutations: &[Mutation<'_>],
        log_mark: (u64, u64),
    ) -> Result<(), EngineError> {
        if self.applied.get(&head.stream).is_some_and(|&applied| applied >= head.lsn) {
            return Ok(());
        }
        for mutation in mutations {
            let (prefix, _) = split_key(mutation.key)?;
            decode_object_prefix(prefix)?;
        }
        for mutation in mutations {
            let (prefix, suffix) = split_key(mutation.key)?;
            self.put(prefix, suffix, &mutation.stored, Origin::Log);
        }
        self.applied.insert(head.stream, head.lsn);
        self.hlc = self.hlc.max(head.hlc);
        self.log_mark = self.log_mark.max(log_mark);
        self.active.mark(log_mark);
        Ok(())
    }

    /// Puts one record into the active memtable unless a greater version is in memory.
    pub(super) fn put(
        &mut self,
        prefix: &[u8],
        suffix: &[u8],
        stored: &Stored<'_>,
        origin: Origin,
    ) {
        let key = self.hasher.key(prefix);
        let flushing = self.frozen.as_ref().and_then(|f| f.table.find_key(key));
        let flushing = flushing.and_then(|node| node.fields().get(suffix));
        if flushing.is_some_and(|old| !wins(stored, old.stored().version, origin)) {
            return;
        }
        let Some(number) = self.active.table_mut().put_key(key, suffix, stored, origin) else {
            return;
        };
        let counts = self.active.counts.get_mut();
        counts.changed(&self.active.table, number, self.options.servers);
        self.reclaim.on_expiry(stored.expire_at());
        if suffix == HEADER_SUFFIX && clears(stored) {
            self.open_garbage(prefix);
        }
    }

    /// Notes that the object may have hidden fields.
    pub(super) fn open_garbage(&mut self, prefix: &[u8]) {
        if self.active.table_mut().mark(prefix, GarbageMark::Open) != GarbageMark::Open {
            self.reclaim.on_garbage(prefix);
        }
    }

    /// Lets the next flush take a record out of the file, or a header that must stay out of the expiry
    /// index, if it still has this version then.
    pub(super) fn drop_record(&mut self, prefix: &[u8], suffix: &[u8], version: Version) {
        self.active.table_mut().drop_record(prefix, suffix, version);
    }

    /// Notes that the object has no hidden fields any more.
    pub(super) fn close_garbage(&mut self, prefix: &[u8]) {
        self.active.table_mut().mark(prefix, GarbageMark::Done);
    }

    /// Freezes the active memtable and hands it out for the flush. The caller makes the log durable
    /// up to [`FlushJob::log_mark`], runs the job on a thread that may block, and gives its result
    /// to [`Self::finish_flush`].
    ///
    /// Nothing is to be done when the memtable is empty, while a flush is under way, or when the
    /// group has stopped. While the file is copied nothing is to be done yet: the copy is given up. A flush that failed
    /// because the disk was full, or could not be read, is tried again, but not the first time
    /// somebody asks: room is not made that fast.
    pub fn begin_flush(&mut self) -> Option<FlushJob> {
        if self.stopped.is_some() {
            return None;
        }
        if let Some(copying) = self.copying.as_ref().filter(|_| holds(Rule::FlushWaitsForCopy)) {
            copying.stop();
            return None;
        }
        if let Some(retry) = &mut self.retry {
            if std::mem::take(&mut retry.fresh) {
                return None;
            }
            let Retry { checkpoint, .. } = self.retry.take()?;
            return self.flush_job(checkpoint);
        }
        if self.active.is_empty() || self.frozen.is_some() {
            return None;
        }
        let active = Layer::new(self.hasher.clone());
        self.frozen = Some(std::mem::replace(&mut self.active, active));
        self.reclaim.on_freeze();
        self.flush_job(Checkpoint {
            positions: self.applied.clone(),
            hlc: self.hlc,
            log_mark: self.log_mark,
        })
    }

    /// Whether a flush has failed and is to be tried again with [`Self::begin_flush`].
    #[must_use]
    pub fn wants_retry(&self) -> bool {
        self.retry.is_some()
    }

    fn flush_job(&self, checkpoint: Checkpoint) -> Option<FlushJob> {
        Some(FlushJob {
            file: Arc::clone(&self.file),
            readers: Arc::clone(&self.readers),
            opened: OnceCell::new(),
            table: Arc::clone(&self.frozen.as_ref()?.table),
            checkpoint,
            totals: self.totals.clone(),
            options: self.options,
            file_bytes: self.file_bytes,
        })
    }

    /// Takes the result of the flush. After an error the frozen memtable stays for reads. If only the
    /// disk was full, or could not be read for once, the flush can be tried again; else the group has
    /// [stopped](Self::stopped). What the flush leaves over is for another thread to drop.
    pub fn finish_flush(&mut self, done: FlushDone) -> Garbage {
        (self.file_bytes, self.disk_bytes) = self.file.bytes();
        let unreadable = matches!(&done.result, Err(failed) if !failed.full);
        self.unreadable = if unreadable { self.unreadable + 1 } else { 0 };
        match done.result {
            Ok(totals) => {
                self.checkpoint = done.checkpoint;
                self.totals = totals;
                self.reclaim.on_flushed();
                Garbage::new(self.frozen.take())
            }
            Err(FlushFailed { again: Some(totals), .. }) if self.unreadable < UNREADABLE_MAX => {
                // Some of it may be in the file, and in its counts.
                self.totals = totals;
                if let Some(frozen) = &mut self.frozen {
                    frozen.table.forget_below();
                    *frozen.counts.get_mut() = CountCache::default();
                }
                self.retry = Some(Retry { checkpoint: done.checkpoint, fresh: true });
                Garbage::default()
            }
            Err(FlushFailed { error, .. }) => {
                self.stopped = Some(format!("the flush failed: {error}; restart the node"));
                Garbage::default()
            }
        }
    }

    /// What the file takes and needs, as of the last flush or copy.
    #[must_use]
    pub fn space(&self) -> Space {
        Space { file: self.disk_bytes, stored: self.totals.stored }
    }

    /// Whether nothing is done to the file, nor is to be done to it first: it may be copied.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.stopped.is_none() && self.frozen.is_none() && self.copying.is_none()
    }

    /// Hands out the file to be copied without its free space. Its last step gives the result to
    /// [`Self::finish_compaction`]. None when the group has stopped, or while a flush or a copy is
    /// under way.
    pub fn begin_compaction(&mut self) -> Option<CompactJob> {
        if !self.is_free() {
            return None;
        }
        let stop = self.copying.insert(StopCopy::default()).clone();
        let (file, readers) = (Arc::clone(&self.file), Arc::clone(&self.readers));
        Some(CompactJob::new(file, readers, self.options.cache_bytes, stop))
    }

    /// Takes the result of a copy. If it has the name of the file and that is not durable, the group
    /// has [stopped](Self::stopped).
    pub fn finish_compaction(&mut self, end: &CompactEnd) {
        self.copying = None;
        (self.file_bytes, self.disk_bytes) = self.file.bytes();
        match end {
            CompactEnd::Replaced { stored } => self.totals.stored = *stored,
            CompactEnd::NotDurable(error) => {
                self.stopped =
                    Some(format!("its file was not replaced: {error}; restart the node"));
            }
            CompactEnd::Stopped | CompactEnd::NotWritten(_) | CompactEnd::NotRead(_) => {}
        }
    }

    /// The file as it is now; during a flush, as it is behind one of its last commits. What those wrote
    /// is in the frozen memtable as well.
    pub(super) fn reader(&self) -> Result<Arc<FileReader>, EngineError> {
        self.readers.get()
    }

    /// All layers, with a reader of the file.
    pub(super) fn layers<'s, 'r>(&'s self, file: &'r FileReader) -> Layers<'s, 'r> {
        Layers {
            active: Some(&self.active.table),
            frozen: self.frozen_table(),
            file,
            only_unnamed: self.totals.only_unnamed(),
        }
    }

    /// The memtable that is being flushed.
    pub(super) fn frozen_table(&self) -> Option<&Memtable> {
        self.frozen.as_ref().map(|frozen| &*frozen.table)
    }

    fn in_memory(&self, prefix: &[u8], suffix: &[u8]) -> Option<Entry<'_>> {
        let tables = [Some(&*self.active.table), self.frozen_table()];
        if tables.iter().flatten().all(|table| table.objects() == 0) {
            return None;
        }
        let key = self.hasher.key(prefix);
        let mut nodes = tables.into_iter().flatten().filter_map(|table| table.find_key(key));
        nodes.find_map(|node| node.fields().get(suffix))
    }
}

impl View for Store {
    fn record(&self, key: &[u8]) -> Result<Option<RecordRef<'_>>, EngineError> {
        let (prefix, suffix) = split_key(key)?;
        if let Some(entry) = self.in_memory(prefix, suffix) {
            return Ok(Some(RecordRef::Memory(entry.stored_bytes())));
        }
        Ok(self.reader()?.get(key)?.map(RecordRef::Page))
    }

    fn fields(&self, prefix: &[u8], from: &[u8], visit: &mut Visit<'_>) -> Result<(), EngineError> {
        let reader = self.reader()?;
        self.layers(&reader).fields(prefix, from, |suffix, stored, _| visit(suffix, stored))
    }

    fn may_have_headers(&self) -> bool {
        self.totals.headers > 0
            || self.active.table.has_headers()
            || self.frozen_table().is_some_and(Memtable::has_headers)
    }
}

/// The home server of the object with this prefix, which was checked before.
pub(super) fn server_of(prefix: &[u8], servers: u8) -> ServerIndex {
    lane_of(prefix, servers).expect("checked when it was applied")
}

/// The home server of the object with a prefix that comes from a file or from outside.
pub(super) fn lane_of(prefix: &[u8], servers: u8) -> Result<ServerIndex, DecodeError> {
    let (object, _) = decode_object_prefix(prefix)?;
    Ok(KeyHash::of(object).server_index(servers))
}
