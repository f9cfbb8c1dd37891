//! The regular duties of a worker: flushes by memory or log pressure, reclaim of what expired, the
//! pause of writers when memory runs short, and how far the log may be released.

use std::time::Duration;

use common::ids::{LogicGroup, ServerIndex};
use common::version::HLC_AHEAD_MS_MAX;

use crate::binlog::LogPosition;
use crate::engine::{FlushDone, Store};
use crate::flusher::Work;
use crate::worker::core::Core;
use crate::worker::group::{Flush, Group, LaneData};

/// Records that reclaim handles in one group before it goes to the next.
const RECLAIM_SLICE: usize = 256;
/// Records that reclaim handles in one tick.
const RECLAIM_TICK: usize = 1024;
/// A writer pauses this long for each tenth by which memory exceeds its budget.
const PAUSE_STEP: Duration = Duration::from_millis(2);
/// Longest pause between two turns of a writer.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// What a follower reclaims has expired for so long by the time of the leader that told it: more than
/// clocks that are followed may differ, and a heartbeat takes.
const CLOCK_MARGIN_MS: u64 = 2 * HLC_AHEAD_MS_MAX + 1_000;
/// The end of the log is kept in any case.
pub const LOG_KEPT_BYTES: u64 = 64 << 20;

impl Core {
    /// Once a tick.
    pub(crate) fn maintain(&mut self) {
        if let Some(cause) = self.shared.control.failed().map(str::to_owned) {
            // Promises that are never durable would keep lanes from whoever can serve them.
            self.leave(&cause);
        }
        if let Some(cause) = self.shared.log.poisoned() {
            // Also where others came into step only after it failed.
            self.leave(&cause);
        }
        self.retire_stopped();
        self.reclaim();
        self.measure_memtables();
        let stepped = f64::from(u8::from(self.clock.stepped()));
        metrics::gauge!("fdht_node_clock_step").set(stepped);
        self.publish_lanes();
        self.plan_flush();
        self.start_flushes();
        self.publish_needed();
    }

    /// Brings the state of the lanes into the metrics registry.
    fn publish_lanes(&self) {
        let worker = || self.index.to_string();
        let lanes = || self.groups.values().flat_map(|group| &group.lanes);
        let led = lanes().filter(|lane| lane.lead.is_some()).count();
        let backlog: usize = lanes().map(|lane| lane.backlog.bytes()).sum();
        let short = |group: &&Group| {
            let register = group.replica.register();
            register.is_none_or(|register| register.in_step.len() < register.servers.len())
        };
        let short = self.groups.values().filter(short).count();
        metrics::gauge!("fdht_node_lanes_led", "worker" => worker()).set(led as f64);
        metrics::gauge!("fdht_node_backlog_bytes", "worker" => worker()).set(backlog as f64);
        metrics::gauge!("fdht_node_groups_out_of_step", "worker" => worker()).set(short as f64);
    }

    /// Reclaims in slices, going on where the last tick ended, so that many groups take no more of
    /// the worker's time than few.
    fn reclaim(&mut self) {
        let now_ms = self.now_ms();
        let next = self.reclaim_next;
        let order = self.groups.range(next..).chain(self.groups.range(..next));
        let order: Vec<LogicGroup> = order.map(|(id, _)| *id).collect();
        let mut budget = RECLAIM_TICK;
        for id in order {
            let Some(group) = self.groups.get_mut(&id) else { continue };
            if group.stopped.is_some() {
                continue;
            }
            // A decision that is not known here yet may keep alive what looks expired.
            // The next leader's clock may be behind the one that told the time.
            let margin_ms = if group.servers() > 1 { CLOCK_MARGIN_MS } else { 0 };
            let safe = |lane: &LaneData| lane.safe_ms(now_ms).saturating_sub(margin_ms);
            let safe: Vec<u64> = group.lanes.iter().map(safe).collect();
            let safe_ms = |server: ServerIndex| {
                safe.get(usize::from(server.0)).map_or(0, |safe| now_ms.min(*safe))
            };
            match group.store.reclaim(safe_ms, budget.min(RECLAIM_SLICE)) {
                Ok(handled) => budget = budget.saturating_sub(handled),
                Err(error) => group.stop(&error.to_string()),
            }
            if budget == 0 {
                self.reclaim_next = id;
                return;
            }
        }
    }

