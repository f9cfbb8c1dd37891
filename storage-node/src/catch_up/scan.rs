//! One pass over the log for several wants: forward from the first place that somebody needs, and
//! over the parts that nobody needs.
//!
//! Streams rise in the log as in their numbers, and a stream's first record stands behind everything
//! of the older streams that counts, so each want is filled in the order of its spans. A want whose
//! next record has been passed over ends with what it has.

use std::collections::BTreeMap;

use common::ids::{Lane, Lsn, NodeId};
use common::log_record;

use super::{CaughtUp, JOB_BYTES_MAX, Job, Want};
use crate::binlog::{LogError, LogPosition, LogReader};

/// See the module.
pub(super) struct Scan {
    jobs: Vec<JobState>,
    /// In the order of the places where they begin.
    wants: Vec<Filling>,
    /// Which of `wants` are of a lane.
    of_lane: BTreeMap<Lane, Vec<usize>>,
    /// So many of `wants` begin before the record that is looked at.
    begun: usize,
    /// So many of those are not ended.
    active: usize,
    /// Bodies that were looked at.
    scanned: usize,
}

struct JobState {
    worker: usize,
    to: NodeId,
    bytes: usize,
    /// What one want gets of [`JOB_BYTES_MAX`], so that one lane that is far behind does not keep
    /// all others back.
    share: usize,
}

struct Filling {
    job: usize,
    want: Want,
    bodies: Vec<Vec<u8>>,
    bytes: usize,
    /// Where in `want.records.spans` its next record belongs, and its number.
    next: Option<(usize, Lsn)>,
    end: Option<End>,
}

/// How a want ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// With what was found.
    Answer,
    Released,
    Failed,
}

/// Why the log could not be read on.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScanError {
    #[error(transparent)]
    Log(LogError),
    #[error(
        "{at} holds a record that cannot be read: {source}; restore the log from a copy of this node, or re-create the node from its peers"
    )]
    Record { at: LogPosition, source: common::codec::DecodeError },
}

impl Scan {
    /// A pass for these jobs.
    pub(super) fn new(jobs: Vec<Job>) -> Self {
        let (mut states, mut wants) = (Vec::new(), Vec::new());
        for Job { worker, to, wants: of_job } in jobs {
            let share = JOB_BYTES_MAX / of_job.len().max(1);
            let job = states.len();
            states.push(JobState { worker, to, bytes: 0, share });
            wants.extend(of_job.into_iter().map(|want| Filling::new(job, want)));
        }
        wants.sort_by_key(|filling| filling.want.from.1);
        let mut of_lane: BTreeMap<Lane, Vec<usize>> = BTreeMap::new();
        for (index, filling) in wants.iter().enumerate() {
            of_lane.entry(filling.want.lane).or_default().push(index);
        }
        Self { jobs: states, wants, of_lane, begun: 0, active: 0, scanned: 0 }
    }

    /// Reads until every want is ended or `scan_bytes` of bodies were looked at. Returns the first
    /// error that is not about released segments.
    pub(super) fn run(
        &mut self,
        open: &impl Fn(LogPosition) -> LogReader,
        scan_bytes: usize,
    ) -> Option<ScanError> {
        let mut error = None;
        while let Some(from) = self.next_start() {
            self.begin(from);
            let mut reader = open(from);
            while self.active > 0 && self.scanned < scan_bytes {
                let problem = match reader.next_record() {
                    Ok(None) => return error,
                    Ok(Some((at, body))) => {
                        self.begin(at);
                        self.scanned += body.len();
                        match self.offer(body) {
                            Ok(()) => continue,
                            Err(source) => ScanError::Record { at, source },
                        }
                    }
                    Err(LogError::Released { first, .. }) => {
                        // All that begin in segments before the first.
                        self.begin(LogPosition::new(first.segment, 0));
                        self.stop_active(End::Released);
                        break;
                    }
                    Err(problem) => ScanError::Log(problem),
                };
                self.stop_active(End::Failed);
                error = error.or(Some(problem));
            }
            if self.scanned >= scan_bytes {
                break;
            }
        }
        error
    }

