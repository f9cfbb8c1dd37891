//! Opening the log at start: what it holds of each lane is found again, and what is known to be
//! official and not in the files of the groups is applied. The rest waits for the lanes' leaders.
//!
//! One thread reads the log (`binlog`), this one looks at each record's head and keeps the dedup
//! windows, and several own groups and apply what is theirs ([`crew`]). A refusal is that of the
//! first record that deserves one, and the outcome does not depend on how fast who is.

mod apply;
mod crew;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::ids::{Lane, LogicGroup, ServerIndex};
use common::log_record;
use common::version::Hlc;
use rt::{clock, worker as thread};

use self::crew::{Crew, CrewOptions};
use crate::binlog::{Log, LogOptions, LogPosition, RecordSink, Refusal, SegmentRecords};
use crate::data_dir::DataDir;
use crate::engine::Store;
use crate::error::StartError;
use crate::files::Fs;
use crate::lane::DedupWindow;
use crate::replication::position::{Holdings, Position};
use crate::worker::{OpenedGroup, OpenedLane};

/// Between two lines of the node's log that say how far it is.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What the log says besides what it did to the groups.
pub(crate) struct Replayed {
    pub(crate) log: Log,
    /// By worker: requests whose records are in the log.
    pub(crate) dedup: Vec<DedupWindow>,
    /// The greatest time that files and log know.
    pub(crate) hlc: Hlc,
}

struct Replay {
    crew: Crew,
    dedup: Vec<DedupWindow>,
    hlc: Hlc,
    records: u64,
    progress: Progress,
}

/// Opens the log of a data directory and hands its records to `groups`. `dedup` are the workers'
/// empty windows. Memtables that take more than `memory_bytes` together are flushed on the way.
///
/// # Errors
/// The log is damaged, or not the one that belongs to the files.
pub(crate) fn open_log(
    fs: Arc<dyn Fs>,
    dir: &DataDir,
    options: LogOptions,
    groups: &mut BTreeMap<LogicGroup, OpenedGroup>,
    dedup: Vec<DedupWindow>,
    memory_bytes: usize,
) -> Result<Replayed, StartError> {
    let started = clock::now();
    let crew = CrewOptions { memory_bytes, ..CrewOptions::of_threads(thread::processors()) };
    let mut replay = Replay::new(std::mem::take(groups), dedup, crew)?;
    let path = dir.log_path();
    let opened = Log::open_into(fs, &path, dir.log_identity(), options, &mut replay);
    let Replay { crew, dedup, hlc, .. } = replay;
    *groups = crew.finish();
    let (log, report) = opened?;
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
        let covered = covered(&group.store);
        // It is where a record begins, so the log of that record ends behind it.
        if covered >= end {
            return Err(StartError::LogBehind(path, end, group.id, covered));
        }
    }
    Ok(())
}

/// The last record in the log that the file has.
fn covered(store: &Store) -> LogPosition {
    let (segment, offset) = store.checkpoint().log_mark;
    LogPosition::new(segment, offset)
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

impl Replay {
    fn new(
        groups: BTreeMap<LogicGroup, OpenedGroup>,
        dedup: Vec<DedupWindow>,
        options: CrewOptions,
    ) -> Result<Self, StartError> {
        let hlc = groups.values().map(|group| group.store.hlc()).max().unwrap_or_default();
        let crew = Crew::start(groups, options)
            .map_err(|error| StartError::System("cannot start a thread", error))?;
        Ok(Self { crew, dedup, hlc, records: 0, progress: Progress::new(clock::now()) })
    }

    /// What does not depend on the group's state. Returns the record's group.
    fn visit(&mut self, at: LogPosition, body: &[u8]) -> Result<LogicGroup, String> {
        let head = log_record::decode_head(body).map_err(|error| error.to_string())?;
        let id = head.stream.lane.group;
        if !self.crew.has(id) {
            return Err(format!(
                "the record is of {id}, which the node's topology does not give it"
            ));
        }
        self.hlc = head.hlc.max(self.hlc);
        if self.records == 0 && at.segment > 1 {
            // What was before has left the log, whichever worker's it was (I7).
            self.dedup.iter_mut().for_each(|window| window.begin_after(head.hlc.ms()));
        }
        let workers = self.dedup.len();
        if let Some(dedup) = self.dedup.get_mut(usize::from(id.0) % workers.max(1)) {
            let answer = log_record::answer(body).map_err(|error| error.to_string())?;
            let place = Position { epoch: head.stream.epoch, lsn: head.lsn };
            dedup.push(head.request, head.stream.lane, place, head.hlc.ms(), answer);
        }
        self.records += 1;
        Ok(id)
    }
}

impl RecordSink for Replay {
    fn take(&mut self, records: &SegmentRecords) -> Result<(), Refusal> {
        if self.crew.has_refused() {
            return self.drain();
        }
        self.crew.begin(records.data(), records.durable());
        for (at, place) in records.records() {
            match self.visit(at, &records.data()[place.clone()]) {
                Ok(group) => {
                    if self.crew.give(group, at, place) {
                        self.progress.tell(clock::now(), records.percent(at), self.records);
                    }
                }
                Err(reason) => {
                    self.crew.push();
                    // One before it may be refused for what it is to its group.
                    return self.drain().and(Err(Refusal { at, reason }));
                }
            }
        }
        self.crew.push();
        Ok(())
    }

    fn drain(&mut self) -> Result<(), Refusal> {
        self.crew.drain()
    }

    fn wants_durable(&mut self) -> bool {
        self.crew.wants_durable()
    }

    fn on_durable(&mut self, upto: LogPosition) {
        self.crew.on_durable(upto);
    }
}

/// Tells how far a replay is that takes long.
struct Progress {
    told: Instant,
}

impl Progress {
    fn new(now: Instant) -> Self {
        Self { told: now }
    }

    fn tell(&mut self, now: Instant, percent: u64, records: u64) {
        if now.duration_since(self.told) >= TELL_EVERY {
            self.told = now;
            tracing::info!(percent, records, "log replay");
        }
    }
}
