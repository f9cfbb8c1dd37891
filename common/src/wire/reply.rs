//! The encoding of replies: inside response frames, and of a write's reply inside its log record.
//!
//! ```text
//! reply kind u8 | its fields
//! ```
//!
//! Integers are little-endian; `docs/PROTOCOL.md` has the fields of each reply. Lists come last.

use crate::codec::{DecodeError, Put, Reader};
use crate::limits::BATCH_ITEMS_MAX;
use crate::reply::{
    BatchReply, Described, Existed, Found, Lookup, ObjectKind, RangeField, RangeReply, Reply,
    ScanObject, ScanReply, Written,
};

const LOOKUP: u8 = 1;
const LOOKUPS: u8 = 2;
const WRITTEN: u8 = 3;
const BATCH: u8 = 4;
const RANGE: u8 = 5;
const DESCRIBED: u8 = 6;
const SCAN: u8 = 7;
const COUNT: u8 = 8;

/// Appends a reply.
pub fn encode(out: &mut Vec<u8>, reply: &Reply<'_>) {
    match reply {
        Reply::Lookup(lookup) => {
            out.put_u8(LOOKUP);
            put_lookup(out, lookup);
        }
        Reply::Lookups(lookups) => {
            out.put_u8(LOOKUPS);
            out.put_len(lookups.len());
            lookups.iter().for_each(|lookup| put_lookup(out, lookup));
        }
        Reply::Written(written) => {
            out.put_u8(WRITTEN);
            put_written(out, written);
        }
        Reply::Batch(batch) => {
            out.put_u8(BATCH);
            out.put_bool(batch.refused.is_some());
            out.put_u32(batch.refused.unwrap_or(0));
            out.put_len(batch.written.len());
            batch.written.iter().for_each(|written| put_written(out, written));
        }
        Reply::Range(range) => {
            out.put_u8(RANGE);
            put_kind(out, range.kind);
            out.put_u64(range.expire_at);
            out.put_bool(range.more);
            out.put_len(range.fields.len());
            for field in &range.fields {
                out.put_bytes16(field.name);
                put_found(out, &field.found);
            }
        }
        Reply::Described(described) => {
            out.put_u8(DESCRIBED);
            put_kind(out, described.kind);
            out.put_u64(described.expire_at);
            out.put_version(described.version);
            out.put_u64(described.size);
        }
        Reply::Scan(scan) => {
            out.put_u8(SCAN);
            out.put_bool(scan.next.is_some());
            out.put_u64(scan.next.unwrap_or(0));
            out.put_len(scan.objects.len());
            for object in &scan.objects {
                out.put_u64(object.position);
                out.put_bytes16(object.name);
                put_kind(out, object.kind);
            }
        }
        Reply::Count(count) => {
            out.put_u8(COUNT);
            out.put_u64(*count);
        }
    }
}

/// Reads a whole reply.
///
/// # Errors
/// The bytes are no reply of this version.
pub fn decode(bytes: &[u8]) -> Result<Reply<'_>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let reply = take(&mut reader)?;
    reader.end()?;
    Ok(reply)
}

