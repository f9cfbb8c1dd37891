//! When the free space of a group's file is returned to the disk: one file at a time in the node, while
//! there is memory and room for it. The copy itself is [`crate::engine::CompactJob`].

use common::ids::LogicGroup;

use crate::engine::{CompactEnd, Space};
use crate::flusher::Work;
use crate::worker::core::Core;
use crate::worker::group::Group;

/// A file that takes less of the disk stays as it is.
pub(crate) const COMPACT_BYTES_MIN: u64 = 64 << 20;
/// How often a worker looks for a file.
const LOOK_MS: u64 = 1_000;
/// How long a file waits after a copy that was given up or failed; doubled each time.
const AGAIN_MS: u64 = 60_000;
/// But no longer.
const AGAIN_MS_MAX: u64 = 3_600_000;

/// What is known of copying one group's file.
#[derive(Default)]
pub(crate) struct Compaction {
    /// The copy that is under way: what the file took, and since when.
    running: Option<(u64, u64)>,
    /// Not before this time.
    next_ms: u64,
    /// Copies since the last good one.
    failed: u32,
    /// The file is damaged: not before a restart.
    damaged: bool,
    /// What the last copy took of the disk for its entries: bytes of both.
    last: Option<(u64, u64)>,
}

impl Compaction {
    /// How much a copy returns to the disk, if it is worth its writes: the file takes at least twice
    /// what the copy needs. `min`: bytes below which no file is copied.
    fn returns(&self, space: Space, min: u64, now_ms: u64) -> Option<u64> {
        let ready = self.running.is_none() && !self.damaged && now_ms >= self.next_ms;
        if !ready || space.file < min {
            return None;
        }
        let copy = self.copy_bytes(space.stored);
        (copy <= space.file / 2).then(|| space.file - copy)
    }

    /// What a copy of entries takes of the disk: pages are not quite full, values may be of a length
    /// that leaves much of their pages empty, and there are branches above the leaves.
    fn copy_bytes(&self, stored: u64) -> u64 {
        let expected = stored.saturating_add(stored / 8);
        let like_last = self.last.map_or(0, |(bytes, of)| {
            let like_last = u128::from(stored) * u128::from(bytes) / u128::from(of.max(1));
            u64::try_from(like_last).unwrap_or(u64::MAX)
        });
        expected.max(like_last)
    }

    /// A copy ended; `now` is what the file takes and needs now.
    fn ended(&mut self, end: &CompactEnd, now: Space, now_ms: u64) {
        self.running = None;
        match end {
            CompactEnd::Replaced { stored } => {
                self.failed = 0;
                self.last = Some((now.file, *stored));
            }
            CompactEnd::NotRead(_) | CompactEnd::NotDurable(_) => self.damaged = true,
            CompactEnd::Stopped | CompactEnd::NotWritten(_) => {
                let wait = AGAIN_MS << self.failed.min(10);
                self.next_ms = now_ms.saturating_add(wait.min(AGAIN_MS_MAX));
                self.failed = self.failed.saturating_add(1);
            }
        }
    }
}

impl Core {
    /// Begins to copy the file that returns most, if there is one and nothing is short.
    pub(crate) fn plan_compaction(&mut self) {
        if self.mono_ms < self.compact_next_ms {
            return;
        }
        self.compact_next_ms = self.mono_ms + LOOK_MS;
        self.publish_space();
        let limits = &self.shared.limits;
        if self.shared.is_disk_full() || self.shared.memory.is_short() {
            return;
        }
        let (room, min, now_ms) = (self.shared.disk_room(), limits.compact_bytes, self.mono_ms);
        let gain = |group: &Group| {
            let space = group.store.space();
            let free = group.stopped.is_none() && group.store.is_free();
            let returns = group.compaction.returns(space, min, now_ms).filter(|_| free)?;
            // With some room to spare.
            let copy = group.compaction.copy_bytes(space.stored);
            (copy.saturating_add(copy / 4) <= room).then_some((returns, group.id))
        };
        let Some((_, id)) = self.groups.values().filter_map(gain).max() else { return };
        let Some(group) = self.groups.get_mut(&id) else { return };
        if !self.shared.claim_compaction() {
            return;
        }
        let Some(job) = group.store.begin_compaction() else {
            return self.shared.release_compaction();
        };
        let Space { file, stored } = group.store.space();
        tracing::info!(group = %id, file, stored, "a file is copied to return its free space");
        group.compaction.running = Some((file, now_ms));
        self.shared.flusher.send(Work::Compact(id, job));
    }