    /// Begins at most one flush at a time: of the largest group when memory is short, else of the
    /// one that holds back the oldest part of a log that grew too long.
    fn plan_flush(&mut self) {
        let idle = self.groups.values().all(|group| matches!(group.flush, Flush::Idle));
        // A flush needs room; without any it would only fail.
        if !idle || self.shared.is_disk_full() {
            return;
        }
        let limits = &self.shared.limits;
        let candidates = || self.groups.values().filter(|group| group.stopped.is_none());
        let oldest = candidates().filter_map(|group| group.store.oldest_unflushed()).min();
        let behind = oldest.map_or(0, |(segment, offset)| {
            self.shared.log.distance(LogPosition::new(segment, offset))
        });
        let again = candidates().find(|group| group.store.wants_retry());
        let chosen = if again.is_some() {
            again
        } else if self.memtable_bytes > limits.memtable_bytes {
            candidates().max_by_key(|group| group.store.memory_bytes())
        } else if behind > limits.log_bytes {
            let pins = |group: &&Group| group.store.oldest_unflushed().is_some();
            candidates().filter(pins).min_by_key(|group| group.store.oldest_unflushed())
        } else {
            None
        };
        let Some(id) = chosen.map(|group| group.id) else { return };
        let Some(group) = self.groups.get_mut(&id) else { return };
        if let Some(job) = group.store.begin_flush() {
            // Everything in the memtable was appended before now.
            let appended = self.shared.log.appended();
            self.shared.log.request_sync(appended);
            group.flush = Flush::WaitsForLog(job, appended);
        }
    }

    /// Hands frozen memtables to the flush thread whose records are durable in the log (I6).
    pub(crate) fn start_flushes(&mut self) {
        let durable = self.shared.log.durable();
        for group in self.groups.values_mut() {
            match std::mem::replace(&mut group.flush, Flush::Idle) {
                Flush::WaitsForLog(job, upto) if upto <= durable => {
                    group.flush = Flush::Running;
                    self.shared.flusher.send(Work::Flush(group.id, job));
                }
                other => group.flush = other,
            }
        }
    }

    /// A flush ended, well or not.
    pub(crate) fn on_flushed(&mut self, id: LogicGroup, done: FlushDone) {
        if let Some(group) = self.groups.get_mut(&id) {
            group.flush = Flush::Idle;
            let garbage = group.store.finish_flush(done);
            self.shared.flusher.send(Work::Drop(garbage));
            if let Some(reason) = group.store.stopped().map(str::to_owned) {
                group.stop(&reason);
            }
        }
        self.publish_needed();
        self.measure_memtables();
        self.plan_flush();
        self.start_flushes();
    }

    /// Tells how far back this worker needs the log, for itself and for servers that are away; what
    /// no worker needs is released.
    fn publish_needed(&mut self) {
        let log = &self.shared.log;
        let own = self.groups.values().filter_map(Group::oldest_needed).min();
        let own = own.unwrap_or_else(|| log.appended());
        let retention = self.shared.limits.retention;
        let now_ms = self.mono_ms;
        let ends = (log.first(), log.appended());
        let lacks = self.groups.values_mut().flat_map(|group| group.lacks(now_ms, ends));
        let keep = retention.keep(now_ms, lacks, |from| log.distance(from));
        let needed = keep.from.map_or(own, |from| own.min(from));
        // What a power cut may take from a server in step is sent to it again from here; of lanes that
        // others lead, nobody says how much that is.
        let (me, first) = (self.shared.node, log.first());
        let elsewhere = self.groups.values().filter_map(|g| g.not_durable_elsewhere(me, first));
        let needed = needed.min(log.before_end(LOG_KEPT_BYTES));
        let needed = elsewhere.fold(needed, LogPosition::min);
        if let Some(upto) = self.shared.needed.publish(self.index, needed) {
            self.shared.flusher.send(Work::Release(upto));
        }
        // Another worker may have been the one that held the log back.
        let first = self.shared.log.first();
        if first.segment > self.released_segment {
            self.released_segment = first.segment;
            for lane in self.groups.values_mut().flat_map(|group| &mut group.lanes) {
                lane.index.release(first);
            }
        }
    }

    fn measure_memtables(&mut self) {
        let bytes = |store: &Store| store.memory_bytes() + store.flushing_bytes();
        self.memtable_bytes = self.groups.values().map(|group| bytes(&group.store)).sum();
        metrics::gauge!("fdht_node_memtable_bytes", "worker" => self.index.to_string())
            .set(self.memtable_bytes as f64);
    }

    /// How long a writer waits before its next turn.
    pub(crate) fn pause(&self) -> Duration {
        write_pause(self.memtable_bytes, self.shared.limits.memtable_bytes)
    }
}

/// How long a writer waits before its next turn while memtables take `used` of `budget` bytes.
#[must_use]
pub fn write_pause(used: usize, budget: usize) -> Duration {
    // Two budgets' worth is normal while one memtable is filled and the other flushed.
    let over = used.saturating_sub(2 * budget);
    let tenths = u32::try_from(over * 10 / budget.max(1)).unwrap_or(u32::MAX);
    PAUSE_STEP.saturating_mul(tenths).min(PAUSE_MAX)
}
