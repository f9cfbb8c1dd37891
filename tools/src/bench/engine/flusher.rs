//! The flush thread, with the node's order of work: one memtable at a time goes into its file, and
//! segments that nobody needs leave the log. The node's own is bound to everything else of a node.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread::JoinHandle;

use storage_node::binlog::{Log, LogPosition};
use storage_node::engine::{FlushDone, FlushJob};

use crate::console;

/// What the thread does.
pub(super) enum Work {
    /// Flush a memtable of this group.
    Flush(usize, FlushJob),
    /// Remove what the log holds before this place.
    Release(LogPosition),
    /// Stop.
    Stop,
}

/// What other threads tell the one that writes.
pub(super) enum Event {
    /// The log is durable further than before, or failed.
    Synced,
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
                // Whoever wrote has given up when it is gone.
                Work::Flush(group, job) => drop(events.send(Event::Flushed(group, job.run()))),
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
