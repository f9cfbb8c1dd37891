//! The flush thread, with the node's order of work: one memtable at a time goes into its file, and
//! segments that nobody needs leave the log. The node's own is bound to everything else of a node.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;

use storage_node::binlog::{Log, LogPosition};
use storage_node::engine::{FlushDone, FlushJob, Garbage};

use crate::{clock, console};

/// What the thread does.
pub(super) enum Work {
    /// Flush a memtable of this group.
    Flush(usize, FlushJob),
    /// Drop what a flush left over.
    Drop(Garbage),
    /// Remove what the log holds before this place.
    Release(LogPosition),
    /// Stop.
    Stop,
}

/// What other threads tell the one that writes.
pub(super) enum Event {
    /// The log is durable further than before, or failed.
    Synced,
    /// So many bytes of the memtable that is being flushed are in the file, after so much time.
    WentOn(usize, Duration),
    /// The flush of this group ended.
    Flushed(usize, FlushDone),
}

/// Starts the thread; it ends with [`Work::Stop`].
pub(super) fn start(
    log: Arc<Log>,
    work: Receiver<Work>,
    events: SyncSender<Event>,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("flush".into()).spawn(move || {
        for work in work {
            match work {
                Work::Flush(group, job) => flush(group, job, &events),
                Work::Drop(garbage) => drop(garbage),
                Work::Release(upto) => {
                    if let Err(error) = log.release(upto) {
                        console::warn(format!("log segments stay: {error}"));
                    }
                }
                Work::Stop => return,
            }
        }
    })
}

/// Whoever wrote has given up when it is gone.
fn flush(group: usize, job: FlushJob, events: &SyncSender<Event>) {
    let mut looked = clock::now();
    let done = job.run_watched(|bytes| {
        let now = clock::now();
        let took = now.duration_since(std::mem::replace(&mut looked, now));
        drop(events.send(Event::WentOn(bytes, took)));
    });
    drop(events.send(Event::Flushed(group, done)));
}
