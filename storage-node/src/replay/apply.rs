//! Applying the log's records to the groups of one thread.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::ids::Lsn;
use common::log_record::{self, LogHead, LogRecord};

use super::covered;
use super::crew::{Chunk, Common};
use crate::binlog::{LogPosition, Refusal};
use crate::engine::Store;
use crate::lane::{Backlog, Body, Entry};
use crate::replication::position::{Head, Position};
use crate::worker::{OpenedGroup, OpenedLane};

/// The groups of one thread.
pub(super) struct Applier {
    /// Group g is at g / threads.
    groups: Vec<Option<GroupReplay>>,
    threads: usize,
    /// Memtables are flushed when those of all threads take more than the first, if those of this
    /// one take at least the second, its share.
    limit_bytes: (usize, usize),
    memory_bytes: usize,
    common: Arc<Common>,
    /// The segment that is worked on.
    data: Arc<Vec<u8>>,
    durable: LogPosition,
    refusal: Option<Refusal>,
}

/// A group on the way.
struct GroupReplay {
    group: OpenedGroup,
    /// By server: what is not known to be official, which most records are for a moment.
    waiting: Vec<Backlog<Waiting>>,
    /// The last place in the log of a record that was applied.
    applied: LogPosition,
}

/// A record that is not applied.
enum Waiting {
    /// It is in the segment that is worked on.
    InSegment(Range<usize>),
    /// A copy, so that no segment stays in memory for the sake of a few records.
    Copied(Vec<u8>),
}

impl Body for Waiting {
    fn bytes(&self) -> usize {
        match self {
            Self::InSegment(place) => place.len(),
            Self::Copied(body) => body.len(),
        }
    }
}

impl Waiting {
    fn body<'b>(&'b self, data: &'b [u8]) -> &'b [u8] {
        match self {
            Self::InSegment(place) => &data[place.clone()],
            Self::Copied(body) => body,
        }
    }

    fn into_copy(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::InSegment(place) => data[place].to_vec(),
            Self::Copied(body) => body,
        }
    }
}

impl Applier {
    /// Of `threads` that share the groups, one that has `groups`.
    pub(super) fn new(
        groups: impl Iterator<Item = OpenedGroup>,
        threads: usize,
        limit_bytes: (usize, usize),
        common: Arc<Common>,
    ) -> Self {
        let mut own = Vec::new();
        for group in groups {
            let place = usize::from(group.id.0) / threads;
            let waiting = group.lanes.iter().map(|_| Backlog::default()).collect();
            own.resize_with(place, || None);
            own.push(Some(GroupReplay { group, waiting, applied: LogPosition::default() }));
        }
        let (data, durable) = (Arc::default(), LogPosition::default());
        Self {
            groups: own,
            threads,
            limit_bytes,
            memory_bytes: 0,
            common,
            data,
            durable,
            refusal: None,
        }
    }

    /// The first record that was refused; none behind it is applied.
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// Applies the next records.
    pub(super) fn apply(&mut self, chunk: Chunk) {
        if self.refusal.is_some() {
            return;
        }
        if !Arc::ptr_eq(&self.data, &chunk.data) {
            self.leave_segment();
            self.data = Arc::clone(&chunk.data);
        }
        self.durable = chunk.durable;
        let before = self.memory_bytes;
        for (at, place) in chunk.records {
            if let Err(reason) = self.replay(at, place) {
                self.refusal = Some(Refusal { at, reason });
                self.common.refused.store(true, Ordering::Relaxed);
                return;
            }
        }
        self.count_memory(before);
        self.flush();
    }

    /// Its groups, with everything applied that is known to be official.
    pub(super) fn into_groups(mut self) -> impl Iterator<Item = OpenedGroup> {
        self.leave_segment();
        self.groups.into_iter().flatten().map(|replay| {
            let GroupReplay { mut group, waiting, .. } = replay;
            for (lane, waiting) in group.lanes.iter_mut().zip(waiting) {
                for Entry { at, log, body } in waiting.into_entries() {
                    lane.backlog.push(Entry { at, log, body: body.into_copy(&[]) });
                }
            }
            group
        })
    }

    /// Copies what waits, since the segment is not kept.
    fn leave_segment(&mut self) {
        let waiting = self.groups.iter_mut().flatten().flat_map(|group| &mut group.waiting);
        for body in waiting.flat_map(Backlog::bodies_mut) {
            if let Waiting::InSegment(place) = body {
                *body = Waiting::Copied(self.data[place.clone()].to_vec());
            }
        }
        self.data = Arc::default();
    }

    fn replay(&mut self, at: LogPosition, place: Range<usize>) -> Result<(), String> {
        let body = &self.data[place.clone()];
        let head = log_record::decode_head(body).map_err(|error| error.to_string())?;
        let id = head.stream.lane.group;
        let group = self.groups.get_mut(usize::from(id.0) / self.threads).and_then(Option::as_mut);
        let group = group.expect("records come to the thread that has their group");
        let before = group.flushable_bytes();
        group.replay(&head, at, place, &self.data)?;
        // The memory of all its groups is at least that of this one.
        self.memory_bytes = self.memory_bytes + group.flushable_bytes() - before;
        Ok(())
    }

