//! What the workers count. Each worker has its own: one writer, so counting is a plain load and
//! store.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::front::fastdht;

/// A number that one thread writes and any thread reads.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Adds. Only the owning thread may.
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    /// Replaces the number. Only the owning thread may.
    pub(crate) fn set(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }

    /// The number now.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One worker's counters since the start of the process.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Commands of all protocols that were started.
    pub(crate) commands: Count,
    /// Bytes from RESP and FastDHT clients.
    pub(crate) bytes_in: Count,
    /// Bytes to them.
    pub(crate) bytes_out: Count,
    /// Operations that ended without a reply from a node.
    pub(crate) failures: Count,
    /// Requests to nodes that were repeated.
    pub(crate) retries: Count,
    /// Views of groups that were adopted.
    pub(crate) views_adopted: Count,
    /// Lanes whose requests wait, at the last look.
    pub(crate) lanes_stalled: Count,
    /// Single reads that found their record.
    pub(crate) hits: Count,
    /// Single reads that did not.
    pub(crate) misses: Count,
    /// Keys served through the FastDHT protocol, for STAT.
    pub(crate) fastdht: FastDhtKeys,
}

/// Keys by what was done with them.
#[derive(Debug, Default)]
pub(crate) struct FastDhtKeys {
    set: Tally,
    inc: Tally,
    delete: Tally,
    get: Tally,
}

/// How often something was asked for and how often it succeeded.
#[derive(Debug, Default)]
struct Tally {
    total: Count,
    success: Count,
}

impl FastDhtKeys {
    /// Adds what one call served. Only the owning thread may.
    pub(crate) fn add(&self, more: &fastdht::Counters) {
        let tallies = [&self.set, &self.inc, &self.delete, &self.get];
        for (tally, more) in tallies.into_iter().zip([more.set, more.inc, more.delete, more.get]) {
            tally.total.add(more.total);
            tally.success.add(more.success);
        }
    }

    /// The numbers now.
    pub(crate) fn get(&self) -> fastdht::Counters {
        let read = |tally: &Tally| fastdht::Counter {
            total: tally.total.get(),
            success: tally.success.get(),
        };
        fastdht::Counters {
            set: read(&self.set),
            inc: read(&self.inc),
            delete: read(&self.delete),
            get: read(&self.get),
        }
    }
}
