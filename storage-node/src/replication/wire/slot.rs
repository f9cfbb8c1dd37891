//! The encoding of a voter's state of one group, for its disk.
//!
//! ```text
//! format u8, 1 | promised: ballot | accepted u8 | ballot and register if accepted
//! | chosen u8 | register if chosen
//! ```
//!
//! Whoever stores it keeps it whole: a length, a checksum and the group's number are not part of it.

use common::codec::{DecodeError, Put, Reader};
use common::wire::register::put_register;

use super::fields::{put_ballot, put_option, take_ballot, take_option, take_value};
use super::register_message::{put_accepted, take_accepted};
use crate::replication::register::voter::Slot;

const FORMAT: u8 = 1;

/// Appends a slot.
pub fn put_slot(out: &mut Vec<u8>, slot: &Slot) {
    out.put_u8(FORMAT);
    put_ballot(out, slot.promised);
    put_option(out, slot.accepted.as_ref(), put_accepted);
    put_option(out, slot.chosen.as_ref(), put_register);
}

/// Reads a slot.
///
/// # Errors
/// The bytes are no slot, or one of a newer format.
pub fn take_slot(reader: &mut Reader<'_>) -> Result<Slot, DecodeError> {
    match reader.u8("slot format")? {
        FORMAT => {}
        other => return Err(DecodeError::Unknown("slot format", u64::from(other))),
    }
    Ok(Slot {
        promised: take_ballot(reader)?,
        accepted: take_option(reader, "accepted", take_accepted)?,
        chosen: take_option(reader, "chosen", take_value)?,
    })
}
