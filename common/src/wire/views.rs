//! The body of a views frame: who keeps the registers, and the registers as one node knows them.
//!
//! ```text
//! voter set | count u32 x register
//! ```
//!
//! An answer is what the node knows, not what is agreed: whoever asks adopts greater epochs only
//! (guarantees 4.5).

use crate::codec::{DecodeError, Put, Reader};
use crate::limits::LOGIC_GROUPS_MAX;
use crate::register::{Register, VoterSet};
use crate::wire::register::{put_register, put_voter_set, take_register, take_voter_set};

/// What a node knows of the groups' leaders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Views {
    /// The voters.
    pub voters: VoterSet,
    /// The registers the node knows, of at most [`LOGIC_GROUPS_MAX`] groups.
    pub groups: Vec<Register>,
}

impl Views {
    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_voter_set(out, &self.voters);
        put_registers(out, &self.groups);
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// Cut off, a count over its limit, or bytes behind the last register.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let voters = take_voter_set(&mut reader)?;
        let groups = take_registers(&mut reader)?;
        reader.end()?;
        Ok(Self { voters, groups })
    }
}

pub(super) fn put_registers(out: &mut Vec<u8>, registers: &[Register]) {
    out.put_len(registers.len());
    registers.iter().for_each(|register| put_register(out, register));
}

pub(super) fn take_registers(reader: &mut Reader<'_>) -> Result<Vec<Register>, DecodeError> {
    reader.list("register count", usize::from(LOGIC_GROUPS_MAX), take_register)
}
