//! The threads that apply the log's records at start, each to the groups that are its own.
//!
//! They get references to the records of a segment, in the order of the log, and at most a few
//! segments are in memory: who hands over waits for them. What they refuse is told when somebody
//! asks, with the first refused record of all.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use common::ids::LogicGroup;

use super::apply::Applier;
use crate::binlog::{LogPosition, Refusal};
use crate::worker::OpenedGroup;

/// How they work.
#[derive(Clone, Copy, Debug)]
pub(super) struct CrewOptions {
    /// How many there are at most.
    pub(super) threads: usize,
    /// Memtables are flushed above this, all groups together.
    pub(super) memory_bytes: usize,
    /// Records that are handed over at once.
    pub(super) chunk_records: usize,
}

impl CrewOptions {
    /// Without a limit for memory.
    pub(super) fn of_threads(threads: usize) -> Self {
        Self { threads, memory_bytes: usize::MAX, chunk_records: 2048 }
    }
}

/// Records of one segment for one thread.
pub(super) struct Chunk {
    pub(super) data: Arc<Vec<u8>>,
    /// The log is durable up to here.
    pub(super) durable: LogPosition,
    /// Place in the log, and of the body in the data.
    pub(super) records: Vec<(LogPosition, Range<usize>)>,
}

/// What a thread gets.
enum Job {
    Apply(Chunk),
    /// Say what was refused, once all before is done.
    Answer(SyncSender<Option<Refusal>>),
}

/// What the threads have in common.
#[derive(Debug, Default)]
pub(super) struct Common {
    /// A record was refused.
    pub(super) refused: AtomicBool,
    /// A memtable should be flushed, but the log is not known to be durable so far (I6).
    pub(super) wants_durable: AtomicBool,
    /// Memtables of all groups.
    pub(super) memory_bytes: AtomicUsize,
}

struct Member {
    jobs: SyncSender<Job>,
    thread: JoinHandle<Applier>,
    records: Vec<(LogPosition, Range<usize>)>,
}

/// See the module. First [`begin`](Self::begin), [`give`](Self::give) and [`push`](Self::push) for
/// each segment, [`drain`](Self::drain) at any time, [`finish`](Self::finish) last.
pub(super) struct Crew {
    members: Vec<Member>,
    /// By group.
    known: Vec<bool>,
    common: Arc<Common>,
    data: Arc<Vec<u8>>,
    durable: LogPosition,
    chunk_records: usize,
}

impl Crew {
    /// Group g belongs to thread g mod their number.
    pub(super) fn start(
        mut groups: BTreeMap<LogicGroup, OpenedGroup>,
        options: CrewOptions,
    ) -> io::Result<Self> {
        let threads = options.threads.min(groups.len()).max(1);
        let last = groups.keys().next_back().map_or(0, |id| usize::from(id.0) + 1);
        let known = (0..last).map(|id| u16::try_from(id).map(LogicGroup));
        let known = known.map(|id| id.is_ok_and(|id| groups.contains_key(&id))).collect();
        let common = Arc::new(Common::default());
        let mut members = Vec::with_capacity(threads);
        for index in 0..threads {
            let theirs = |id: &LogicGroup, _: &mut _| usize::from(id.0) % threads == index;
            let own = groups.extract_if(.., theirs).map(|(_, group)| group);
            let limit = (options.memory_bytes, options.memory_bytes / threads);
            let applier = Applier::new(own, threads, limit, Arc::clone(&common));
            // Whoever hands over waits until the chunk before the last is done.
            let (jobs, inbox) = sync_channel(1);
            let thread = std::thread::Builder::new().name(format!("replay-{index}"));
            let thread = thread.spawn(move || run(applier, inbox))?;
            members.push(Member { jobs, thread, records: Vec::new() });
        }
        let (data, durable) = (Arc::default(), LogPosition::default());
        let chunk_records = options.chunk_records;
        Ok(Self { members, known, common, data, durable, chunk_records })
    }

    /// Whether there is such a group.
    pub(super) fn has(&self, group: LogicGroup) -> bool {
        self.known.get(usize::from(group.0)).copied().unwrap_or(false)
    }

    /// Whether a record was refused so far: [`drain`](Self::drain) says which.
    pub(super) fn has_refused(&self) -> bool {
        self.common.refused.load(Ordering::Relaxed)
    }

    /// Whether a flush waits for the log to be made durable. Asked once, it is forgotten.
    pub(super) fn wants_durable(&self) -> bool {
        self.common.wants_durable.swap(false, Ordering::Relaxed)
    }

    /// The log is durable up to here.
    pub(super) fn on_durable(&mut self, upto: LogPosition) {
        self.durable = self.durable.max(upto);
    }

    /// The next records are those of a segment with these bytes.
    pub(super) fn begin(&mut self, data: &Arc<Vec<u8>>, durable: LogPosition) {
        self.data = Arc::clone(data);
        self.on_durable(durable);
    }

    /// The next record is of `group`, which is known; its body is at `place` of the segment. Whether
    /// records were handed over, which may have taken time.
    pub(super) fn give(&mut self, group: LogicGroup, at: LogPosition, place: Range<usize>) -> bool {
        let threads = self.members.len();
        let Some(member) = self.members.get_mut(usize::from(group.0) % threads) else {
            return false;
        };
        member.records.push((at, place));
        let full = member.records.len() >= self.chunk_records;
        if full {
            member.hand_over(&self.data, self.durable);
        }
        full
    }

    /// Hands over what was given.
    pub(super) fn push(&mut self) {
        for member in &mut self.members {
            member.hand_over(&self.data, self.durable);
        }
        // Whoever works on it keeps it.
        self.data = Arc::default();
    }

    /// Waits until everything is done that was handed over.
    pub(super) fn drain(&mut self) -> Result<(), Refusal> {
        let answers: Vec<_> = (self.members.iter())
            .map(|member| {
                let (sender, answer) = sync_channel(1);
                member.send(Job::Answer(sender));
                answer
            })
            .collect();
        let refusals = answers.into_iter().filter_map(|answer| answer.recv().ok().flatten());
        refusals.min_by_key(|refusal| refusal.at).map_or(Ok(()), Err)
    }

    /// Ends the threads and gives the groups back.
    pub(super) fn finish(self) -> BTreeMap<LogicGroup, OpenedGroup> {
        let mut groups = BTreeMap::new();
        for Member { jobs, thread, .. } in self.members {
            drop(jobs);
            match thread.join() {
                Ok(applier) => groups.extend(applier.into_groups().map(|group| (group.id, group))),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        groups
    }
}

impl Member {
    fn hand_over(&mut self, data: &Arc<Vec<u8>>, durable: LogPosition) {
        if self.records.is_empty() {
            return;
        }
        let records = Vec::with_capacity(self.records.len());
        let records = std::mem::replace(&mut self.records, records);
        self.send(Job::Apply(Chunk { data: Arc::clone(data), durable, records }));
    }

    fn send(&self, job: Job) {
        // It is gone only after a panic, which `finish` passes on.
        drop(self.jobs.send(job));
    }
}

fn run(mut applier: Applier, jobs: Receiver<Job>) -> Applier {
    for job in jobs {
        match job {
            Job::Apply(chunk) => applier.apply(chunk),
            // Who asked may be gone.
            Job::Answer(sender) => drop(sender.send(applier.refusal().cloned())),
        }
    }
    applier
}
