//! What a node's worker does beside its turns, in the same order: look at the memtables once a tick,
//! flush one at a time when memory or log runs short, first the log and then the file, hold the
//! writer up meanwhile, release the log. What expires is reclaimed in [`reclaim`](super::reclaim).

use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use storage_node::binlog::LogPosition;
use storage_node::engine::{FlushJob, Store};
use storage_node::memory::Marks;
use storage_node::{LOG_KEPT_BYTES, TICK};

use super::flusher::{Event, Work};
use super::node::Node;
use super::place::failed;
use super::sizes::Budget;
use crate::bench::BenchError;
use crate::clock;

/// Longest pause of the writer.
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// Longest wait for a flush.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(3_600);

/// How far the flush is. There is one at a time.
pub(super) enum Flush {
    /// Nothing is being flushed.
    Idle,
    /// The group's memtable is frozen; the log has to be durable up to there first.
    WaitsForLog(usize, FlushJob, LogPosition),
    /// The flush thread has it.
    Running,
}

impl Node {
    /// Between two turns. Returns how long the writer was held up.
    pub(super) fn duties(&mut self) -> Result<Duration, BenchError> {
        while let Ok(event) = self.events.try_recv() {
            self.on_event(event)?;
        }
        if clock::now() >= self.tick_at {
            self.tick()?;
        }
        self.reclaim_when_due()?;
        let room = Marks::room_above(self.budget_bytes);
        let unflushed = self.memtable_bytes.saturating_sub(self.flushed_bytes);
        let rate = Marks::rate(room, unflushed, self.drain.rate());
        let pause = rate.map_or(Duration::ZERO, |rate| {
            Duration::from_secs_f64(self.turn_bytes as f64 / rate as f64).min(PAUSE_MAX)
        });
        if !pause.is_zero() {
            let end = clock::now() + pause;
            self.attend_until(|_| clock::now() >= end, pause)?;
        }
        Ok(pause)
    }

    /// Waits until the log is durable up to `upto`.
    pub(super) fn wait_durable(&mut self, upto: LogPosition) -> Result<(), BenchError> {
        self.attend_until(|node| node.log.durable() >= upto, TICK)
    }

    /// Waits until no flush is under way or due.
    pub(super) fn wait_flushed(&mut self) -> Result<(), BenchError> {
        let deadline = clock::now() + FLUSH_TIME_MAX;
        let done = |node: &Self| matches!(node.flush, Flush::Idle) || clock::now() >= deadline;
        self.attend_until(done, TICK)?;
        match self.flush {
            Flush::Idle => Ok(()),
            Flush::WaitsForLog(..) | Flush::Running => Err(failed("flush", "it does not end")),
        }
    }

    /// Flushes everything that is in memory.
    pub(super) fn settle(&mut self) -> Result<(), BenchError> {
        loop {
            self.wait_flushed()?;
            let full = |store: &Store| store.memory_bytes() > 0;
            let Some(group) = self.stores.iter().position(full) else { return Ok(()) };
            self.begin_flush(group);
        }
    }

    /// Takes what other threads tell, and looks after the memtables, until `done`; looks at that at
    /// least every `step`.
    fn attend_until(
        &mut self,
        done: impl Fn(&Self) -> bool,
        step: Duration,
    ) -> Result<(), BenchError> {
        while !done(self) {
            let step = step.min(self.tick_at.saturating_duration_since(clock::now()));
            match self.events.recv_timeout(step) {
                Ok(event) => self.on_event(event)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(failed("go on", "the flush thread ended"));
                }
            }
            if clock::now() >= self.tick_at {
                self.tick()?;
            }
        }
        Ok(())
    }

    fn on_event(&mut self, event: Event) -> Result<(), BenchError> {
        match event {
            Event::Synced => {
                if let Some(cause) = self.log.poisoned() {
                    return Err(failed("write the log", cause));
                }
                self.start_flush();
            }
            Event::WentOn(bytes, took) => {
                self.flushed_bytes += bytes;
                self.drain.flushed(bytes, took);
            }
            Event::Flushed(group, done) => {
                self.flush = Flush::Idle;
                self.flushed_bytes = 0;
                let garbage = self.stores[group].finish_flush(done);
                drop(self.work.send(Work::Drop(garbage)));
                if let Some(reason) = self.stores[group].stopped() {
                    return Err(failed("flush", reason));
                }
                self.publish_needed();
                self.measure_memtables();
                self.plan_flush();
            }
        }
        Ok(())
    }

    pub(super) fn tick(&mut self) -> Result<(), BenchError> {
        self.tick_at = clock::now() + TICK;
        self.measure_memtables();
        self.plan_flush();
        self.publish_needed();
        Ok(())
    }

    /// Begins a flush of the largest memtable when memory is short, else of the one that holds back
    /// the oldest part of a log that grew too long.
    fn plan_flush(&mut self) {
        if !matches!(self.flush, Flush::Idle) || self.budget == Budget::None {
            return;
        }
        let stores = || self.stores.iter().enumerate();
        let oldest = stores().filter_map(|(_, store)| store.oldest_unflushed()).min();
        let behind = oldest.map_or(0, |(s, o)| self.log.distance(LogPosition::new(s, o)));
        let chosen = if self.memtable_bytes > self.budget_bytes {
            stores().max_by_key(|(_, store)| store.memory_bytes())
        } else if behind > self.log_limit {
            let pins = stores().filter(|(_, store)| store.oldest_unflushed().is_some());
            pins.min_by_key(|(_, store)| store.oldest_unflushed())
        } else {
            None
        };
        if let Some((group, _)) = chosen {
            self.begin_flush(group);
        }
    }

    fn begin_flush(&mut self, group: usize) {
        let Some(job) = self.stores[group].begin_flush() else { return };
        self.frozen.0 += 1;
        self.frozen.1 += job.memory_bytes() as u64;
        // Everything in the memtable was appended before now.
        let appended = self.log.appended();
        self.log.request_sync(appended);
        self.flush = Flush::WaitsForLog(group, job, appended);
        self.start_flush();
    }

    /// Hands the frozen memtable over once its records are durable in the log.
    fn start_flush(&mut self) {
        let durable = self.log.durable();
        self.flush = match std::mem::replace(&mut self.flush, Flush::Idle) {
            Flush::WaitsForLog(group, job, upto) if upto <= durable => {
                // The thread ends with this node; a wait for an answer would notice.
                drop(self.work.send(Work::Flush(group, job)));
                Flush::Running
            }
            other => other,
        };
    }

    /// Lets the log go as far as nobody needs it.
    fn publish_needed(&mut self) {
        let oldest = self.stores.iter().filter_map(Store::oldest_unflushed).min();
        let oldest = oldest.map_or(self.log.appended(), |(s, o)| LogPosition::new(s, o));
        let needed = oldest.min(self.log.before_end(LOG_KEPT_BYTES));
        if needed.segment > self.released_segment {
            self.released_segment = needed.segment;
            drop(self.work.send(Work::Release(needed)));
        }
    }

    fn measure_memtables(&mut self) {
        let bytes = |store: &Store| store.memory_bytes() + store.flushing_bytes();
        self.memtable_bytes = self.stores.iter().map(bytes).sum();
    }
}
