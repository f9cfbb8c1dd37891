//! The body of a views frame: who keeps the registers, and the registers as one node knows them.
//!
//! ```text
//! views: voter set | count u32 x known
//! known: register | accepted u8 | round u64, node u32, life u64 (the ballot) if so | chosen u8
//! ```
//!
//! An answer is what the node knows, not what is agreed: whoever asks adopts greater epochs of chosen
//! registers only (guarantees 4.5). Only a tool is told of registers that are not known to be chosen,
//! so of up to two for each group: [`agreed`](crate::agreed::agreed) makes one of all answers.

use crate::agreed::KnownRegister;
use crate::codec::{DecodeError, Put, Reader};
use crate::ids::NodeId;
use crate::limits::LOGIC_GROUPS_MAX;
use crate::register::{Ballot, Register, VoterSet};
use crate::wire::register::{put_register, put_voter_set, take_register, take_voter_set};

/// Of each group what is chosen, and what may be.
const KNOWN_MAX: usize = 2 * LOGIC_GROUPS_MAX as usize;

/// What a node knows of the groups' leaders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Views {
    /// The voters.
    pub voters: VoterSet,
    /// The registers the node knows, at most two of each of [`LOGIC_GROUPS_MAX`] groups.
    pub groups: Vec<KnownRegister>,
}

impl Views {
    /// The registers that are known to be chosen.
    pub fn chosen(&self) -> impl Iterator<Item = &Register> {
        self.groups.iter().filter(|known| known.chosen).map(|known| &known.register)
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_voter_set(out, &self.voters);
        out.put_len(self.groups.len());
        self.groups.iter().for_each(|known| put_known(out, known));
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// Cut off, a count over its limit, or bytes behind the last register.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let voters = take_voter_set(&mut reader)?;
        let groups = reader.list("register count", KNOWN_MAX, take_known)?;
        reader.end()?;
        Ok(Self { voters, groups })
    }
}

fn put_known(out: &mut Vec<u8>, known: &KnownRegister) {
    put_register(out, &known.register);
    out.put_bool(known.accepted.is_some());
    if let Some(ballot) = known.accepted {
        out.put_u64(ballot.round);
        out.put_u32(ballot.node.0);
        out.put_u64(ballot.life);
    }
    out.put_bool(known.chosen);
}

fn take_known(reader: &mut Reader<'_>) -> Result<KnownRegister, DecodeError> {
    Ok(KnownRegister {
        register: take_register(reader)?,
        accepted: if reader.bool("accepted")? { Some(take_ballot(reader)?) } else { None },
        chosen: reader.bool("chosen")?,
    })
}

fn take_ballot(reader: &mut Reader<'_>) -> Result<Ballot, DecodeError> {
    let round = reader.u64("ballot round")?;
    let node = NodeId(reader.u32("ballot node")?);
    Ok(Ballot { round, node, life: reader.u64("ballot life")? })
}

pub(super) fn put_registers(out: &mut Vec<u8>, registers: &[Register]) {
    out.put_len(registers.len());
    registers.iter().for_each(|register| put_register(out, register));
}

pub(super) fn take_registers(reader: &mut Reader<'_>) -> Result<Vec<Register>, DecodeError> {
    reader.list("register count", usize::from(LOGIC_GROUPS_MAX), take_register)
}
