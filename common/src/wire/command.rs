//! The body of a command frame: what an operator's tool tells a node to do.
//!
//! ```text
//! command u8: 1 | voter set
//!         or: 2 | voter set | count u32 x register
//!         or: 3 | count u32 x (group u16 | count u8 x member)
//! ```
//!
//! A command can be repeated: what was done already is done.

use crate::codec::{DecodeError, Put, Reader};
use crate::ids::LogicGroup;
use crate::limits::LOGIC_GROUPS_MAX;
use crate::register::{Member, Register, VoterSet};
use crate::wire::register::{put_members, put_voter_set, take_members, take_voter_set};
use crate::wire::views::{put_registers, take_registers};

const VOTERS: u8 = 1;
const ADMIT: u8 = 2;
const CREATE: u8 = 3;

/// What a node is told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// This voter set is in force from now on, if its generation is the greatest known.
    Voters(VoterSet),
    /// The node is a voter of this set and begins with these registers: a blank one never votes
    /// before (guarantees 3).
    Admit(VoterSet, Vec<Register>),
    /// Groups come into being, each by its first compare-and-set. One that exists is left alone.
    Create(Vec<NewGroup>),
}

/// A group that does not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGroup {
    /// Its number.
    pub group: LogicGroup,
    /// Its servers, by server index; at most
    /// [`SERVERS_PER_GROUP_MAX`](crate::limits::SERVERS_PER_GROUP_MAX).
    pub servers: Vec<Member>,
}

impl Command {
    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Voters(set) => {
                out.put_u8(VOTERS);
                put_voter_set(out, set);
            }
            Self::Admit(set, registers) => {
                out.put_u8(ADMIT);
                put_voter_set(out, set);
                put_registers(out, registers);
            }
            Self::Create(groups) => {
                out.put_u8(CREATE);
                out.put_len(groups.len());
                for group in groups {
                    out.put_u16(group.group.0);
                    put_members(out, &group.servers);
                }
            }
        }
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// An unknown command, cut off, a count over its limit, or bytes behind the last field.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let command = match reader.u8("command")? {
            VOTERS => Self::Voters(take_voter_set(&mut reader)?),
            ADMIT => {
                let set = take_voter_set(&mut reader)?;
                Self::Admit(set, take_registers(&mut reader)?)
            }
            CREATE => Self::Create(reader.list(
                "group count",
                usize::from(LOGIC_GROUPS_MAX),
                take_group,
            )?),
            other => return Err(DecodeError::Unknown("command", u64::from(other))),
        };
        reader.end()?;
        Ok(command)
    }
}

fn take_group(reader: &mut Reader<'_>) -> Result<NewGroup, DecodeError> {
    let group = LogicGroup(reader.u16("group")?);
    Ok(NewGroup { group, servers: take_members(reader, "server count")? })
}
