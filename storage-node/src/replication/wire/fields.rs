//! The parts that messages are made of.
//!
//! ```text
//! term: group u16 | server u8 | since-epoch u64      position: epoch u64 | lsn u64
//! ballot: round u64 | node u32 | life u64            lane term: server u8 | since-epoch u64
//! ```

use common::codec::{DecodeError, Put, Reader};
use common::ids::{Epoch, Lane, LogicGroup, Lsn, NodeId, ServerIndex};
use common::limits::{LOGIC_GROUPS_MAX, SERVERS_PER_GROUP_MAX};
use common::wire::register::take_register;

use crate::replication::message::Term;
use crate::replication::position::Position;
use crate::replication::register::{Ballot, Register};

/// The greatest epoch, LSN, round or time that is taken. The sum of two of them does not overflow.
pub const NUMBER_MAX: u64 = u64::MAX / 2;
/// Most terms of one renewal or grant: those of all lanes there can be.
pub const TERMS_MAX: usize = LOGIC_GROUPS_MAX as usize * SERVERS_PER_GROUP_MAX as usize;

const POSITION_BYTES: usize = 8 + 8;
const LANE_TERM_BYTES: usize = 1 + 8;

/// A number that the receiver may add to.
pub(super) fn take_number(reader: &mut Reader<'_>, what: &'static str) -> Result<u64, DecodeError> {
    checked(what, reader.u64(what)?)
}

fn checked(what: &'static str, number: u64) -> Result<u64, DecodeError> {
    if number > NUMBER_MAX {
        return Err(DecodeError::OverLimit(what, number, NUMBER_MAX));
    }
    Ok(number)
}

pub(super) fn take_epoch(reader: &mut Reader<'_>) -> Result<Epoch, DecodeError> {
    take_number(reader, "epoch").map(Epoch)
}

pub(super) fn take_lsn(reader: &mut Reader<'_>) -> Result<Lsn, DecodeError> {
    take_number(reader, "lsn").map(Lsn)
}

pub(super) fn take_group(reader: &mut Reader<'_>) -> Result<LogicGroup, DecodeError> {
    reader.u16("group").map(LogicGroup)
}

pub(super) fn put_term(out: &mut Vec<u8>, term: Term) {
    out.put_u16(term.lane.group.0);
    out.put_u8(term.lane.server.0);
    out.put_u64(term.since.0);
}

pub(super) fn take_term(reader: &mut Reader<'_>) -> Result<Term, DecodeError> {
    let group = take_group(reader)?;
    let server = ServerIndex(reader.u8("server")?);
    Ok(Term { lane: Lane { group, server }, since: take_epoch(reader)? })
}

/// The only list that can have more than 65,535 items, and the only one with a count of four bytes.
pub(super) fn put_terms(out: &mut Vec<u8>, terms: &[Term]) {
    out.put_len(terms.len());
    terms.iter().for_each(|term| put_term(out, *term));
}

pub(super) fn take_terms(
    reader: &mut Reader<'_>,
    what: &'static str,
) -> Result<Vec<Term>, DecodeError> {
    reader.list(what, TERMS_MAX, take_term)
}

pub(super) fn put_position(out: &mut Vec<u8>, position: Position) {
    out.put_u64(position.epoch.0);
    out.put_u64(position.lsn.0);
}

pub(super) fn take_position(reader: &mut Reader<'_>) -> Result<Position, DecodeError> {
    Ok(Position { epoch: take_epoch(reader)?, lsn: take_lsn(reader)? })
}

pub(super) fn put_positions(out: &mut Vec<u8>, positions: &[Position]) {
    put_list(out, positions, |out, position| put_position(out, *position));
}

pub(super) fn take_positions(reader: &mut Reader<'_>) -> Result<Vec<Position>, DecodeError> {
    take_list(reader, "position count", POSITION_BYTES, take_position)
}

pub(super) fn put_lane_terms(out: &mut Vec<u8>, terms: &[(ServerIndex, Epoch)]) {
    put_list(out, terms, |out, (server, since)| {
        out.put_u8(server.0);
        out.put_u64(since.0);
    });
}

pub(super) fn take_lane_terms(
    reader: &mut Reader<'_>,
) -> Result<Vec<(ServerIndex, Epoch)>, DecodeError> {
    take_list(reader, "consent count", LANE_TERM_BYTES, |reader| {
        Ok((ServerIndex(reader.u8("server")?), take_epoch(reader)?))
    })
}

pub(super) fn put_ballot(out: &mut Vec<u8>, ballot: Ballot) {
    out.put_u64(ballot.round);
    out.put_u32(ballot.node.0);
    out.put_u64(ballot.life);
}

pub(super) fn take_ballot(reader: &mut Reader<'_>) -> Result<Ballot, DecodeError> {
    Ok(Ballot {
        round: take_number(reader, "round")?,
        node: NodeId(reader.u32("node")?),
        life: reader.u64("life")?,
    })
}

/// A register whose epochs the receiver may raise.
pub(super) fn take_value(reader: &mut Reader<'_>) -> Result<Register, DecodeError> {
    let value = take_register(reader)?;
    checked("epoch", value.epoch.0)?;
    for leader in &value.lanes {
        checked("since-epoch", leader.since.0)?;
    }
    Ok(value)
}

/// Whether something follows, and then that.
pub(super) fn put_option<T>(
    out: &mut Vec<u8>,
    value: Option<T>,
    put: impl FnOnce(&mut Vec<u8>, T),
) {
    out.put_bool(value.is_some());
    if let Some(value) = value {
        put(out, value);
    }
}

pub(super) fn take_option<T>(
    reader: &mut Reader<'_>,
    what: &'static str,
    take: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    Ok(if reader.bool(what)? { Some(take(reader)?) } else { None })
}

/// A two-byte count and so many items. Of a longer list only its end: what somebody holds is sorted
/// by age, and what it does not mention of the oldest is sent to it once more.
pub(super) fn put_list<T>(out: &mut Vec<u8>, items: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    let skipped = items.len().saturating_sub(usize::from(u16::MAX));
    let items = items.get(skipped..).unwrap_or_default();
    out.put_u16(u16::try_from(items.len()).expect("cut to what a u16 counts"));
    items.iter().for_each(|item| put(out, item));
}

/// The counterpart of [`put_list`]; `item_bytes` is what an item takes on the wire at least.
pub(super) fn take_list<T>(
    reader: &mut Reader<'_>,
    what: &'static str,
    item_bytes: usize,
    mut item: impl FnMut(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = usize::from(reader.u16(what)?);
    if count * item_bytes > reader.rest().len() {
        return Err(DecodeError::Truncated(what));
    }
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        items.push(item(reader)?);
    }
    Ok(items)
}
