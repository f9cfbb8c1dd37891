//! The records of one turn, encoded once into the buffer that goes to the kernel.

use super::error::LogError;
use super::frame::{self, BODY_BYTES_MAX, CONTROL_BYTES, Control, ControlKind, HEAD_BYTES};
use super::position::LogPosition;

/// Records to append together: one turn of a worker.
///
/// [`push`](Self::push) the bodies, [`Log::append`](super::Log::append), then
/// [`clear`](Self::clear) and use it again: the buffer keeps its allocation. Bodies are encoded
/// straight into the buffer that is written, behind room for their heads. The checksums of the
/// bodies are computed here, outside of the log's lock.
///
/// A batch is not a transaction: after a crash any number of its first records may be there.
#[derive(Debug)]
pub struct Batch {
    /// Room for a mark, then frames whose heads are filled in when their place is known.
    buf: Vec<u8>,
    records: Vec<Record>,
}

#[derive(Debug)]
struct Record {
    /// Where its frame begins in `buf`.
    start: usize,
    body_bytes: usize,
    body_crc: u32,
}

/// A batch with its place, ready to be written.
pub(super) struct Placed<'a> {
    pub(super) bytes: &'a [u8],
    /// Where the first record's frame begins.
    pub(super) first: LogPosition,
    pub(super) end: LogPosition,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self { buf: vec![0; CONTROL_BYTES], records: Vec::new() }
    }

    /// Adds a record: `encode` appends its body to the buffer and must leave what is there alone.
    ///
    /// # Errors
    /// [`LogError::BodySize`] if the body is empty or too long; the batch is unchanged then.
    pub fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), LogError> {
        let start = self.buf.len();
        self.buf.extend_from_slice(&[0; HEAD_BYTES]);
        encode(&mut self.buf);
        assert!(self.buf.len() >= start + HEAD_BYTES, "an encoder must only append");
        let body = &self.buf[start + HEAD_BYTES..];
        let body_bytes = body.len();
        if body_bytes == 0 || body_bytes > BODY_BYTES_MAX {
            self.buf.truncate(start);
            return Err(LogError::BodySize { bytes: body_bytes, bytes_max: BODY_BYTES_MAX });
        }
        self.records.push(Record { start, body_bytes, body_crc: crc32c::crc32c(body) });
        Ok(())
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes that the records take in the log.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.buf.len() - CONTROL_BYTES
    }

    /// The body of record `index`.
    #[must_use]
    pub fn body(&self, index: usize) -> &[u8] {
        let record = &self.records[index];
        let start = record.start + HEAD_BYTES;
        &self.buf[start..start + record.body_bytes]
    }

    /// Bytes that the buffer can take without growing.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.buf.capacity()
    }

    /// Forgets the records and keeps the allocation.
    pub fn clear(&mut self) {
        self.buf.truncate(CONTROL_BYTES);
        self.records.clear();
    }

    /// Where record `index` stands, once the batch is appended at `first`
    /// ([`AppendReceipt::first`](super::AppendReceipt::first)).
    #[must_use]
    pub fn position(&self, first: LogPosition, index: usize) -> LogPosition {
        first.plus(self.records[index].start - CONTROL_BYTES)
    }

    /// Fills in the heads for a batch that begins at `at`, with a mark in front if one is due. May
    /// be called again with another place.
    pub(super) fn place(&mut self, at: LogPosition, mark: Option<LogPosition>) -> Placed<'_> {
        let mut from = CONTROL_BYTES;
        let mut first = at;
        if let Some(durable) = mark {
            let control = Control { kind: ControlKind::Mark, durable };
            self.buf[..CONTROL_BYTES].copy_from_slice(&frame::control_frame(control, at));
            from = 0;
            first = at.plus(CONTROL_BYTES);
        }
        for record in &self.records {
            let head = &mut self.buf[record.start..record.start + HEAD_BYTES];
            let position = first.plus(record.start - CONTROL_BYTES);
            frame::write_record_head(head, record.body_bytes, record.body_crc, position);
        }
        let bytes = &self.buf[from..];
        Placed { bytes, first, end: at.plus(bytes.len()) }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::frame::{Decoded, decode};

    #[test]
    fn a_placed_batch_decodes_at_its_positions_and_can_be_placed_again() {
        let mut batch = Batch::new();
        batch.push(|buf| buf.extend_from_slice(b"one")).unwrap();
        batch.push(|buf| buf.extend_from_slice(b"second")).unwrap();
        for (at, mark) in [
            (LogPosition::new(1, 4096), None),
            (LogPosition::new(2, 5000), Some(LogPosition::new(1, 4107))),
        ] {
            let placed = batch.place(at, mark);
            let (first, end) = (placed.first, placed.end);
            let bytes = placed.bytes.to_vec();
            assert_eq!(end, at.plus(bytes.len()));
            for (index, body) in [&b"one"[..], b"second"].into_iter().enumerate() {
                let position = batch.position(first, index);
                let skip = usize::try_from(position.offset - at.offset).unwrap();
                assert_eq!(decode(&bytes[skip..], position), Decoded::Record(body));
            }
        }
    }

    #[test]
    fn bodies_outside_of_the_limits_leave_the_batch_as_it_was() {
        let mut batch = Batch::new();
        batch.push(|buf| buf.push(1)).unwrap();
        let before = batch.bytes();
        assert!(matches!(batch.push(|_| ()), Err(LogError::BodySize { bytes: 0, .. })));
        let long = BODY_BYTES_MAX + 1;
        let refused = batch.push(|buf| buf.resize(buf.len() + long, 0));
        assert!(matches!(refused, Err(LogError::BodySize { bytes, .. }) if bytes == long));
        assert_eq!((batch.len(), batch.bytes()), (1, before));
        batch.clear();
        assert!(batch.is_empty());
    }
}
