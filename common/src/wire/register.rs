//! How a register and a voter set travel; also what voters keep of them on their disks.
//!
//! ```text
//! register:  group u16 | generation u32 | epoch u64 | count u8 x member (servers)
//!            | count u8 x node u32 (in step) | count u8 x (node u32, since-epoch u64) (lanes)
//!            | leaving u8 | node u32 if so | moving u8 | id u64, count u8 x member (target) if so
//! member:    node u32 | store id u128
//! voter set: generation u32 | count u8 x node u32
//! ```

use crate::codec::{DecodeError, Put, Reader};
use crate::ids::{Epoch, LogicGroup, NodeId, StoreId, VoterGeneration};
use crate::limits::{SERVERS_PER_GROUP_MAX, VOTERS_MAX};
use crate::register::{LaneLeader, Member, MovePlan, Register, VoterSet};

/// Appends a register. Its lists have at most [`SERVERS_PER_GROUP_MAX`] items each.
pub fn put_register(out: &mut Vec<u8>, register: &Register) {
    out.put_u16(register.group.0);
    out.put_u32(register.generation.0);
    out.put_u64(register.epoch.0);
    put_members(out, &register.servers);
    put_nodes(out, &register.in_step);
    out.put_len8(register.lanes.len());
    for leader in &register.lanes {
        out.put_u32(leader.node.0);
        out.put_u64(leader.since.0);
    }
    out.put_bool(register.leaving.is_some());
    if let Some(leaving) = register.leaving {
        out.put_u32(leaving.0);
    }
    out.put_bool(register.moving.is_some());
    if let Some(plan) = &register.moving {
        out.put_u64(plan.id);
        put_members(out, &plan.target);
    }
}

/// Takes a register off the front.
///
/// # Errors
/// Cut off, or a list over its limit.
pub fn take_register(reader: &mut Reader<'_>) -> Result<Register, DecodeError> {
    Ok(Register {
        group: LogicGroup(reader.u16("group")?),
        generation: VoterGeneration(reader.u32("voter generation")?),
        epoch: Epoch(reader.u64("epoch")?),
        servers: take_members(reader, "server count")?,
        in_step: take_nodes(reader, "in step count", SERVERS_PER_GROUP_MAX)?,
        lanes: reader.list8("lane count", SERVERS_PER_GROUP_MAX, |reader| {
            let node = NodeId(reader.u32("leader")?);
            Ok(LaneLeader { node, since: Epoch(reader.u64("since-epoch")?) })
        })?,
        leaving: if reader.bool("leaving")? { Some(NodeId(reader.u32("leaving")?)) } else { None },
        moving: if reader.bool("moving")? { Some(take_move(reader)?) } else { None },
    })
}

fn take_move(reader: &mut Reader<'_>) -> Result<MovePlan, DecodeError> {
    let id = reader.u64("move id")?;
    Ok(MovePlan { id, target: take_members(reader, "target count")? })
}

/// Appends a voter set of at most [`VOTERS_MAX`] voters.
pub fn put_voter_set(out: &mut Vec<u8>, set: &VoterSet) {
    out.put_u32(set.generation.0);
    put_nodes(out, &set.voters);
}

/// Takes a voter set off the front.
///
/// # Errors
/// Cut off, or more than [`VOTERS_MAX`] voters.
pub fn take_voter_set(reader: &mut Reader<'_>) -> Result<VoterSet, DecodeError> {
    let generation = VoterGeneration(reader.u32("voter generation")?);
    Ok(VoterSet { generation, voters: take_nodes(reader, "voter count", VOTERS_MAX)? })
}

pub(super) fn put_members(out: &mut Vec<u8>, members: &[Member]) {
    out.put_len8(members.len());
    for member in members {
        out.put_u32(member.node.0);
        out.put_u128(member.store.0);
    }
}

pub(super) fn take_members(
    reader: &mut Reader<'_>,
    what: &'static str,
) -> Result<Vec<Member>, DecodeError> {
    reader.list8(what, SERVERS_PER_GROUP_MAX, |reader| {
        let node = NodeId(reader.u32("node")?);
        Ok(Member { node, store: StoreId(reader.u128("store id")?) })
    })
}

fn put_nodes(out: &mut Vec<u8>, nodes: &[NodeId]) {
    out.put_len8(nodes.len());
    nodes.iter().for_each(|node| out.put_u32(node.0));
}

fn take_nodes(
    reader: &mut Reader<'_>,
    what: &'static str,
    max: u8,
) -> Result<Vec<NodeId>, DecodeError> {
    reader.list8(what, max, |reader| Ok(NodeId(reader.u32("node")?)))
}
