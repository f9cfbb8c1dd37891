//! The regular duties of a worker: flushes by memory or log pressure, reclaim of what expired, the
//! pause of writers when memory runs short, and how far the log may be released.

use std::time::Duration;

use common::ids::LogicGroup;

use crate::binlog::LogPosition;
use crate::engine::{FlushDone, Store};
use crate::flusher::Work;
use crate::worker::core::Core;
use crate::worker::group::Group;

/// Records that one slice of reclaim handles, for each group and tick.
const RECLAIM_SLICE: usize = 256;
/// A writer pauses this long for each tenth by which memory exceeds its budget.
const PAUSE_STEP: Duration = Duration::from_millis(2);
/// Longest pause between two turns of a writer.
const PAUSE_MAX: Duration = Duration::from_millis(50);

impl Core {
    /// Once a tick.
    pub(crate) fn maintain(&mut self, worker: usize) {
        self.begin_turn();
        self.reclaim();
        self.measure_memtables();
        let stepped = f64::from(u8::from(self.clock.stepped()));
        metrics::gauge!("fdht_node_clock_step").set(stepped);
        self.plan_flush();
        self.start_flushes();
        self.publish_needed(worker);
    }

    fn reclaim(&mut self) {
        let now_ms = self.now_ms();
        // A pending record may keep alive what looks expired below it.
        let quiet = |group: &&mut Group| group.stopped.is_none() && group.lane.pending.is_empty();
        for group in self.groups.values_mut().filter(quiet) {
            if let Err(error) = group.store.reclaim(now_ms, RECLAIM_SLICE) {
                group.stop(&error.to_string());
            }
        }
    }

    /// Begins at most one flush at a time: of the largest group when memory is short, else of the
    /// one that holds back the oldest part of a log that grew too long.
    fn plan_flush(&mut self) {
        if self.groups.values().any(|group| group.flushing) {
            return;
        }
        let limits = &self.shared.limits;
        let candidates = || {
            self.groups
                .values()
                .filter(|group| group.stopped.is_none() && group.store.memory_bytes() > 0)
        };
        let chosen = if self.memtable_bytes > limits.memtable_bytes {
            candidates().max_by_key(|group| group.store.memory_bytes())
        } else if self.shared.log.stats().bytes > limits.log_bytes {
            candidates().min_by_key(|group| group.store.oldest_unflushed())
        } else {
            None
        };
        if let Some(id) = chosen.map(|group| group.id)
            && let Some(group) = self.groups.get_mut(&id)
        {
            group.flushing = true;
        }
    }

    /// Hands a planned flush to the flush thread once the log is durable as far as the memtable
    /// goes (I6); asks for that first.
    pub(crate) fn start_flushes(&mut self) {
        let log = &self.shared.log;
        for group in self.groups.values_mut().filter(|group| group.flushing) {
            if group.store.flushing_bytes() > 0 {
                continue;
            }
            // Everything in the memtable was appended before now.
            let appended = log.appended();
            if log.durable() < appended {
                log.request_sync(appended);
                continue;
            }
            match group.store.begin_flush() {
                Some(job) => self.shared.flusher.send(Work::Flush(group.id, job)),
                None => group.flushing = false,
            }
        }
    }

    /// A flush ended, well or not.
    pub(crate) fn on_flushed(&mut self, worker: usize, id: LogicGroup, done: FlushDone) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.flushing = false;
            group.store.finish_flush(done);
            if let Some(reason) = group.store.stopped().map(str::to_owned) {
                group.stop(&reason);
            }
        }
        self.publish_needed(worker);
        self.measure_memtables();
        self.plan_flush();
        self.start_flushes();
    }

    /// Tells how far back this worker needs the log; what no worker needs is released.
    fn publish_needed(&self, worker: usize) {
        let needed = self.groups.values().filter_map(Group::oldest_needed).min();
        let needed: LogPosition = needed.unwrap_or_else(|| self.shared.log.appended());
        if let Some(upto) = self.shared.needed.publish(worker, needed) {
            self.shared.flusher.send(Work::Release(upto));
        }
    }

    fn measure_memtables(&mut self) {
        let bytes = |store: &Store| store.memory_bytes() + store.flushing_bytes();
        self.memtable_bytes = self.groups.values().map(|group| bytes(&group.store)).sum();
        metrics::gauge!("fdht_node_memtable_bytes").set(self.memtable_bytes as f64);
    }

    /// How long a writer waits before its next turn.
    pub(crate) fn pause(&self) -> Duration {
        let (used, budget) = (self.memtable_bytes, self.shared.limits.memtable_bytes);
        // Two budgets' worth is normal while one memtable is filled and the other flushed.
        let over = used.saturating_sub(2 * budget);
        let tenths = u32::try_from(over * 10 / budget.max(1)).unwrap_or(u32::MAX);
        PAUSE_STEP.saturating_mul(tenths).min(PAUSE_MAX)
    }
}
