//! The body of a request frame: what every request carries, then the operation.
//!
//! ```text
//! cluster u32 | file epoch u64 | group u16 | server u8 | acks u8 | sync u8 | since-epoch u64
//! | request id u128 | age ms u32 | remaining ms u32 | attempt u8 | operation u8 | its fields
//! object:  namespace u8+bytes | name u16+bytes
//! address: object | named u8 | field u16+bytes if named
//! ```
//!
//! Integers are little-endian; `docs/PROTOCOL.md` has the fields of each operation. Names may be as
//! long as their length fields allow: whoever executes checks them against [`crate::limits`].

use crate::address::{Address, Field, Object};
use crate::codec::{DecodeError, Put, Reader};
use crate::durability::{Acks, Sync};
use crate::hash::POSITION_MAX;
use crate::ids::{ClusterId, Epoch, FileEpoch, Lane, LogicGroup, RequestId, ServerIndex};
use crate::limits::BATCH_ITEMS_MAX;
use crate::op::{Batch, Describe, Get, GetMany, Op, Part, Range, Scan};
use crate::wire::write::{put_condition, put_write, take_condition, take_write};

/// What every request carries besides its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// The sender's cluster.
    pub cluster: ClusterId,
    /// The sender's topology file.
    pub file_epoch: FileEpoch,
    /// The lane of all addresses in the operation.
    pub lane: Lane,
    /// How many servers must hold a write before it is answered.
    pub acks: Acks,
    /// How durable a write must be before it is answered.
    pub sync: Sync,
    /// The since-epoch of the lane's leader as the sender knows it.
    pub since: Epoch,
    /// The client request; the same in every repetition.
    pub request: RequestId,
    /// How long ago the client request arrived, in milliseconds.
    pub age_ms: u32,
    /// How long the client will still wait, in milliseconds.
    pub remaining_ms: u32,
    /// How often this request id was sent before, 255 at most. 0: it is certainly new, so nobody
    /// needs to look for an answer that it already has (I7).
    pub attempt: u8,
}

impl RequestHead {
    /// Appends the head.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(self.cluster.0);
        out.put_u64(self.file_epoch.0);
        out.put_u16(self.lane.group.0);
        out.put_u8(self.lane.server.0);
        out.put_u8(self.acks.as_u8());
        out.put_u8(self.sync.as_u8());
        out.put_u64(self.since.0);
        out.put_u128(self.request.0);
        out.put_u32(self.age_ms);
        out.put_u32(self.remaining_ms);
        out.put_u8(self.attempt);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let cluster = ClusterId(reader.u32("cluster")?);
        let file_epoch = FileEpoch(reader.u64("file epoch")?);
        let group = LogicGroup(reader.u16("group")?);
        let server = ServerIndex(reader.u8("server")?);
        let acks = known(reader.u8("acks")?, "acks", Acks::from_u8)?;
        let sync = known(reader.u8("sync")?, "sync", Sync::from_u8)?;
        Ok(Self {
            cluster,
            file_epoch,
            lane: Lane { group, server },
            acks,
            sync,
            since: Epoch(reader.u64("since-epoch")?),
            request: RequestId(reader.u128("request id")?),
            age_ms: reader.u32("age")?,
            remaining_ms: reader.u32("remaining time")?,
            attempt: reader.u8("attempt")?,
        })
    }
}

fn known<T>(
    number: u8,
    what: &'static str,
    from: impl FnOnce(u8) -> Option<T>,
) -> Result<T, DecodeError> {
    from(number).ok_or(DecodeError::Unknown(what, u64::from(number)))
}

/// Reads a whole request body.
///
/// # Errors
/// The bytes are not a request of this version.
pub fn decode(body: &[u8]) -> Result<(RequestHead, Op<'_>), DecodeError> {
    let mut reader = Reader::new(body);
    let head = RequestHead::take(&mut reader)?;
    let op = take_op(&mut reader)?;
    reader.end()?;
    Ok((head, op))
}

const OP_GET: u8 = 1;
const OP_GET_MANY: u8 = 2;
const OP_WRITE: u8 = 3;
const OP_BATCH: u8 = 4;
const OP_RANGE: u8 = 5;
const OP_DESCRIBE: u8 = 6;
const OP_SCAN: u8 = 7;
const OP_COUNT: u8 = 8;

