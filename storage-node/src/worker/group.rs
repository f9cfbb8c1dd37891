//! One logic group on its worker: its store, its part in the protocol, and its lanes.

use std::collections::{BTreeSet, VecDeque};

use common::ids::{Lane, LogicGroup, NodeId, ServerIndex};
use common::log_record::LogRecord;

use crate::binlog::LogPosition;
use crate::engine::Store;
use crate::lane::{Backlog, Lack, StreamIndex};
use crate::replication::action::Action;
use crate::replication::lane::LaneReplica;
use crate::replication::member::GroupReplica;
use crate::replication::message::Term;
use crate::replication::position::{Holdings, Position};
use crate::worker::compact::Compaction;
use crate::worker::input::Input;
use crate::worker::lead::LeadLane;

/// A group that was opened, on its way to its worker.
pub(crate) struct OpenedGroup {
    pub(crate) id: LogicGroup,
    pub(crate) store: Store,
    /// By server index: what the log holds of each lane.
    pub(crate) lanes: Vec<OpenedLane>,
}

/// What the log holds of a lane at start.
#[derive(Default)]
pub(crate) struct OpenedLane {
    /// All of it.
    pub(crate) held: Holdings,
    /// What is known to be official.
    pub(crate) official: Position,
    /// What is not applied.
    pub(crate) backlog: Backlog,
    /// Where it stands in the log.
    pub(crate) index: StreamIndex,
}

impl OpenedGroup {
    /// The lanes of which there are records.
    pub(crate) fn lanes_held(&self) -> impl Iterator<Item = Lane> + '_ {
        let held = |(_, lane): &(u8, &OpenedLane)| lane.held.last() > Position::default();
        let lanes = (0u8..).zip(&self.lanes).filter(held);
        lanes.map(|(server, _)| Lane { group: self.id, server: ServerIndex(server) })
    }
}

/// A group.
pub(crate) struct Group {
    pub(crate) id: LogicGroup,
    pub(crate) store: Store,
    pub(crate) replica: GroupReplica,
    /// By server index.
    pub(crate) lanes: Vec<LaneData>,
    /// Why the group refuses writes, after an error of its file.
    pub(crate) stopped: Option<String>,
    /// It is among those that have something to reclaim.
    pub(crate) reclaims: bool,
    /// Copies of its file.
    pub(crate) compaction: Compaction,
    /// Actions behind something that has to be durable first, and the ticket of that.
    pub(crate) waits: Option<(u64, Vec<Action>)>,
    /// Inputs that arrived meanwhile.
    pub(crate) inputs: VecDeque<Input>,
    /// Actions behind records that the turn will append; inputs' order is kept.
    pub(crate) after_append: Vec<Action>,
    /// Whether actions are kept in `after_append`.
    pub(crate) appending: bool,
    /// When the machines want to be called.
    pub(crate) next_ms: u64,
    /// All configured servers were in step at some time of this process.
    was_whole: bool,
    /// Since when, and from where in the log on, some configured server is not in step.
    pub(crate) away_since: Option<(LogPosition, u64)>,
    /// It stopped and hands its lanes over, since other servers are in step.
    pub(crate) retires: bool,
    /// It was asked to leave R, and has.
    pub(crate) departed: bool,
    /// This node takes no part in the group's protocol any more.
    pub(crate) left: bool,
}

/// A lane's data on this server, whoever leads it.
pub(crate) struct LaneData {
    pub(crate) id: Lane,
    /// Records that are in the log and not applied, since they are not known to be official.
    pub(crate) backlog: Backlog,
    /// Where records stand in the log.
    pub(crate) index: StreamIndex,
    /// Ends of turns in the log with the last record of the lane in each, up to what is durable.
    pub(crate) unsynced: VecDeque<(LogPosition, Position)>,
    /// Every decision of the lane's leaders up to this time is applied here, in milliseconds since
    /// 1970.
    pub(crate) safe_ms: u64,
    /// The lane, if this node leads it.
    pub(crate) lead: Option<LeadLane>,
    /// Followers whose records are being read from the log for them.
    pub(crate) reading: BTreeSet<NodeId>,
}

impl Group {
    /// A group whose log was replayed.
    pub(crate) fn new(opened: OpenedGroup, replica: GroupReplica) -> Self {
        let OpenedGroup { id, store, lanes } = opened;
        // A flush may have failed while the log was replayed.
        let stopped = store.stopped().map(str::to_owned);
        let lane = |(server, opened): (u8, OpenedLane)| LaneData {
            id: Lane { group: id, server: ServerIndex(server) },
            backlog: opened.backlog,
            index: opened.index,
            unsynced: VecDeque::new(),
            safe_ms: 0,
            lead: None,
            reading: BTreeSet::new(),
        };
        Self {
            id,
            store,
            replica,
            lanes: (0u8..).zip(lanes).map(lane).collect(),
            stopped,
            reclaims: false,
            compaction: Compaction::default(),
            waits: None,
            inputs: VecDeque::new(),
            after_append: Vec::new(),
            appending: false,
            next_ms: 0,
            was_whole: false,
            away_since: None,
            retires: false,
            departed: false,
            left: false,
        }
    }