fn take<'a>(reader: &mut Reader<'a>) -> Result<Reply<'a>, DecodeError> {
    Ok(match reader.u8("reply kind")? {
        LOOKUP => Reply::Lookup(take_lookup(reader)?),
        LOOKUPS => Reply::Lookups(reader.list("lookup count", BATCH_ITEMS_MAX, take_lookup)?),
        WRITTEN => Reply::Written(take_written(reader)?),
        BATCH => {
            let refused = reader.bool("refused")?;
            let index = reader.u32("refused condition")?;
            let written = reader.list("written count", BATCH_ITEMS_MAX, take_written)?;
            Reply::Batch(BatchReply { refused: refused.then_some(index), written })
        }
        RANGE => {
            let kind = take_kind(reader)?;
            let expire_at = reader.u64("object expiry")?;
            let more = reader.bool("more")?;
            let fields = reader.list("field count", BATCH_ITEMS_MAX, |reader| {
                let name = reader.bytes16("field")?;
                Ok(RangeField { name, found: take_found(reader)? })
            })?;
            Reply::Range(RangeReply { kind, expire_at, fields, more })
        }
        DESCRIBED => {
            let kind = take_kind(reader)?;
            let expire_at = reader.u64("object expiry")?;
            let version = reader.version()?;
            Reply::Described(Described { kind, expire_at, version, size: reader.u64("size")? })
        }
        SCAN => {
            let more = reader.bool("more")?;
            let next = reader.u64("next position")?;
            let objects = reader.list("object count", BATCH_ITEMS_MAX, |reader| {
                let position = reader.u64("position")?;
                let name = reader.bytes16("object")?;
                Ok(ScanObject { position, name, kind: take_kind(reader)? })
            })?;
            Reply::Scan(ScanReply { objects, next: more.then_some(next) })
        }
        COUNT => Reply::Count(reader.u64("count")?),
        other => return Err(DecodeError::Unknown("reply kind", u64::from(other))),
    })
}

fn put_lookup(out: &mut Vec<u8>, lookup: &Lookup<'_>) {
    match lookup {
        Lookup::Missing => out.put_u8(0),
        Lookup::Found(found) => {
            out.put_u8(1);
            put_found(out, found);
        }
        Lookup::WrongKind => out.put_u8(2),
    }
}

fn take_lookup<'a>(reader: &mut Reader<'a>) -> Result<Lookup<'a>, DecodeError> {
    match reader.u8("lookup")? {
        0 => Ok(Lookup::Missing),
        1 => Ok(Lookup::Found(take_found(reader)?)),
        2 => Ok(Lookup::WrongKind),
        other => Err(DecodeError::Unknown("lookup", u64::from(other))),
    }
}

fn put_found(out: &mut Vec<u8>, found: &Found<'_>) {
    out.put_version(found.version);
    out.put_u64(found.expire_at);
    out.put_u32(found.total);
    out.put_bytes32(found.value);
}

fn take_found<'a>(reader: &mut Reader<'a>) -> Result<Found<'a>, DecodeError> {
    let version = reader.version()?;
    let expire_at = reader.u64("expiry")?;
    let total = reader.u32("value length")?;
    Ok(Found { version, expire_at, total, value: reader.bytes32("value")? })
}

fn put_written(out: &mut Vec<u8>, written: &Written<'_>) {
    out.put_bool(written.applied);
    out.put_u8(match written.existed {
        Existed::No => 0,
        Existed::Yes => 1,
        Existed::Unknown => 2,
    });
    out.put_version(written.version);
    out.put_u64(written.expire_at);
    out.put_u32(written.total);
    out.put_bool(written.value.is_some());
    if let Some(value) = written.value {
        out.put_bytes32(value);
    }
}

fn take_written<'a>(reader: &mut Reader<'a>) -> Result<Written<'a>, DecodeError> {
    let applied = reader.bool("applied")?;
    let existed = match reader.u8("existed")? {
        0 => Existed::No,
        1 => Existed::Yes,
        2 => Existed::Unknown,
        other => return Err(DecodeError::Unknown("existed", u64::from(other))),
    };
    let version = reader.version()?;
    let expire_at = reader.u64("expiry")?;
    let total = reader.u32("value length")?;
    let value = if reader.bool("value given")? { Some(reader.bytes32("value")?) } else { None };
    Ok(Written { applied, existed, version, expire_at, total, value })
}

fn put_kind(out: &mut Vec<u8>, kind: ObjectKind) {
    out.put_u8(match kind {
        ObjectKind::Missing => 0,
        ObjectKind::String => 1,
        ObjectKind::Hash => 2,
    });
}

fn take_kind(reader: &mut Reader<'_>) -> Result<ObjectKind, DecodeError> {
    match reader.u8("object kind")? {
        0 => Ok(ObjectKind::Missing),
        1 => Ok(ObjectKind::String),
        2 => Ok(ObjectKind::Hash),
        other => Err(DecodeError::Unknown("object kind", u64::from(other))),
    }
}
