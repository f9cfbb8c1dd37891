//! One logic group on its worker: its store, and the lane that this node leads.

use std::collections::VecDeque;
use std::rc::Rc;

use common::ids::{Epoch, Lane, LogicGroup, Lsn, ServerIndex, Stream};
use common::log_record::LogRecord;

use crate::binlog::LogPosition;
use crate::engine::Store;
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
    /// Why the group refuses operations, after an error of its file.
    pub(crate) stopped: Option<String>,
    /// A flush was begun and waits for the log, or runs.
    pub(crate) flushing: bool,
}

/// The lane this node leads, with its records that are not official yet.
///
/// Watermarks: `last >= every pending record > what is applied`.
pub(crate) struct LeadLane {
    pub(crate) stream: Stream,
    /// The last record that was given a number.
    pub(crate) last: Lsn,
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
        let lane = LeadLane { stream, last, overlay: Overlay::default(), pending: VecDeque::new() };
        let OpenedGroup { id, store, servers, .. } = opened;
        Self { id, store, lane, servers, stopped: None, flushing: false }
    }

    /// The group's file cannot be trusted any more: it refuses operations until a restart.
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
    /// Forgets every record after `last`: none of them is in the log.
    pub(crate) fn take_back(&mut self, last: Lsn) {
        self.last = last;
        self.overlay = Overlay::default();
        for pending in &self.pending {
            let record = LogRecord::decode(&pending.body).expect("this worker encoded it");
            self.overlay.push(pending.lsn, record.mutations.iter().copied());
        }
    }
}