    /// A copy ended, well or not.
    pub(crate) fn on_compacted(&mut self, id: LogicGroup, end: &CompactEnd) {
        self.shared.release_compaction();
        let Some(group) = self.groups.get_mut(&id) else { return };
        let (before, since_ms) = group.compaction.running.unwrap_or_default();
        group.store.finish_compaction(end);
        let space = group.store.space();
        group.compaction.ended(end, space, self.mono_ms);
        let ms = self.mono_ms.saturating_sub(since_ms);
        match end {
            CompactEnd::Replaced { .. } => {
                metrics::counter!("fdht_node_compactions_total").increment(1);
                let (after, returned) = (space.file, before.saturating_sub(space.file));
                metrics::counter!("fdht_node_compacted_bytes_total").increment(returned);
                tracing::info!(group = %id, before, after, ms, "free space returned to the disk");
            }
            CompactEnd::Stopped => {
                tracing::info!(group = %id, ms, "the copy of a file gave way; it is tried again");
            }
            CompactEnd::NotWritten(error) => {
                tracing::warn!(group = %id, %error, "a file was not copied; it is tried again");
            }
            CompactEnd::NotRead(error) | CompactEnd::NotDurable(error) => {
                tracing::error!(group = %id, %error, "a file was not copied");
            }
        }
        if let Some(reason) = group.store.stopped().map(str::to_owned) {
            group.stop(&reason);
        }
    }

    /// Brings what the files take and need into the metrics registry.
    fn publish_space(&self) {
        let worker = || self.index.to_string();
        let spaces = || self.groups.values().map(|group| group.store.space());
        let file: u64 = spaces().map(|space| space.file).sum();
        let stored: u64 = spaces().map(|space| space.stored).sum();
        metrics::gauge!("fdht_node_group_file_bytes", "worker" => worker()).set(file as f64);
        metrics::gauge!("fdht_node_group_stored_bytes", "worker" => worker()).set(stored as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn space(file: u64, stored: u64) -> Space {
        Space { file: file * MIB, stored: stored * MIB }
    }

    #[test]
    fn a_large_file_that_is_twice_what_its_copy_needs_is_copied() {
        let compaction = Compaction::default();
        let returns = |space| compaction.returns(space, 64 * MIB, 0);
        assert_eq!(returns(space(63, 1)), None, "too small");
        assert_eq!(returns(space(64, 16)), Some((64 - 18) * MIB));
        assert_eq!(returns(space(1_000, 500)), None);
        assert_eq!(returns(space(1_000, 444)), Some(1_000 * MIB - 444 * MIB / 8 * 9));
    }

    #[test]
    fn a_copy_that_did_not_help_is_not_made_again() {
        let mut compaction = Compaction::default();
        // Pages that large values leave half empty.
        let end = CompactEnd::Replaced { stored: 100 * MIB };
        compaction.ended(&end, space(230, 100), 0);
        assert_eq!(compaction.returns(space(300, 100), MIB, 0), None);
        assert_eq!(compaction.returns(space(459, 100), MIB, 0), None);
        assert_eq!(compaction.returns(space(460, 100), MIB, 0), Some(230 * MIB));
    }

    #[test]
    fn after_a_copy_that_was_given_up_the_file_waits_longer_each_time() {
        let mut compaction = Compaction::default();
        let (all, now_ms) = (space(100, 1), 7);
        let mut waits = Vec::new();
        for _ in 0..8 {
            compaction.ended(&CompactEnd::Stopped, all, now_ms);
            let wait = compaction.next_ms - now_ms;
            assert_eq!(compaction.returns(all, MIB, compaction.next_ms - 1), None);
            assert!(compaction.returns(all, MIB, compaction.next_ms).is_some());
            waits.push(wait / 60_000);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        compaction.ended(&CompactEnd::Replaced { stored: MIB }, space(2, 1), now_ms);
        compaction.ended(&CompactEnd::Stopped, all, now_ms);
        assert_eq!(compaction.next_ms, now_ms + 60_000);
    }
}
