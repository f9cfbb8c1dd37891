//! The regular duties of a worker: what metrics show, and how far the log may be released. Flushes are in
//! `flushing`, what is done in slices in `reclaim`.

use crate::flusher::Work;
use crate::worker::core::Core;
use crate::worker::group::Group;

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
        self.measure_memtables();
        let stepped = f64::from(u8::from(self.clock.stepped()));
        metrics::gauge!("fdht_node_clock_step").set(stepped);
        self.publish_lanes();
        self.plan_flush(true);
        self.start_flushes();
        self.look_for_reclaim();
        self.plan_compaction();
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

    /// Tells how far back this worker needs the log, for itself and for servers that are away; what
    /// no worker needs is released.
    pub(super) fn publish_needed(&mut self) {
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
        // One whose disk hangs must not fill this one's: what is kept for it is what is kept for one
        // that is away.
        let longest = log.before_end(retention.keep_bytes);
        let elsewhere = elsewhere.min().map(|from| from.max(longest));
        let needed = needed.min(log.before_end(LOG_KEPT_BYTES));
        let needed = elsewhere.map_or(needed, |from| needed.min(from));
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
}
