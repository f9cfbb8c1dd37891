//! The log as its owner sees it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use super::batch::Batch;
use super::error::LogError;
use super::position::LogPosition;
use super::reader::LogReader;
use super::recovery::{Recovery, RecoveryReport, list_segments};
use super::scan::{RecordSink, Refusal, SegmentRecords};
use super::segment::{self, FIRST_INDEX, HEADER_BYTES, LogIdentity};
use super::shared::{LogCore, Recovered, SyncEvent, lock};
use super::writer::{AppendReceipt, SEAL_BYTES};
use super::{retention, sync};
use crate::files::{Fs, parent};

/// Usual length of a segment, in bytes.
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 << 20;
/// Shortest segment, in bytes: tests want many small ones.
pub const SEGMENT_BYTES_MIN: u64 = 8 << 10;
/// Usual time between two syncs that nobody asked for. `everysec` promises to lose at most a second:
/// half of it is left for the sync itself.
pub const SYNC_INTERVAL_DEFAULT: Duration = Duration::from_millis(500);

const _: () = assert!(SEGMENT_BYTES_MIN > HEADER_BYTES + SEAL_BYTES);

/// Receives the records of the log in order; a refusal ends the start with this text.
pub type Visitor<'a> = dyn FnMut(LogPosition, &[u8]) -> Result<(), String> + 'a;

/// A visitor as a sink.
struct EachRecord<'v, 'a>(&'v mut Visitor<'a>);

impl RecordSink for EachRecord<'_, '_> {
    fn take(&mut self, records: &SegmentRecords) -> Result<(), Refusal> {
        for (at, body) in records.records() {
            (self.0)(at, &records.data()[body]).map_err(|reason| Refusal { at, reason })?;
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<(), Refusal> {
        Ok(())
    }
}

/// How to keep a log.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// Length of new segments; at least [`SEGMENT_BYTES_MIN`]. A longer batch gets a longer one.
    pub segment_bytes: u64,
    /// What is appended is synced after so long, also if nobody asks for it.
    pub sync_interval: Duration,
    /// What to do when the directory holds no log.
    pub when_absent: WhenAbsent,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            sync_interval: SYNC_INTERVAL_DEFAULT,
            when_absent: WhenAbsent::Refuse,
        }
    }
}

/// What to do when the directory holds no log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenAbsent {
    /// It is an error: a node that lost its disk must not come back empty.
    Refuse,
    /// Make the directory (its parent must exist) and begin a log.
    Create,
}

/// The log in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogStats {
    /// Files on disk, the one in waiting included.
    pub segments: usize,
    /// Their length.
    pub bytes: u64,
    /// End of what was handed to the kernel.
    pub appended: LogPosition,
    /// End of what an fsync has confirmed: `appended >= durable`.
    pub durable: LogPosition,
    /// Number of fsyncs of records since the start.
    pub syncs: u64,
}

/// An open log. Shared by reference between workers; dropping it syncs what is left and ends its
/// thread.
///
/// Order of use: [`open`](Self::open), [`on_sync`](Self::on_sync), then from any thread
/// [`append`](Self::append) and [`request_sync`](Self::request_sync). One process must have a
/// directory open at a time; the owner of the data directory sees to that.
pub struct Log {
    core: Arc<LogCore>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// Opens the log in `dir`, hands every record to `visitor` in order and cuts a torn tail.
    ///
    /// Everything that is found is durable when this returns.
    ///
    /// # Errors
    /// A log that is damaged, incomplete, of another identity or format, or absent; what the visitor
    /// refuses; file operations that fail. Nothing was cut if it is damage.
    pub fn open(
        fs: Arc<dyn Fs>,
        dir: &Path,
        identity: LogIdentity,
        options: LogOptions,
        visitor: &mut Visitor<'_>,
    ) -> Result<(Self, RecoveryReport), LogError> {
        Self::open_into(fs, dir, identity, options, &mut EachRecord(visitor))
    }

