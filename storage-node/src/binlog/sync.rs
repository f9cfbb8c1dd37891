//! The sync thread: the only one that syncs records, so one fdatasync serves every writer.
//!
//! It syncs when somebody asked for a position that is not durable, again at once if somebody asked
//! meanwhile (group commit without an added delay), and every `sync_interval` if anything was
//! appended. Between syncs it makes the next segment ahead of need. The first error poisons the log,
//! is reported once, and ends the thread: no fsync is retried.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rt::panics;

use super::error::LogError;
use super::position::LogPosition;
use super::segment::HEADER_BYTES;
use super::shared::{LogCore, Prepared, SyncEvent, lock};
use super::writer::half_full;
use crate::files::is_no_space;

/// Zeros are written ahead in steps of so many bytes, so that no sync waits long behind one.
const ZERO_STEP_BYTES: u64 = 1 << 20;

/// What woke the thread.
struct Work {
    sync: bool,
    prepare: bool,
    /// The interval has passed.
    tick: bool,
    stop: bool,
}

/// Body of the thread; returns when the log is closed or poisoned.
pub(super) fn run(core: &LogCore) {
    if let Err(text) = panics::guard(|| turns(core)) {
        core.poison(format!("the sync thread panicked: {text}"));
    }
    if let Some(cause) = core.poison_cause() {
        tracing::error!(dir = %core.dir.display(), %cause, "log poisoned, writes are refused");
        core.tell(SyncEvent::Poisoned(Arc::clone(cause)));
    }
}

fn turns(core: &LogCore) {
    let mut tick_at = now() + core.sync_interval;
    let mut preparing = false;
    while core.poison_cause().is_none() {
        let work = core.wait_for_work(tick_at, preparing);
        if work.tick {
            tick_at = now() + core.sync_interval;
        }
        if work.sync || work.tick || work.stop {
            core.sync_records();
        }
        if work.stop {
            return;
        }
        if preparing || work.prepare || work.tick {
            preparing = core.prepare_next();
        }
    }
}

impl LogCore {
    fn wait_for_work(&self, tick_at: Instant, preparing: bool) -> Work {
        let mut wake = lock(&self.wake);
        loop {
            let left = tick_at.saturating_duration_since(now());
            let work = Work {
                sync: wake.requested > self.durable.load(),
                prepare: std::mem::take(&mut wake.prepare),
                tick: left == Duration::ZERO,
                stop: wake.stop,
            };
            let something = work.sync || work.prepare || work.tick || work.stop;
            if something || preparing || self.poison_cause().is_some() {
                return work;
            }
            let waited = self.wake_changed.wait_timeout(wake, left);
            wake = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Makes all that is appended by now durable.
    fn sync_records(&self) {
        let Ok(mut tail) = self.lock_tail() else {
            return;
        };
        let target = tail.position();
        if target == self.durable.load() {
            return;
        }
        // Older segments first: a power cut between two of them then leaves no hole to judge.
        let mut files = std::mem::take(&mut tail.unsynced);
        files.push(Arc::clone(&tail.segment.file));
        drop(tail);
        for file in files {
            if let Err(error) = file.sync_data() {
                self.poison(format!("could not sync the log in {}: {error}", self.dir.display()));
                return;
            }
        }
        self.advance_durable(target);
        self.tell(SyncEvent::Durable(target));
    }

    fn tell(&self, event: SyncEvent) {
        if let Some(on_sync) = self.on_sync.get() {
            on_sync(event);
        }
    }

    /// One step towards a next segment that is ready. Returns whether there is more to do.
    fn prepare_next(&self) -> bool {
        let mut slot = lock(&self.next);
        if slot.is_none() {
            if self.appended.load().offset < half_full(self.segment_bytes) {
                return false;
            }
            let index = self.current.load(Ordering::Acquire) + 1;
            match self.create_segment(index, self.segment_bytes) {
                Ok(segment) => *slot = Some(Prepared { zeroed: HEADER_BYTES, segment }),
                // Tried again with the next tick; an append that needs it before says so.
                Err(LogError::Full { .. }) => return false,
                Err(error) => {
                    self.poison(error.to_string());
                    return false;
                }
            }
        }
        let next = slot.as_mut().expect("was put there if there was none");
        let step = ZERO_STEP_BYTES.min(next.segment.bytes - next.zeroed.min(next.segment.bytes));
        if step == 0 {
            return false;
        }
        let zeros = vec![0; usize::try_from(step).expect("a step is 1 MiB")];
        // Under the lock: once the segment is taken into use, no zeros may be written to it.
        let written = next.segment.file.write_all_at(&zeros, next.zeroed);
        next.zeroed += step;
        let (file, path) = (Arc::clone(&next.segment.file), self.path(next.segment.index));
        drop(slot);
        match written.and_then(|()| file.sync_data()) {
            Ok(()) => true,
            // The zeros only make later syncs faster.
            Err(error) if is_no_space(&error) => false,
            Err(error) => {
                self.poison(format!("could not prepare {}: {error}", path.display()));
                false
            }
        }
    }

    /// Asks for everything up to `upto` to be made durable soon.
    pub(super) fn request_sync(&self, upto: LogPosition) {
        // What is not appended cannot be waited for: the thread would never rest.
        let upto = upto.min(self.appended.load());
        if upto > self.durable.load() {
            self.wake(|wake| wake.requested = wake.requested.max(upto));
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the thread times its own waits; nothing it decides depends on the value"
)]
fn now() -> Instant {
    Instant::now()
}