/// Appends an operation.
pub fn encode_op(out: &mut Vec<u8>, op: &Op<'_>) {
    match op {
        Op::Get(get) => {
            out.put_u8(OP_GET);
            put_address(out, get.at);
            out.put_u32(get.part.offset);
            out.put_u32(get.part.limit);
        }
        Op::GetMany(many) => {
            out.put_u8(OP_GET_MANY);
            out.put_u32(many.bytes_max);
            out.put_len(many.at.len());
            many.at.iter().for_each(|at| put_address(out, *at));
        }
        Op::Write(write) => {
            out.put_u8(OP_WRITE);
            put_write(out, write);
        }
        Op::Batch(batch) => {
            out.put_u8(OP_BATCH);
            out.put_len(batch.conditions.len());
            batch.conditions.iter().for_each(|condition| put_condition(out, condition));
            out.put_len(batch.writes.len());
            batch.writes.iter().for_each(|write| put_write(out, write));
        }
        Op::Range(range) => put_range(out, range),
        Op::Describe(describe) => {
            out.put_u8(OP_DESCRIBE);
            put_object(out, describe.object);
            out.put_bool(describe.count);
        }
        Op::Scan(scan) => {
            out.put_u8(OP_SCAN);
            out.put_bytes8(scan.namespace);
            out.put_u64(scan.from);
            out.put_u32(scan.count_max);
        }
        Op::Count { namespace } => {
            out.put_u8(OP_COUNT);
            out.put_bytes8(namespace);
        }
    }
}

fn take_op<'a>(reader: &mut Reader<'a>) -> Result<Op<'a>, DecodeError> {
    Ok(match reader.u8("operation")? {
        OP_GET => {
            let at = take_address(reader)?;
            let offset = reader.u32("part offset")?;
            Op::Get(Get { at, part: Part { offset, limit: reader.u32("part limit")? } })
        }
        OP_GET_MANY => {
            let bytes_max = reader.u32("bytes max")?;
            let at = reader.list("address count", BATCH_ITEMS_MAX, take_address)?;
            Op::GetMany(GetMany { at, bytes_max })
        }
        OP_WRITE => Op::Write(take_write(reader)?),
        OP_BATCH => {
            let conditions = reader.list("condition count", BATCH_ITEMS_MAX, take_condition)?;
            let writes_max = BATCH_ITEMS_MAX - conditions.len();
            Op::Batch(Batch {
                conditions,
                writes: reader.list("write count", writes_max, take_write)?,
            })
        }
        OP_RANGE => Op::Range(take_range(reader)?),
        OP_DESCRIBE => {
            let object = take_object(reader)?;
            Op::Describe(Describe { object, count: reader.bool("count wanted")? })
        }
        OP_SCAN => {
            let namespace = reader.bytes8("namespace")?;
            let from = take_position(reader)?;
            Op::Scan(Scan { namespace, from, count_max: reader.u32("count max")? })
        }
        OP_COUNT => Op::Count { namespace: reader.bytes8("namespace")? },
        other => return Err(DecodeError::Unknown("operation", u64::from(other))),
    })
}

fn take_position(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let position = reader.u64("position")?;
    if position > POSITION_MAX {
        return Err(DecodeError::OverLimit("position", position, POSITION_MAX));
    }
    Ok(position)
}

fn put_object(out: &mut Vec<u8>, object: Object<'_>) {
    out.put_bytes8(object.namespace);
    out.put_bytes16(object.name);
}

fn take_object<'a>(reader: &mut Reader<'a>) -> Result<Object<'a>, DecodeError> {
    let namespace = reader.bytes8("namespace")?;
    Ok(Object { namespace, name: reader.bytes16("object")? })
}

pub(super) fn put_address(out: &mut Vec<u8>, at: Address<'_>) {
    put_object(out, at.object);
    match at.field {
        Field::Unnamed => out.put_bool(false),
        Field::Named(name) => {
            out.put_bool(true);
            out.put_bytes16(name);
        }
    }
}

pub(super) fn take_address<'a>(reader: &mut Reader<'a>) -> Result<Address<'a>, DecodeError> {
    let object = take_object(reader)?;
    let named = reader.bool("field named")?;
    let field = if named { Field::Named(reader.bytes16("field")?) } else { Field::Unnamed };
    Ok(Address { object, field })
}

fn put_range(out: &mut Vec<u8>, range: &Range<'_>) {
    out.put_u8(OP_RANGE);
    put_object(out, range.object);
    out.put_bool(range.after.is_some());
    if let Some(after) = range.after {
        out.put_bytes16(after);
    }
    out.put_u32(range.count_max);
    out.put_u32(range.bytes_max);
    out.put_bool(range.values);
}

fn take_range<'a>(reader: &mut Reader<'a>) -> Result<Range<'a>, DecodeError> {
    let object = take_object(reader)?;
    let after = if reader.bool("after")? { Some(reader.bytes16("after")?) } else { None };
    let count_max = reader.u32("count max")?;
    let bytes_max = reader.u32("bytes max")?;
    Ok(Range { object, after, count_max, bytes_max, values: reader.bool("values wanted")? })
}
