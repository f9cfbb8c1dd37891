//! The encoding of records: the answer to a pull or a copy, with the records themselves.

use common::codec::{DecodeError, Put, Reader};
use common::limits::FRAME_BYTES_MAX;

use super::fields::{put_option, take_epoch, take_lsn, take_option, take_term};
use super::message::{Incoming, RECORDS, put_head};
use crate::replication::message::Records;
use crate::replication::timing::RECORDS_MAX;

/// Most records of one message.
pub const BODIES_MAX: usize = 1_024;

/// Bytes of one message, but for one with a single record.
const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// The longest record that a frame holds, with what stands around it.
pub const RECORD_BYTES_MAX: usize = FRAME_BYTES_MAX - 1_024;

// An answer has room for all records of its spans, and a later leader may send more.
const _: () = assert!(BODIES_MAX as u64 == 4 * RECORDS_MAX);

/// Writes one [`Records`] message: its head first, then the records one by one as they are read
/// from the log. Nothing else may be written to the buffer before [`Self::finish`].
#[must_use = "the message is whole only after `finish`"]
#[derive(Debug)]
pub struct RecordsWriter<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    count_at: usize,
    count: u32,
}

impl<'o> RecordsWriter<'o> {
    /// Writes everything but the records. The spans are not written: the records say themselves
    /// which they are. `safe_ms`: whatever the leader will still append to the stream has a greater
    /// time, in milliseconds since 1970. `sync`: some of the records have to be durable before they
    /// are official.
    pub fn new(out: &'o mut Vec<u8>, records: &Records, safe_ms: u64, sync: bool) -> Self {
        let start = out.len();
        put_head(out, RECORDS, records.term);
        out.put_u64(records.life);
        out.put_u64(records.official.0);
        put_option(out, records.confirmed, |out, epoch| out.put_u64(epoch.0));
        out.put_u64(safe_ms);
        out.put_bool(sync);
        let count_at = out.len();
        out.put_u32(0);
        Self { out, start, count_at, count: 0 }
    }

    /// Appends one encoded log record. Says whether it was taken: not behind [`BODIES_MAX`] others,
    /// nor when that makes the message longer than 8 MiB, the first one excepted.
    /// What is left out the asker pulls again.
    pub fn body(&mut self, body: &[u8]) -> bool {
        let full = usize::try_from(self.count).is_ok_and(|count| count >= BODIES_MAX);
        let long = self.count > 0 && self.bytes() + body.len() > MESSAGE_BYTES_MAX;
        if full || long || body.len() > RECORD_BYTES_MAX {
            return false;
        }
        self.out.put_bytes32(body);
        self.count += 1;
        true
    }

    /// Length of the message so far, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.out.len() - self.start
    }

    /// Ends the message: writes down how many records it has.
    pub fn finish(self) {
        if let Some(place) = self.out.get_mut(self.count_at..self.count_at + size_of::<u32>()) {
            place.copy_from_slice(&self.count.to_le_bytes());
        }
    }
}

pub(super) fn take_records<'a>(reader: &mut Reader<'a>) -> Result<Incoming<'a>, DecodeError> {
    let records = Records {
        term: take_term(reader)?,
        life: reader.u64("life")?,
        spans: Vec::new(),
        official: take_lsn(reader)?,
        confirmed: take_option(reader, "confirmed", take_epoch)?,
    };
    let safe_ms = reader.u64("safe time")?;
    let sync = reader.bool("sync wanted")?;
    let bodies = reader.list("record count", BODIES_MAX, |reader| reader.bytes32("record"))?;
    Ok(Incoming::Records { records, safe_ms, sync, bodies })
}
