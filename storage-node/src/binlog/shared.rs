//! What the appending workers, the sync thread and the readers share.
//!
//! Locks are taken in the order tail, next, segments; none is held across an fsync of records.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::error::LogError;
use super::position::{AtomicPosition, LogPosition};
use super::segment::{self, LogIdentity, Segment};
use crate::files::{Fs, FsFile, is_no_space};

/// What the sync thread tells the owner of the log.
#[derive(Clone, Debug)]
pub enum SyncEvent {
    /// The log is durable up to here.
    Durable(LogPosition),
    /// The log is poisoned: what is not durable by now never will be known to be.
    Poisoned(Arc<str>),
}

/// Called by the sync thread.
pub(super) type OnSync = Box<dyn Fn(SyncEvent) + Send + Sync>;

/// State behind a [`Log`](super::Log). Watermarks: `appended >= durable`.
pub(super) struct LogCore {
    pub(super) fs: Arc<dyn Fs>,
    pub(super) dir: PathBuf,
    pub(super) identity: LogIdentity,
    pub(super) segment_bytes: u64,
    pub(super) sync_interval: Duration,
    pub(super) tail: Mutex<Tail>,
    /// The segment after the current one, made ahead of need.
    pub(super) next: Mutex<Option<Prepared>>,
    /// Number of the current segment; changed while `next` is locked.
    pub(super) current: AtomicU64,
    /// All segments on disk, with their lengths.
    pub(super) segments: Mutex<BTreeMap<u64, u64>>,
    /// End of what was handed to the kernel.
    pub(super) appended: AtomicPosition,
    /// End of what an fsync has confirmed.
    pub(super) durable: AtomicPosition,
    /// Number of fsyncs of records.
    pub(super) syncs: AtomicU64,
    pub(super) on_sync: OnceLock<OnSync>,
    pub(super) wake: Mutex<Wake>,
    pub(super) wake_changed: Condvar,
    poison: OnceLock<Arc<str>>,
}

/// Where the next frame goes.
pub(super) struct Tail {
    pub(super) segment: Segment,
    /// Offset in `segment`.
    pub(super) end: u64,
    /// The durable position that the last mark or seal says.
    pub(super) marked: LogPosition,
    /// Segments that were left since the last sync, oldest first. They are synced before the
    /// current one.
    pub(super) unsynced: Vec<Arc<dyn FsFile>>,
}

impl Tail {
    pub(super) fn position(&self) -> LogPosition {
        LogPosition::new(self.segment.index, self.end)
    }
}

/// A segment in waiting.
pub(super) struct Prepared {
    pub(super) segment: Segment,
    /// Up to here zeros were written, which makes later fsyncs cheaper.
    pub(super) zeroed: u64,
}

/// What the sync thread is asked to do.
#[derive(Default)]
pub(super) struct Wake {
    pub(super) requested: LogPosition,
    pub(super) prepare: bool,
    pub(super) stop: bool,
}

/// What recovery found, for [`LogCore::new`].
pub(super) struct Recovered {
    pub(super) segments: BTreeMap<u64, u64>,
    pub(super) current: Segment,
    pub(super) end: u64,
    pub(super) next: Option<Segment>,
    pub(super) marked: LogPosition,
}

impl LogCore {
    pub(super) fn new(
        fs: Arc<dyn Fs>,
        dir: PathBuf,
        identity: LogIdentity,
        segment_bytes: u64,
        sync_interval: Duration,
        found: Recovered,
    ) -> Self {
        let end = LogPosition::new(found.current.index, found.end);
        // It was zeroed when it was made, or it is a little slower: not worth finding out.
        let next = found.next.map(|segment| Prepared { zeroed: segment.bytes, segment });
        Self {
            fs,
            dir,
            identity,
            segment_bytes,
            sync_interval,
            current: AtomicU64::new(found.current.index),
            tail: Mutex::new(Tail {
                segment: found.current,
                end: found.end,
                marked: found.marked,
                unsynced: Vec::new(),
            }),
            next: Mutex::new(next),
            segments: Mutex::new(found.segments),
            appended: AtomicPosition::new(end),
            durable: AtomicPosition::new(end),
            syncs: AtomicU64::new(0),
            on_sync: OnceLock::new(),
            wake: Mutex::new(Wake::default()),
            wake_changed: Condvar::new(),
            poison: OnceLock::new(),
        }
    }

    /// The tail, unless a thread panicked while it changed it.
    pub(super) fn lock_tail(&self) -> Result<MutexGuard<'_, Tail>, LogError> {
        self.tail.lock().map_err(|_| {
            self.poison("a thread panicked while it appended".into());
            self.poisoned_error()
        })
    }

    /// Asks the sync thread for something.
    pub(super) fn wake(&self, ask: impl FnOnce(&mut Wake)) {
        ask(&mut lock(&self.wake));
        self.wake_changed.notify_one();
    }

    /// Creates a segment; the error of a full disk is [`LogError::Full`].
    pub(super) fn create_segment(&self, index: u64, bytes: u64) -> Result<Segment, LogError> {
        let created = segment::create(&*self.fs, &self.dir, &self.identity, index, bytes)?;
        lock(&self.segments).insert(index, bytes);
        Ok(created)
    }

    pub(super) fn path(&self, index: u64) -> PathBuf {
        segment::path(&self.dir, index)
    }

    /// The first error, if there was one.
    pub(super) fn poison_cause(&self) -> Option<&Arc<str>> {
        self.poison.get()
    }

    /// Refuses if the log is poisoned.
    pub(super) fn check_poison(&self) -> Result<(), LogError> {
        if self.poison.get().is_some() { Err(self.poisoned_error()) } else { Ok(()) }
    }

    /// Poisons the log: the first cause stays, no write is accepted any more, nothing is retried.
    pub(super) fn poison(&self, cause: String) {
        if self.poison.set(cause.into()).is_ok() {
            // The sync thread tells the owner. Under its lock, or it might just miss this.
            self.wake(|_| ());
        }
    }

    /// Handles an error of a write: a full disk is passed on, everything else poisons the log.
    pub(super) fn fail(&self, action: &str, path: &Path, error: &io::Error) -> LogError {
        if is_no_space(error) {
            return LogError::Full { path: path.to_owned() };
        }
        self.fail_for_good(format!("could not {action} {}: {error}", path.display()))
    }

    /// Poisons the log because of a write of which nobody knows what it left.
    pub(super) fn fail_for_good(&self, cause: String) -> LogError {
        self.poison(cause);
        LogError::Failed { cause: self.cause() }
    }

    fn poisoned_error(&self) -> LogError {
        LogError::Poisoned { cause: self.cause() }
    }

    fn cause(&self) -> Arc<str> {
        Arc::clone(self.poison.get().expect("asked for the cause of a poisoned log"))
    }

    /// Moves the durable watermark to `position`. Only the sync thread does this.
    pub(super) fn advance_durable(&self, position: LogPosition) {
        assert!(position >= self.durable.load(), "the durable position never falls");
        assert!(self.appended.load() >= position, "appended >= durable");
        self.durable.store(position);
        self.syncs.fetch_add(1, Ordering::Relaxed);
    }
}

/// Locks state that no panic can leave half changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
