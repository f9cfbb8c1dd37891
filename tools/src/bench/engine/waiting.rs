//! Threads that wait until the log is durable behind what they appended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use storage_node::binlog::{Log, LogPosition, SyncEvent};

use super::place::failed;
use crate::bench::BenchError;

/// Longest sleep: the log may have failed before it was listened to.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Who waits for what.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<Vec<(LogPosition, Thread)>>);

impl Waiting {
    /// Listens to the log's sync thread.
    pub(super) fn listen(log: &Log) -> Arc<Self> {
        let waiting = Arc::new(Self::default());
        let told = Arc::clone(&waiting);
        log.on_sync(move |event| {
            let upto = match event {
                SyncEvent::Durable(upto) => Some(upto),
                SyncEvent::Poisoned(_) => None,
            };
            told.wake(upto);
        });
        waiting
    }

    /// Makes the log durable up to `upto`, and waits for that.
    pub(super) fn sync(&self, log: &Log, upto: LogPosition) -> Result<(), BenchError> {
        // First in the list, or the sync might be over before.
        self.list().push((upto, thread::current()));
        log.request_sync(upto);
        while log.durable() < upto {
            if let Some(cause) = log.poisoned() {
                return Err(failed("sync the log", cause));
            }
            thread::park_timeout(LOOK_INTERVAL);
        }
        Ok(())
    }

    /// Wakes those whose records are durable, or all.
    fn wake(&self, upto: Option<LogPosition>) {
        let durable = |waits: &mut (LogPosition, Thread)| upto.is_none_or(|upto| waits.0 <= upto);
        self.list().extract_if(.., durable).for_each(|(_, thread)| thread.unpark());
    }

    fn list(&self) -> MutexGuard<'_, Vec<(LogPosition, Thread)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
