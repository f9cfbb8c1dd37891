//! The flush thread: one memtable at a time goes into its file, and segments that nobody needs
//! leave the log. Between flushes it copies a file to return its free space, step by step. It waits for
//! disks, so that workers never do.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use common::ids::LogicGroup;
use tokio::sync::mpsc::Sender;

use crate::binlog::LogPosition;
use crate::engine::{CompactJob, CompactStep, FlushJob, Garbage};
use crate::shared::Shared;
use crate::worker::Message;

/// Work that may wait: at most one flush, one drop and one release for each worker, and one step of one
/// copy, so it is never full.
const QUEUE: usize = 1024;

/// What the thread does.
pub(crate) enum Work {
    /// Flush a memtable; the group's worker is told.
    Flush(LogicGroup, FlushJob),
    /// Take the next step of a copy of a group's file; the group's worker is told of the end.
    Compact(LogicGroup, CompactJob),
    /// Drop what a flush left over.
    Drop(Garbage),
    /// Remove what the log holds before this place.
    Release(LogPosition),
    /// Stop.
    Stop,
}

/// The way to the flush thread.
#[derive(Clone, Debug)]
pub(crate) struct Flusher(SyncSender<Work>);

impl Flusher {
    /// The way, and its end for [`start`].
    pub(crate) fn new() -> (Self, Receiver<Work>) {
        let (sender, receiver) = sync_channel(QUEUE);
        (Self(sender), receiver)
    }

    /// Hands work over.
    pub(crate) fn send(&self, work: Work) {
        if self.0.try_send(work).is_err() {
            // Only while stopping, or with more work queued than there can be; the log replays what
            // was not flushed.
            tracing::debug!("work for the flush thread was dropped");
        }
    }
}

/// Starts the thread; it ends with [`Work::Stop`]. `workers` are told of flushes, group g by worker
/// g mod their number.
pub(crate) fn start(
    work: Receiver<Work>,
    shared: Arc<Shared>,
    workers: Vec<Sender<Message>>,
) -> std::io::Result<JoinHandle<()>> {
    // Shown from the start, not only after the first flush.
    metrics::counter!("fdht_node_flushes_total").increment(0);
    metrics::counter!("fdht_node_compactions_total").increment(0);
    metrics::counter!("fdht_node_compacted_bytes_total").increment(0);
    std::thread::Builder::new().name("flush".into()).spawn(move || {
        for work in work {
            match work {
                Work::Flush(group, job) => flush(group, job, &shared, &workers),
                Work::Compact(group, job) => compact(group, job, &shared, &workers),
                Work::Drop(garbage) => drop(garbage),
                Work::Release(upto) => release(&shared, upto),
                Work::Stop => return,
            }
        }
    })
}

fn flush(group: LogicGroup, job: FlushJob, shared: &Shared, workers: &[Sender<Message>]) {
    let started = rt::clock::now();
    let bytes = job.memory_bytes();
    shared.memory.flush_began();
    let mut looked = started;
    let done = job.run_watched(|bytes| {
        let now = rt::clock::now();
        let took = now.duration_since(std::mem::replace(&mut looked, now));
        shared.memory.flush_went_on(bytes, took);
    });
    shared.memory.flush_succeeded(done.error().is_none());
    match done.error() {
        None => {
            metrics::counter!("fdht_node_flushes_total").increment(1);
            let ms = started.elapsed().as_millis();
            tracing::debug!(%group, bytes, ms, "memtable flushed");
        }
        Some(error) => tracing::error!(%group, %error, "memtable not flushed"),
    }
    tell(group, workers, Message::Flushed(group, done));
}

/// Takes one step, and lets what came meanwhile go first.
fn compact(group: LogicGroup, job: CompactJob, shared: &Shared, workers: &[Sender<Message>]) {
    if shared.is_disk_full() {
        job.stop();
    }
    match job.step() {
        CompactStep::More(job) => shared.flusher.send(Work::Compact(group, job)),
        CompactStep::Done(end) => tell(group, workers, Message::Compacted(group, end)),
    }
}

fn tell(group: LogicGroup, workers: &[Sender<Message>], message: Message) {
    let worker = workers.get(usize::from(group.0) % workers.len().max(1));
    if let Some(worker) = worker {
        // The worker is gone only when the node stops; the log replays what it did not hear of.
        drop(worker.blocking_send(message));
    }
}

fn release(shared: &Shared, upto: LogPosition) {
    match shared.log.release(upto) {
        Ok(0) => {}
        Ok(segments) => tracing::debug!(segments, %upto, "log segments removed"),
        Err(error) => tracing::warn!(%error, "log segments stay"),
    }
}
