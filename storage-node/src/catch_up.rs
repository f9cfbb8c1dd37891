//! The catch-up thread: it reads old records from the log for followers that are far behind, so
//! that workers never wait for the disk.
//!
//! A worker hands over a [`Job`]: answers to one follower whose spans it could not fill from its
//! [`Backlog`](crate::lane::Backlog), each with the place in the log that its
//! [`StreamIndex`](crate::lane::StreamIndex) names. It gets a [`CaughtUp`] for each job, in which
//! every lane of the job stands exactly once. Until then it sends no other job for the same node and
//! lane: the follower would get the same records twice.
//!
//! Jobs for the same node that wait together are one pass over the log. A pass ends early when it
//! has read enough; the follower then asks again for what it still lacks. A panic ends the process,
//! as in every thread of the node.

mod scan;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use common::ids::{Lane, Lsn, NodeId};

use crate::binlog::{LogPosition, LogReader};
use crate::lane::MARK_BYTES;
use crate::replication::message::Records;
use scan::Scan;

/// Jobs that may wait: workers have few, one for each node that is behind.
const QUEUE: usize = 1024;
/// Bodies that one job brings at most, but for the last record.
const JOB_BYTES_MAX: usize = 4 << 20;
/// Bodies that one pass looks at, at most.
const SCAN_BYTES_MAX: usize = 32 << 20;

// A pass comes as far as the first record that it is made for, however calm its lane is.
const _: () = assert!((SCAN_BYTES_MAX as u64) > MARK_BYTES);

/// Answers to one node that need old records.
#[derive(Debug)]
pub struct Job {
    /// The worker that asks.
    pub worker: usize,
    /// The follower.
    pub to: NodeId,
    /// At most one for each lane.
    pub wants: Vec<Want>,
}

/// One lane's answer.
#[derive(Debug)]
pub struct Want {
    /// The lane.
    pub lane: Lane,
    /// The machine's answer, whose spans are to be filled.
    pub records: Records,
    /// What [`StreamIndex::find`](crate::lane::StreamIndex::find) says of the first span's first
    /// record.
    pub from: (Lsn, LogPosition),
}

/// What became of a job: each of its lanes is in one of the lists.
#[derive(Debug, PartialEq, Eq)]
pub struct CaughtUp {
    /// The follower.
    pub to: NodeId,
    /// Answers whose spans are cut to what was found, maybe to nothing, with the records' bodies in
    /// the order of the spans.
    pub answers: Vec<(Records, Vec<Vec<u8>>)>,
    /// Lanes whose next record left the log: the follower must be re-seeded.
    pub released: Vec<Lane>,
    /// Lanes whose next record could not be read. It was logged.
    pub failed: Vec<Lane>,
}

/// What the thread does.
#[derive(Debug)]
pub enum Work {
    /// Read.
    Read(Job),
    /// Stop.
    Stop,
}

/// The way to the thread.
#[derive(Clone, Debug)]
pub struct CatchUp(SyncSender<Work>);

impl CatchUp {
    /// The way, and its end for [`start`].
    #[must_use]
    pub fn new() -> (Self, Receiver<Work>) {
        let (sender, receiver) = sync_channel(QUEUE);
        (Self(sender), receiver)
    }

    /// Hands a job over; never waits.
    ///
    /// # Errors
    /// The job, if too many wait or the thread has ended: there will be no answer to it, and the
    /// follower asks again.
    pub fn send(&self, job: Job) -> Result<(), Job> {
        match self.0.try_send(Work::Read(job)) {
            Err(
                TrySendError::Full(Work::Read(job)) | TrySendError::Disconnected(Work::Read(job)),
            ) => Err(job),
            _ => Ok(()),
        }
    }

    /// Ends the thread once it has done what it was given before. It also ends when every handle is
    /// gone.
    pub fn stop(&self) {
        // Waits for a place in the queue; an error says that the thread has ended.
        drop(self.0.send(Work::Stop));
    }
}

/// Starts the thread. `open` makes a reader of the log that begins at a place; `done` takes what
/// became of each job, with its worker, on this thread.
///
/// # Errors
/// The system has no thread left.
pub fn start(
    work: Receiver<Work>,
    open: impl Fn(LogPosition) -> LogReader + Send + 'static,
    done: impl Fn(usize, CaughtUp) + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("catch-up".into()).spawn(move || {
        let mut queue = Queue { work, jobs: VecDeque::new(), stopping: false };
        // A disk that stays bad must not fill up the log with it.
        let mut complained = false;
        while let Some(jobs) = queue.next() {
            let mut scan = Scan::new(jobs);
            let error = scan.run(&open, SCAN_BYTES_MAX);
            if let Some(error) = &error
                && !complained
            {
                tracing::error!(%error, "old records cannot be read for a follower");
            }
            complained = error.is_some();
            for (worker, caught_up) in scan.finish() {
                done(worker, caught_up);
            }
        }
    })
}

struct Queue {
    work: Receiver<Work>,
    /// Taken out of the channel and not begun.
    jobs: VecDeque<Job>,
    stopping: bool,
}

impl Queue {
    /// The job that waits longest, and all others for its node; `None` when it is time to stop.
    fn next(&mut self) -> Option<Vec<Job>> {
        if self.jobs.is_empty() && !self.stopping {
            match self.work.recv() {
                Ok(work) => self.take(work),
                Err(_) => return None,
            }
        }
        while self.jobs.len() < QUEUE && !self.stopping {
            let Ok(work) = self.work.try_recv() else { break };
            self.take(work);
        }
        let to = self.jobs.front()?.to;
        let (jobs, others): (VecDeque<_>, _) = self.jobs.drain(..).partition(|job| job.to == to);
        self.jobs = others;
        Some(jobs.into())
    }

    fn take(&mut self, work: Work) {
        match work {
            Work::Read(job) => self.jobs.push_back(job),
            Work::Stop => self.stopping = true,
        }
    }
}
