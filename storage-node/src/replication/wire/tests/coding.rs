//! Encoding and decoding of one value, for the tests beside.

use common::codec::{DecodeError, Reader};

use super::super::{Incoming, RecordsWriter, put_message, put_needs_reseed, put_voters, take};

/// Writes what [`take`] reads.
pub(super) fn put(out: &mut Vec<u8>, incoming: &Incoming<'_>) {
    match incoming {
        Incoming::Message(message) => put_message(out, message),
        Incoming::Records { records, safe_ms, sync, bodies } => {
            let mut writer = RecordsWriter::new(out, records, *safe_ms, *sync);
            bodies.iter().for_each(|body| assert!(writer.body(body)));
            writer.finish();
        }
        Incoming::Voters(voters) => put_voters(out, voters),
        Incoming::NeedsReseed(term) => put_needs_reseed(out, *term),
    }
}

pub(super) fn encode(incoming: &Incoming<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, incoming);
    out
}

/// Reads exactly one value.
pub(super) fn whole<'a, T>(
    bytes: &'a [u8],
    take: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes);
    let value = take(&mut reader)?;
    reader.end()?;
    Ok(value)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Incoming<'_>, DecodeError> {
    whole(bytes, take)
}