    /// Tells the others how much memory was taken or given back since it was `before`.
    fn count_memory(&self, before: usize) {
        let all = &self.common.memory_bytes;
        if self.memory_bytes >= before {
            all.fetch_add(self.memory_bytes - before, Ordering::Relaxed);
        } else {
            all.fetch_sub(before - self.memory_bytes, Ordering::Relaxed);
        }
    }

    /// Flushes the largest memtables until there is room, as far as the log is durable (I6).
    fn flush(&mut self) {
        let (all, own) = self.limit_bytes;
        while self.common.memory_bytes.load(Ordering::Relaxed) > all && self.memory_bytes > own {
            let durable = self.durable;
            let open = |group: &&mut GroupReplay| group.flushable_bytes() > 0;
            let groups = self.groups.iter_mut().flatten().filter(open);
            let largest = groups.map(|group| group.flushable_bytes()).max();
            let groups = self.groups.iter_mut().flatten().filter(open);
            let groups =
                groups.filter(|group| group.applied.max(covered(&group.group.store)) < durable);
            let chosen = groups.max_by_key(|group| group.flushable_bytes());
            // What waits for the log may be far larger than what does not; small flushes are dear.
            let worth = largest.unwrap_or_default() / 2;
            let Some(group) = chosen.filter(|group| group.flushable_bytes() >= worth) else {
                self.common.wants_durable.fetch_or(largest.is_some(), Ordering::Relaxed);
                return;
            };
            let before = self.memory_bytes;
            let group_before = group.flushable_bytes();
            group.flush();
            self.memory_bytes = before + group.flushable_bytes() - group_before;
            self.count_memory(before);
            if self.memory_bytes == before {
                return;
            }
        }
    }
}

impl GroupReplay {
    fn replay(
        &mut self,
        head: &LogHead,
        log: LogPosition,
        place: Range<usize>,
        data: &[u8],
    ) -> Result<(), String> {
        let LogHead { stream, lsn, .. } = *head;
        let servers = self.group.lanes.len();
        let server = usize::from(stream.lane.server.0);
        let lane = self.group.lanes.get_mut(server).zip(self.waiting.get_mut(server));
        let (lane, waiting) = lane.ok_or_else(|| {
            format!("the record is of {}, but the group has {servers} servers", stream.lane)
        })?;
        let at = Position { epoch: stream.epoch, lsn };
        lane.index.note(at, log);
        let ends = log_record::decode_ends(&data[place.clone()]).map_err(|e| e.to_string())?;
        let ends =
            ends.map(|ends| ends.into_iter().map(|(epoch, lsn)| Position { epoch, lsn }).collect());
        if lsn > lane.held.of(stream.epoch) && !lane.held.take(&Head { at, ends }) {
            // Of a stream that ended, what was void may have left the log in part.
            if stream.epoch < lane.held.last().epoch {
                return Ok(());
            }
            let last = lane.held.of(stream.epoch);
            // Records of a stream have no gaps, so a gap is a part of the log that was lost (I13).
            return Err(format!(
                "{lsn} of {stream} follows {last}: records between them, or before the stream, are \
                 missing; see `Errors at start` in docs/OPERATIONS.md"
            ));
        }
        if lsn > self.group.store.applied().get(&stream).copied().unwrap_or_default() {
            waiting.push(Entry { at, log, body: Waiting::InSegment(place) });
        }
        let official = lsn.0.saturating_sub(1).saturating_sub(u64::from(head.open));
        if official > 0 {
            let official = Position { epoch: stream.epoch, lsn: Lsn(official) };
            lane.official = lane.official.max(official);
        }
        let applied = apply_official(&mut self.group.store, lane, waiting, data)?;
        self.applied = self.applied.max(applied);
        Ok(())
    }

    /// Memory that a flush gives back. That of a group whose flush failed counts for nothing: nobody
    /// makes room for it before the node runs.
    fn flushable_bytes(&self) -> usize {
        let store = &self.group.store;
        let failed = store.stopped().is_some() || store.wants_retry();
        if failed { 0 } else { store.memory_bytes() }
    }

    /// Writes the memtable into the file. After an error the group goes on being replayed into memory.
    fn flush(&mut self) {
        let store = &mut self.group.store;
        if let Some(job) = store.begin_flush() {
            let done = job.run();
            if let Some(error) = done.error() {
                tracing::error!(group = %self.group.id, %error, "memtable not flushed");
            }
            drop(store.finish_flush(done));
        }
    }
}

/// Returns the last place in the log of what was applied.
fn apply_official(
    store: &mut Store,
    lane: &OpenedLane,
    waiting: &mut Backlog<Waiting>,
    data: &[u8],
) -> Result<LogPosition, String> {
    let mut last = LogPosition::default();
    let Some(first) = waiting.front().map(|entry| entry.at) else { return Ok(last) };
    if first > lane.official {
        return Ok(last);
    }
    // The older streams are asked for only if there is something of them.
    let is_usual = first.epoch == lane.official.epoch;
    let chain = if is_usual { Vec::new() } else { lane.held.chain() };
    while let Some(entry) = waiting.pop_official(lane.official, &chain) {
        let record = LogRecord::decode(entry.body.body(data)).map_err(|error| error.to_string())?;
        let mark = (entry.log.segment, entry.log.offset);
        store.apply(&record.head, &record.mutations, mark).map_err(|error| error.to_string())?;
        last = last.max(entry.log);
    }
    Ok(last)
}