    /// The group's file cannot be trusted any more: it takes no writes until a restart; reads go on, and
    /// the lanes go to other servers in step.
    pub(crate) fn stop(&mut self, reason: &str) {
        if self.stopped.is_none() {
            tracing::error!(group = %self.id, reason, "group stopped");
            self.stopped = Some(reason.to_owned());
        }
    }

    /// The group takes no further part in the protocol until a restart, and says nothing more: what it
    /// counts as held may not be in the log.
    pub(crate) fn leave(&mut self, reason: &str) {
        self.left = true;
        self.stop(reason);
        self.waits = None;
        self.inputs.clear();
        self.appending = false;
        self.after_append.clear();
    }

    pub(crate) fn lane(&self, server: ServerIndex) -> Option<&LaneData> {
        self.lanes.get(usize::from(server.0))
    }

    pub(crate) fn lane_mut(&mut self, server: ServerIndex) -> Option<&mut LaneData> {
        self.lanes.get_mut(usize::from(server.0))
    }

    /// Configured servers.
    pub(crate) fn servers(&self) -> usize {
        self.lanes.len()
    }

    /// The lane's protocol state, once the register is known.
    pub(crate) fn lane_replica(&self, server: ServerIndex) -> Option<&LaneReplica> {
        self.replica.lane(server)
    }

    /// Applies an official record that stands in the log at `at`.
    pub(crate) fn apply(&mut self, body: &[u8], at: LogPosition) {
        let applied =
            LogRecord::decode(body).map_err(|error| error.to_string()).and_then(|record| {
                let mark = (at.segment, at.offset);
                let applied = self.store.apply(&record.head, &record.mutations, mark);
                applied.map_err(|error| error.to_string())
            });
        if let Err(error) = applied {
            self.stop(&error);
        }
    }

    /// The first place in the log that this group needs for itself.
    pub(crate) fn oldest_needed(&self) -> Option<LogPosition> {
        let unflushed = self.store.oldest_unflushed().map(|(s, o)| LogPosition::new(s, o));
        let pending = self.lanes.iter().filter_map(|lane| lane.backlog.oldest_log());
        unflushed.into_iter().chain(pending).min()
    }

    /// What configured servers that are not in step lack, by lane. Where they stand is not asked: each
    /// lacks at most what was appended since it was in step.
    pub(crate) fn lacks(
        &mut self,
        now_ms: u64,
        (first, end): (LogPosition, LogPosition),
    ) -> Vec<Lack> {
        let Some(register) = self.replica.register() else { return Vec::new() };
        let away = register.servers.iter().any(|member| !register.is_in_step(member.node));
        if !away {
            self.away_since = None;
            self.was_whole = true;
            return Vec::new();
        }
        let oldest = self.lanes.iter().filter_map(|lane| lane.backlog.oldest_log()).min();
        // Who was away before this process started lacks nobody knows how much of the log.
        let from = if self.was_whole { oldest.unwrap_or(end) } else { first };
        let (from, since_ms) = *self.away_since.get_or_insert((from, now_ms));
        self.lanes.iter().map(|lane| Lack { lane: lane.id, from, since_ms }).collect()
    }

    /// The terms in which lanes are led here.
    pub(crate) fn terms(&self) -> impl Iterator<Item = Term> + '_ {
        self.lanes.iter().filter_map(|lane| lane.lead.as_ref()).map(|lead| lead.term)
    }
}

impl LaneData {
    /// A turn put records of the lane into the log.
    pub(crate) fn appended(&mut self, end: LogPosition, last: Position) {
        match self.unsynced.back_mut() {
            Some((at, position)) if *at == end => *position = (*position).max(last),
            _ => self.unsynced.push_back((end, last)),
        }
    }

    /// The last record that is durable if the log is so up to `upto`, unless that is no news.
    pub(crate) fn take_durable(&mut self, upto: LogPosition) -> Option<Position> {
        let mut durable = None;
        while let Some((_, position)) = self.unsynced.pop_front_if(|(end, _)| *end <= upto) {
            durable = durable.max(Some(position));
        }
        durable
    }

    /// The leader's part of the lane, if it is led here in this term.
    pub(crate) fn lead_in(&mut self, term: Term) -> Option<&mut LeadLane> {
        self.lead.as_mut().filter(|lead| lead.term == term)
    }
}
