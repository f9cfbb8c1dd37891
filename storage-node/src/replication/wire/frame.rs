//! The body of a peer frame as a whole.

use common::codec::{DecodeError, Put, Reader};

use super::message::take;
use crate::replication::register::VoterGeneration;

/// Appends the sender's voter generation, which stands before all messages of a body.
pub fn put_generation(out: &mut Vec<u8>, generation: VoterGeneration) {
    out.put_u32(generation.0);
}

/// Reads the sender's voter generation: what it says about registers counts only in that one
/// (guarantees 1, the row on one voter).
///
/// # Errors
/// Fewer than four bytes are left.
pub fn take_generation(reader: &mut Reader<'_>) -> Result<VoterGeneration, DecodeError> {
    reader.u32("voter generation").map(VoterGeneration)
}

/// Reads a whole body and forgets it: for fuzzing, which looks for bytes that make this panic or
/// take much memory.
pub fn check_peer_frame(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let mut understood = take_generation(&mut reader).is_ok();
    while understood && !reader.rest().is_empty() {
        understood = take(&mut reader).is_ok();
    }
}
