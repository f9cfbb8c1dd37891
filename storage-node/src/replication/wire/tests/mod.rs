//! The encoding pinned by committed bytes, checked by properties, and attacked.

mod golden;
mod golden_cases;
mod lies;
mod properties;
mod strategies;

use common::codec::{DecodeError, Reader};

use super::{Incoming, RecordsWriter, put_message, put_needs_reseed, put_voters, take};

/// Writes what [`take`] reads.
fn put(out: &mut Vec<u8>, incoming: &Incoming<'_>) {
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

fn encode(incoming: &Incoming<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, incoming);
    out
}

/// Reads exactly one value.
fn whole<'a, T>(
    bytes: &'a [u8],
    take: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes);
    let value = take(&mut reader)?;
    reader.end()?;
    Ok(value)
}

fn decode(bytes: &[u8]) -> Result<Incoming<'_>, DecodeError> {
    whole(bytes, take)
}
