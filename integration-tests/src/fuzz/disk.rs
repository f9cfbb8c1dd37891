//! Values, keys and log records: what is on disks, and what replicas are sent.

use common::codec::DecodeError;
use common::key::{self, PhysicalKey, Slot};
use common::log_record::{self, LogRecord, LogRecordWriter};
use common::stored::Stored;

use super::wire::written;

/// A stored value.
pub(super) fn stored(bytes: &[u8]) {
    let Ok(stored) = Stored::decode(bytes) else { return };
    let again = written(|out| stored.encode(out));
    assert_eq!(again.len(), stored.encoded_bytes());
    assert_eq!(Stored::decode(&again), Ok(stored));
}

/// A physical key. There is only one way to write it.
pub(super) fn physical_key(bytes: &[u8]) {
    let Ok(key) = PhysicalKey::decode(bytes) else { return };
    let (prefix, suffix) = bytes.split_at(key.prefix_bytes);
    assert_eq!(key::decode_object_prefix(prefix), Ok((key.object, key.position)));
    assert_eq!(key::slot_of_suffix(suffix), Ok(key.slot));
    let again = written(|out| {
        key::put_position_prefix(out, key.object.namespace, key.position);
        let length = u16::try_from(key.object.name.len()).expect("it stood in two bytes");
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(key.object.name);
        match key.slot {
            Slot::Header => out.extend_from_slice(key::HEADER_SUFFIX),
            Slot::Field(field) => key::put_field_suffix(out, field),
        }
    });
    assert_eq!(again, bytes);
}

/// A log record, as a whole and in the parts that can be read alone.
pub(super) fn log_record(bytes: &[u8]) {
    let head = log_record::decode_head(bytes);
    let ends = log_record::decode_ends(bytes);
    let answer = log_record::answer(bytes);
    let Ok(record) = LogRecord::decode(bytes) else { return };
    assert_eq!(head, Ok(record.head));
    assert_eq!(ends, Ok(record.ends.clone()));
    assert_eq!(answer, Ok(record.answer));
    let again = written(|out| encode(&record, out));
    // Nobody writes an expiry of 0 down, but it can be read.
    assert!(again.len() <= bytes.len());
    assert_eq!(LogRecord::decode(&again), Ok::<_, DecodeError>(record));
}

fn encode(record: &LogRecord<'_>, out: &mut Vec<u8>) {
    if let Some(ends) = &record.ends {
        return LogRecord::encode_start(out, &record.head, ends);
    }
    let mut writer = LogRecordWriter::new(out, &record.head);
    record.mutations.iter().for_each(|mutation| writer.mutation(mutation));
    writer.finish(record.answer);
}