    /// The same with the records segment by segment, for an owner that works on them elsewhere.
    ///
    /// # Errors
    /// See [`open`](Self::open).
    pub fn open_into(
        fs: Arc<dyn Fs>,
        dir: &Path,
        identity: LogIdentity,
        options: LogOptions,
        sink: &mut dyn RecordSink,
    ) -> Result<(Self, RecoveryReport), LogError> {
        let segment_bytes = options.segment_bytes.max(SEGMENT_BYTES_MIN);
        let indices = match list_segments(&*fs, dir) {
            Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Vec::new()
            }
            other => other?,
        };
        let (found, report) = if indices.is_empty() {
            if options.when_absent == WhenAbsent::Refuse {
                return Err(LogError::NoLog { dir: dir.to_owned() });
            }
            create(&*fs, dir, &identity, segment_bytes)?
        } else {
            // The last process may have been killed before a name was durable.
            sync_names(&*fs, dir)?;
            Recovery::new(&*fs, dir, &identity).run(&indices, sink)?
        };
        let core = Arc::new(LogCore::new(
            fs,
            dir.to_owned(),
            identity,
            segment_bytes,
            options.sync_interval,
            found,
        ));
        let for_thread = Arc::clone(&core);
        let thread = std::thread::Builder::new()
            .name("log-sync".into())
            .spawn(move || sync::run(&for_thread))
            .map_err(LogError::io("start the sync thread of", dir))?;
        Ok((Self { core, thread: Some(thread) }, report))
    }

    /// Sets what the sync thread calls after each step of the durable watermark, and once if the
    /// log is poisoned. It must not block. Set once, before the first append.
    ///
    /// # Panics
    /// If it was set before.
    pub fn on_sync(&self, callback: impl Fn(SyncEvent) + Send + Sync + 'static) {
        assert!(self.core.on_sync.set(Box::new(callback)).is_ok(), "on_sync is set once");
    }

    /// Appends a batch: when this returns, its bytes were handed to the kernel. Never waits for an
    /// fsync of records.
    ///
    /// # Errors
    /// [`LogError::Full`] and [`LogError::Poisoned`]: nothing of the batch is in the log.
    /// [`LogError::Failed`]: this is unknown.
    pub fn append(&self, batch: &mut Batch) -> Result<AppendReceipt, LogError> {
        self.core.append(batch)
    }

    /// Asks the sync thread to make everything up to `upto` durable now. Returns at once; the
    /// callback tells.
    pub fn request_sync(&self, upto: LogPosition) {
        self.core.request_sync(upto);
    }

    /// End of what was handed to the kernel.
    #[must_use]
    pub fn appended(&self) -> LogPosition {
        self.core.appended.load()
    }

    /// End of what an fsync has confirmed.
    #[must_use]
    pub fn durable(&self) -> LogPosition {
        self.core.durable.load()
    }

    /// Why the log refuses writes, if it does.
    #[must_use]
    pub fn poisoned(&self) -> Option<Arc<str>> {
        self.core.poison_cause().cloned()
    }

    /// A reader that begins at `from`: a position of a record, or one given as an end.
    #[must_use]
    pub fn reader(&self, from: LogPosition) -> LogReader {
        LogReader::new(Arc::clone(&self.core), from)
    }

    /// Where the log begins.
    #[must_use]
    pub fn first(&self) -> LogPosition {
        let first = lock(&self.core.segments).keys().next().copied();
        LogPosition::new(first.expect("a log has at least one segment"), HEADER_BYTES)
    }

    /// About how many bytes lie between `from` and the end of what is appended.
    #[must_use]
    pub fn distance(&self, from: LogPosition) -> u64 {
        let end = self.appended();
        let segments = lock(&self.core.segments);
        let between: u64 = segments.range(from.segment..end.segment).map(|(_, bytes)| bytes).sum();
        (between + end.offset).saturating_sub(from.offset)
    }

    /// A place at least `bytes` before the end of what is appended, or the log's beginning.
    #[must_use]
    pub fn before_end(&self, bytes: u64) -> LogPosition {
        let end = self.appended();
        if end.offset >= bytes.saturating_add(HEADER_BYTES) {
            return LogPosition::new(end.segment, end.offset - bytes);
        }
        let mut left = bytes.saturating_sub(end.offset);
        let segments = lock(&self.core.segments);
        for (index, length) in segments.range(..end.segment).rev() {
            if *length >= left {
                return LogPosition::new(*index, HEADER_BYTES);
            }
            left -= length;
        }
        let first = segments.keys().next().copied();
        LogPosition::new(first.unwrap_or(end.segment), HEADER_BYTES)
    }

    /// Removes the segments that hold nothing at or after `upto`, oldest first. Returns how many.
    /// Waits for the directory's fsync: call it from a thread that may.
    ///
    /// # Errors
    /// If a file cannot be removed; it and those after it stay. If the directory cannot be synced, or the log
    /// is poisoned; it is then.
    pub fn release(&self, upto: LogPosition) -> Result<usize, LogError> {
        let core = &*self.core;
        core.check_poison()?;
        let all: Vec<u64> = lock(&core.segments).keys().copied().collect();
        let released = retention::releasable(all, upto, core.durable.load());
        for &index in &released {
            // First out of the list, so that a reader is told so and not that a file is absent.
            let bytes = lock(&core.segments).remove(&index);
            let path = core.path(index);
            if let Err(source) = core.fs.remove(&path) {
                lock(&core.segments).extend(bytes.map(|bytes| (index, bytes)));
                return Err(LogError::Io { action: "remove", path, source });
            }
            // One at a time and durably: whatever a crash leaves begins later, without a gap. After an error
            // the name may come back, whatever a later sync says, so none behind it may go.
            core.fs.sync_dir(&core.dir).map_err(|error| {
                core.fail_for_good(format!("could not sync {}: {error}", core.dir.display()))
            })?;
        }
        Ok(released.len())
    }

    /// The log in numbers.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        let (segments, bytes) = {
            let segments = lock(&self.core.segments);
            (segments.len(), segments.values().sum())
        };
        // In this order, or the log might advance between the two.
        let durable = self.durable();
        let appended = self.appended();
        let syncs = self.core.syncs.load(Ordering::Relaxed);
        LogStats { segments, bytes, appended, durable, syncs }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.core.wake(|wake| wake.stop = true);
        if let Some(thread) = self.thread.take() {
            // Its panics are caught and reported inside.
            drop(thread.join());
        }
    }
}

/// Makes the names in `dir`, and its own, durable.
fn sync_names(fs: &dyn Fs, dir: &Path) -> Result<(), LogError> {
    for dir in [dir, parent(dir)] {
        fs.sync_dir(dir).map_err(LogError::io("sync", dir))?;
    }
    Ok(())
}

/// Begins a log in `dir`.
fn create(
    fs: &dyn Fs,
    dir: &Path,
    identity: &LogIdentity,
    segment_bytes: u64,
) -> Result<(Recovered, RecoveryReport), LogError> {
    fs.create_dir(dir).map_err(LogError::io("create", dir))?;
    sync_names(fs, dir)?;
    let current = segment::create(fs, dir, identity, FIRST_INDEX, segment_bytes)?;
    let end = LogPosition::new(FIRST_INDEX, HEADER_BYTES);
    let found = Recovered {
        segments: [(FIRST_INDEX, segment_bytes)].into(),
        current,
        end: HEADER_BYTES,
        next: None,
        marked: end,
    };
    Ok((found, RecoveryReport { first: end, end, records: 0, cut: None }))
}