    /// What became of the jobs, with their workers.
    pub(super) fn finish(self) -> Vec<(usize, CaughtUp)> {
        let empty = |job: &JobState| {
            let (answers, released, failed) = (Vec::new(), Vec::new(), Vec::new());
            (job.worker, CaughtUp { to: job.to, answers, released, failed })
        };
        let mut all: Vec<_> = self.jobs.iter().map(empty).collect();
        for filling in self.wants {
            let Some((_, caught_up)) = all.get_mut(filling.job) else { continue };
            match filling.end {
                Some(End::Released) => caught_up.released.push(filling.want.lane),
                Some(End::Failed) => caught_up.failed.push(filling.want.lane),
                Some(End::Answer) | None => caught_up.answers.push(filling.answer()),
            }
        }
        all
    }

    /// Where the first want begins that was not begun and is not ended.
    fn next_start(&self) -> Option<LogPosition> {
        let rest = self.wants.iter().skip(self.begun);
        rest.filter(|filling| filling.end.is_none()).map(|filling| filling.want.from.1).next()
    }

    /// The wants that begin up to `at` are to be filled from now on.
    fn begin(&mut self, at: LogPosition) {
        while let Some(filling) = self.wants.get(self.begun)
            && filling.want.from.1 <= at
        {
            self.begun += 1;
            self.active += usize::from(filling.end.is_none());
        }
    }

    /// Gives a record to the want whose next one it is.
    fn offer(&mut self, body: &[u8]) -> Result<(), common::codec::DecodeError> {
        let head = log_record::decode_head(body)?;
        let Some(indices) = self.of_lane.get(&head.stream.lane) else { return Ok(()) };
        let mut full = None;
        for index in indices {
            let Some(filling) = self.wants.get_mut(*index) else { continue };
            let Some((span, next)) = filling.next.filter(|_| filling.end.is_none()) else {
                continue;
            };
            let wanted = filling.want.records.spans.get(span).map(|span| span.epoch);
            if wanted != Some(head.stream.epoch) || head.lsn < next {
                continue;
            }
            let Some(job) = self.jobs.get_mut(filling.job) else { continue };
            let passed = head.lsn > next;
            if !passed {
                filling.push(body);
                job.bytes += body.len();
            }
            if passed || filling.next.is_none() || filling.bytes >= job.share {
                filling.end = Some(End::Answer);
                self.active -= usize::from(*index < self.begun);
            }
            if job.bytes >= JOB_BYTES_MAX {
                full = Some(filling.job);
            }
        }
        if let Some(job) = full {
            self.end_job(job);
        }
        Ok(())
    }

    /// A job has enough.
    fn end_job(&mut self, job: usize) {
        for (index, filling) in self.wants.iter_mut().enumerate() {
            if filling.job == job && filling.end.is_none() {
                filling.end = Some(End::Answer);
                self.active -= usize::from(index < self.begun);
            }
        }
    }

    /// The log cannot be read on from here: who has found something takes that, the others end so.
    fn stop_active(&mut self, end: End) {
        for filling in self.wants.iter_mut().take(self.begun).filter(|want| want.end.is_none()) {
            let found = !filling.bodies.is_empty();
            filling.end = Some(if found { End::Answer } else { end });
        }
        self.active = 0;
    }
}

impl Filling {
    fn new(job: usize, want: Want) -> Self {
        let mut filling = Self { job, want, bodies: Vec::new(), bytes: 0, next: None, end: None };
        filling.next = filling.first_from(0);
        if filling.next.is_none() {
            filling.end = Some(End::Answer);
        }
        filling
    }

    /// The first record of the spans from `index` on.
    fn first_from(&self, index: usize) -> Option<(usize, Lsn)> {
        let spans = self.want.records.spans.iter().enumerate().skip(index);
        spans.filter(|(_, span)| span.first <= span.last).map(|(i, span)| (i, span.first)).next()
    }

    fn push(&mut self, body: &[u8]) {
        self.bodies.push(body.to_vec());
        self.bytes += body.len();
        let Some((index, lsn)) = self.next else { return };
        let last = self.want.records.spans.get(index).is_none_or(|span| span.last <= lsn);
        self.next = if last { self.first_from(index + 1) } else { Some((index, lsn.next())) };
    }

    /// The answer, its spans cut to what was found.
    fn answer(self) -> (super::Records, Vec<Vec<u8>>) {
        let mut records = self.want.records;
        if let Some((index, next)) = self.next {
            records.spans.truncate(index + 1);
            if let Some(span) = records.spans.last_mut() {
                span.last = Lsn(next.0 - 1);
            }
        }
        records.spans.retain(|span| span.first <= span.last);
        (records, self.bodies)
    }
}
