//! Appending: a batch gets its place, is checksummed and handed to the kernel with one write, under
//! one short lock. Nothing here waits for an fsync of records.
//!
//! A batch stands in one segment as a whole; if the current one has no room for it, the log moves on
//! to the next. A batch that fits in no segment gets one that is longer.

use std::sync::atomic::Ordering;

use super::batch::Batch;
use super::error::LogError;
use super::frame::{CONTROL_BYTES, Control, ControlKind, control_frame};
use super::position::LogPosition;
use super::segment::{HEADER_BYTES, Segment};
use super::shared::{LogCore, Prepared, Tail, lock};

/// Room that is kept at the end of every segment for its seal.
pub(super) const SEAL_BYTES: u64 = CONTROL_BYTES as u64;

/// Where a batch was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendReceipt {
    /// Position of the first record; [`Batch::position`] gives those of the others.
    pub first: LogPosition,
    /// The first position behind the batch: the batch is durable when the log is durable up to it.
    pub end: LogPosition,
}

/// The offset in a segment of this length from which on the next one is prepared.
pub(super) fn half_full(segment_bytes: u64) -> u64 {
    HEADER_BYTES + (segment_bytes - HEADER_BYTES) / 2
}

impl LogCore {
    /// Appends the records of `batch`. See [`Log::append`](super::Log::append).
    pub(super) fn append(&self, batch: &mut Batch) -> Result<AppendReceipt, LogError> {
        let mut tail = self.lock_tail()?;
        self.check_poison()?;
        if batch.is_empty() {
            return Ok(AppendReceipt { first: tail.position(), end: tail.position() });
        }
        let durable = self.durable.load();
        let bytes = (CONTROL_BYTES + batch.bytes()) as u64;
        if tail.end + bytes + SEAL_BYTES > tail.segment.bytes {
            self.rotate(&mut tail, bytes, durable)?;
        }
        let placed = batch.place(tail.position(), (durable > tail.marked).then_some(durable));
        self.write(&tail.segment, placed.bytes, tail.end)?;
        let receipt = AppendReceipt { first: placed.first, end: placed.end };
        let half = half_full(tail.segment.bytes);
        let passed_half = tail.end < half && placed.end.offset >= half;
        tail.end = placed.end.offset;
        tail.marked = durable;
        self.appended.store(receipt.end);
        drop(tail);
        if passed_half {
            self.wake(|wake| wake.prepare = true);
        }
        Ok(receipt)
    }

    /// Seals the current segment and moves on to the next, which then has room for `bytes`.
    fn rotate(&self, tail: &mut Tail, bytes: u64, durable: LogPosition) -> Result<(), LogError> {
        let needed = (HEADER_BYTES + bytes + SEAL_BYTES).max(self.segment_bytes);
        let index = tail.segment.index + 1;
        let mut slot = lock(&self.next);
        if slot.is_none() {
            let segment = self.create_segment(index, needed).map_err(|error| match error {
                LogError::Io { action, path, source } => self.fail(action, &path, &source),
                other => other,
            })?;
            *slot = Some(Prepared { zeroed: 0, segment });
        }
        let next = slot.as_mut().expect("was put there if there was none");
        assert_eq!(next.segment.index, index, "segments follow one another");
        if next.segment.bytes < needed {
            let path = self.path(index);
            let file = &next.segment.file;
            file.preallocate(needed).map_err(|e| self.fail("extend", &path, &e))?;
            next.segment.bytes = needed;
            lock(&self.segments).insert(index, needed);
        }
        let seal = Control { kind: ControlKind::Seal, durable };
        self.write(&tail.segment, &control_frame(seal, tail.position()), tail.end)?;

        let next = slot.take().expect("is still there").segment;
        self.current.store(index, Ordering::Release);
        let left = std::mem::replace(&mut tail.segment, next);
        tail.unsynced.push(left.file);
        tail.end = HEADER_BYTES;
        tail.marked = durable;
        self.appended.store(tail.position());
        Ok(())
    }

    /// Writes at the end of the data. If the disk is full, nothing of `bytes` is left in the file,
    /// so that neither recovery nor a later, shorter write brings a part of them back.
    fn write(&self, segment: &Segment, bytes: &[u8], offset: u64) -> Result<(), LogError> {
        let Err(error) = segment.file.write_all_at(bytes, offset) else {
            return Ok(());
        };
        let path = self.path(segment.index);
        let failed = self.fail("write", &path, &error);
        if matches!(failed, LogError::Full { .. }) {
            let erased =
                segment.file.set_len(offset).and_then(|()| segment.file.set_len(segment.bytes));
            if let Err(error) = erased {
                let cause = format!("could not take back a write to {}: {error}", path.display());
                return Err(self.fail_for_good(cause));
            }
        }
        Err(failed)
    }
}
