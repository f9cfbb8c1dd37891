//! Opening the log at start: what it holds of each lane is found again, and what is known to be
//! official and not in the files of the groups is applied. The rest waits for the lanes' leaders.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use common::ids::{Lane, LogicGroup, Lsn, ServerIndex};
use common::log_record::{self, LogHead, LogRecord};
use common::version::Hlc;
use rt::clock;

use crate::binlog::{Log, LogFs, LogOptions, LogPosition};
use crate::data_dir::DataDir;
use crate::engine::Store;
use crate::error::StartError;
use crate::lane::{DedupWindow, Entry};
use crate::replication::position::{Head, Holdings, Position};
use crate::worker::{OpenedGroup, OpenedLane};

/// What the log says besides what it did to the groups.
pub(crate) struct Replayed {
    pub(crate) log: Log,
    /// By worker: requests whose records are in the log.
    pub(crate) dedup: Vec<DedupWindow>,
    /// The greatest time that files and log know.
    pub(crate) hlc: Hlc,
}

struct Replay<'g> {
    groups: &'g mut BTreeMap<LogicGroup, OpenedGroup>,
    dedup: Vec<DedupWindow>,
    hlc: Hlc,
    records: u64,
}

/// Opens the log of a data directory and hands its records to `groups`. `dedup` are the workers'
/// empty windows.
///
/// # Errors
/// The log is damaged, or not the one that belongs to the files.
pub(crate) fn open_log(
    fs: Arc<dyn LogFs>,
    dir: &DataDir,
    options: LogOptions,
    groups: &mut BTreeMap<LogicGroup, OpenedGroup>,
    dedup: Vec<DedupWindow>,
) -> Result<Replayed, StartError> {
    let started = clock::now();
    let hlc = groups.values().map(|group| group.store.hlc()).max().unwrap_or_default();
    let mut replay = Replay { groups, dedup, hlc, records: 0 };
    let path = dir.log_path();
    let mut visit = |at, body: &[u8]| replay.visit(at, body);
    let (log, report) = Log::open(fs, &path, dir.log_identity(), options, &mut visit)?;
    let Replay { groups, dedup, hlc, .. } = replay;
    let ms = started.elapsed().as_millis();
    let waiting: usize = lanes(groups).map(|lane| lane.backlog.len()).sum();
    tracing::info!(records = report.records, waiting, ms, "log replayed");
    if let Some(cut) = report.cut {
        tracing::warn!(at = %cut.at, records = cut.records, "a torn end of the log was cut off");
    }
    check_end(groups, path, report.end)?;
    Ok(Replayed { log, dedup, hlc })
}

fn lanes(groups: &BTreeMap<LogicGroup, OpenedGroup>) -> impl Iterator<Item = &OpenedLane> {
    groups.values().flat_map(|group| &group.lanes)
}

/// The log must not end before what a file covers (I6).
fn check_end(
    groups: &BTreeMap<LogicGroup, OpenedGroup>,
    path: PathBuf,
    end: LogPosition,
) -> Result<(), StartError> {
    for group in groups.values() {
        let (segment, offset) = group.store.checkpoint().log_mark;
        let covered = LogPosition::new(segment, offset);
        // It is where a record begins, so the log of that record ends behind it.
        if covered >= end {
            return Err(StartError::LogBehind(path, end, group.id, covered));
        }
    }
    Ok(())
}

/// What a group's file has of its lanes.
pub(crate) fn lanes_of_file(store: &Store, id: LogicGroup, servers: u8) -> Vec<OpenedLane> {
    let lane = |server| {
        let id = Lane { group: id, server: ServerIndex(server) };
        let applied = store.applied().iter().filter(|(stream, _)| stream.lane == id);
        let positions: Vec<Position> =
            applied.map(|(stream, lsn)| Position { epoch: stream.epoch, lsn: *lsn }).collect();
        let official = positions.iter().copied().max().unwrap_or_default();
        OpenedLane { held: Holdings::restore(positions), official, ..OpenedLane::default() }
    };
    (0..servers).map(lane).collect()
}

impl Replay<'_> {
    /// One record of the log.
    fn visit(&mut self, at: LogPosition, body: &[u8]) -> Result<(), String> {
        let head = log_record::decode_head(body).map_err(|error| error.to_string())?;
        let id = head.stream.lane.group;
        let group = self.groups.get_mut(&id).ok_or_else(|| {
            format!("the record is of {id}, which the node's topology does not give it")
        })?;
        self.hlc = head.hlc.max(self.hlc);
        let workers = self.dedup.len();
        if let Some(dedup) = self.dedup.get_mut(usize::from(id.0) % workers.max(1)) {
            let answer = log_record::answer(body).map_err(|error| error.to_string())?;
            let place = Position { epoch: head.stream.epoch, lsn: head.lsn };
            if self.records == 0 && at.segment > 1 {
                // What was before has left the log.
                dedup.begin_after(head.hlc.ms());
            }
            dedup.push(head.request, head.stream.lane, place, head.hlc.ms(), answer);
        }
        self.records += 1;
        group.replay(&head, at, body)
    }
}

impl OpenedGroup {
    fn replay(&mut self, head: &LogHead, log: LogPosition, body: &[u8]) -> Result<(), String> {
        let LogHead { stream, lsn, .. } = *head;
        let servers = self.lanes.len();
        let lane = self.lanes.get_mut(usize::from(stream.lane.server.0)).ok_or_else(|| {
            format!("the record is of {}, but the group has {servers} servers", stream.lane)
        })?;
        let at = Position { epoch: stream.epoch, lsn };
        lane.index.note(at, log);
        let ends = log_record::decode_ends(body).map_err(|error| error.to_string())?;
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
                 missing; restore the data directory from a backup or another server"
            ));
        }
        if lsn > self.store.applied().get(&stream).copied().unwrap_or_default() {
            lane.backlog.push(Entry { at, log, body: body.to_vec() });
        }
        let official = lsn.0.saturating_sub(1).saturating_sub(u64::from(head.open));
        if official > 0 {
            let official = Position { epoch: stream.epoch, lsn: Lsn(official) };
            lane.official = lane.official.max(official);
        }
        apply_official(&mut self.store, lane)
    }
}

fn apply_official(store: &mut Store, lane: &mut OpenedLane) -> Result<(), String> {
    let first = lane.backlog.front().map(|entry| entry.at);
    if first.is_none_or(|first| first > lane.official) {
        return Ok(());
    }
    let chain = lane.held.chain();
    while let Some(entry) = lane.backlog.pop_official(lane.official, &chain) {
        let record = LogRecord::decode(&entry.body).map_err(|error| error.to_string())?;
        let mark = (entry.log.segment, entry.log.offset);
        store.apply(&record.head, &record.mutations, mark).map_err(|error| error.to_string())?;
    }
    Ok(())
}
