//! One logic group on its worker: its store, and the lane that this node leads.

use std::collections::VecDeque;
use std::rc::Rc;

use common::ids::{Epoch, Lane, LogicGroup, Lsn, ServerIndex, Stream};
use common::log_record::LogRecord;

use crate::binlog::LogPosition;
use crate::engine::{FlushJob, Store};
use crate::group::overlay::Overlay;
use crate::worker::peer::Peer;

/// Until replicas exist every lane has the leader that its topology names, since this epoch.
pub(crate) const SINCE: Epoch = Epoch(1);

/// A group that was opened, on its way to its worker.
pub(crate) struct OpenedGroup {
    pub(crate) id: LogicGroup,
    pub(crate) store: Store,
    /// This node's place in the physical group: the lane it leads.
    pub(crate) server: ServerIndex,
    /// Servers of the physical group.
    pub(crate) servers: u8,
}

impl OpenedGroup {
    /// The stream that this node writes.
    pub(crate) fn stream(&self) -> Stream {
        Stream { lane: Lane { group: self.id, server: self.server }, epoch: SINCE }
    }
}

/// A group.
pub(crate) struct Group {
    pub(crate) id: LogicGroup,
    pub(crate) store: Store,
    pub(crate) lane: LeadLane,
    /// Servers of the physical group.
    pub(crate) servers: u8,
    /// Why the group refuses writes, after an error of its file.
    pub(crate) stopped: Option<String>,
    pub(crate) flush: Flush,
}

/// How far the group's flush is.
pub(crate) enum Flush {
    /// Nothing is being flushed.
    Idle,
    /// The memtable is frozen; its records have to be durable in the log first, up to here (I6).
    WaitsForLog(FlushJob, LogPosition),
    /// The flush thread has it.
    Running,
}

/// The lane this node leads, with its records that are not official yet.
///
/// Watermarks: `last >= appended >= every pending record > official = applied`.
pub(crate) struct LeadLane {
    pub(crate) stream: Stream,
    /// The last record that was given a number.
    pub(crate) last: Lsn,
    /// The last record that is in the log.
    pub(crate) appended: Lsn,
    /// What waits for a record to become official, in the order of arrival.
    held: VecDeque<(Lsn, Held)>,
    pub(crate) overlay: Overlay,
    pub(crate) pending: VecDeque<Pending>,
}

/// An appended record that is not official.
pub(crate) struct Pending {
    pub(crate) lsn: Lsn,
    /// Where the record begins in the log.
    pub(crate) at: LogPosition,
    /// The log has to be durable up to here first; `None`: it only waits for records before it.
    pub(crate) durable: Option<LogPosition>,
    /// The record.
    pub(crate) body: Vec<u8>,
    /// The answer that waits with it.
    pub(crate) answer: Option<WaitingAnswer>,
}

/// What may not be done before records are official.
pub(crate) enum Held {
    /// Sending an answer that tells about them.
    Answer(WaitingAnswer),
    /// A pass over the whole lane.
    Walk(Walk),
}

/// A scan or count that waits.
pub(crate) struct Walk {
    pub(crate) peer: Rc<Peer>,
    pub(crate) id: u64,
    /// The request's frame body.
    pub(crate) request: Vec<u8>,
}

/// An answer that is complete but may not be sent yet.
pub(crate) struct WaitingAnswer {
    pub(crate) peer: Rc<Peer>,
    pub(crate) id: u64,
    pub(crate) body: Vec<u8>,
}

/// What the admin endpoint shows of a group.
#[derive(Clone, Debug)]
pub(crate) struct GroupStatus {
    pub(crate) group: LogicGroup,
    pub(crate) lane: ServerIndex,
    pub(crate) lsn: Lsn,
    pub(crate) memtable_bytes: usize,
    pub(crate) flushing_bytes: usize,
    pub(crate) file_bytes: u64,
    pub(crate) stopped: Option<String>,
}

impl Group {
    /// A group whose log was replayed into its store.
    pub(crate) fn new(opened: OpenedGroup) -> Self {
        let stream = opened.stream();
        let last = opened.store.applied().get(&stream).copied().unwrap_or_default();
        let lane = LeadLane {
            stream,
            last,
            appended: last,
            held: VecDeque::new(),
            overlay: Overlay::default(),
            pending: VecDeque::new(),
        };
        let OpenedGroup { id, store, servers, .. } = opened;
        Self { id, store, lane, servers, stopped: None, flush: Flush::Idle }
    }

    /// The group's file cannot be trusted any more: it refuses writes until a restart; reads go on.
    pub(crate) fn stop(&mut self, reason: &str) {
        if self.stopped.is_none() {
            tracing::error!(group = %self.id, reason, "group stopped");
            self.stopped = Some(reason.to_owned());
        }
    }

    /// Applies an official record that stands in the log at `at`.
    pub(crate) fn apply(&mut self, body: &[u8], at: LogPosition) {
        let record = LogRecord::decode(body).expect("this worker encoded it");
        let mark = (at.segment, at.offset);
        if let Err(error) = self.store.apply(&record.head, &record.mutations, mark) {
            self.stop(&error.to_string());
        }
    }

    /// The first place in the log that this group still needs.
    pub(crate) fn oldest_needed(&self) -> Option<LogPosition> {
        let unflushed = self.store.oldest_unflushed().map(|(s, o)| LogPosition::new(s, o));
        let pending = self.lane.pending.front().map(|pending| pending.at);
        unflushed.into_iter().chain(pending).min()
    }

    pub(crate) fn status(&self) -> GroupStatus {
        GroupStatus {
            group: self.id,
            lane: self.lane.stream.lane.server,
            lsn: self.lane.last,
            memtable_bytes: self.store.memory_bytes(),
            flushing_bytes: self.store.flushing_bytes(),
            file_bytes: self.store.file_bytes(),
            stopped: self.stopped.clone(),
        }
    }
}

impl LeadLane {
    /// Keeps something back until everything that has a number now is official.
    pub(crate) fn hold(&mut self, held: Held) {
        self.held.push_back((self.last, held));
    }

    /// Whether something is kept back.
    pub(crate) fn holds_something(&self) -> bool {
        !self.held.is_empty()
    }

    /// The next thing that was kept back and need not be any more.
    pub(crate) fn pop_held(&mut self) -> Option<Held> {
        let official = self.official();
        self.held.pop_front_if(|(lsn, _)| *lsn <= official).map(|(_, held)| held)
    }

    /// The last official record.
    fn official(&self) -> Lsn {
        self.pending.front().map_or(self.appended, |pending| Lsn(pending.lsn.0 - 1))
    }

    /// Forgets every record that is not in the log. Returns the answers that told about them.
    pub(crate) fn take_back(&mut self) -> Vec<WaitingAnswer> {
        self.last = self.appended;
        self.overlay = Overlay::default();
        for pending in &self.pending {
            let record = LogRecord::decode(&pending.body).expect("this worker encoded it");
            self.overlay.push(pending.lsn, record.mutations.iter().copied());
        }
        let mut void = Vec::new();
        for (lsn, held) in std::mem::take(&mut self.held) {
            match held {
                Held::Answer(answer) if lsn > self.appended => void.push(answer),
                held => self.held.push_back((lsn.min(self.appended), held)),
            }
        }
        void
    }
}
