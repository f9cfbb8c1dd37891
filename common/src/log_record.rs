//! The body of one binlog record: what one operation changed, as results. Replicas and recovery
//! evaluate nothing; they apply. The same bytes are the replication format.
//!
//! ```text
//! head:     record kind u8 | group u16 | server u8 | epoch u64 | lsn u64 | hlc u64 | node u32
//!           | request id u128 | open u32
//! write:    head, kind 1 | count u32 | count x mutation | answer length u32 | answer
//! start:    head, kind 2 | count u32 | count x (epoch u64, lsn u64)
//! mutation: key length u16 | physical key | stored length u32 | stored
//! ```
//!
//! A start is the first record of a stream: it changes nothing and says where every older stream of
//! the lane ends (guarantees 2.5).
//!
//! Integers are little-endian. The version of every mutation is (epoch, hlc, node); `stored` is
//! [`crate::stored`]'s encoding. The answer is what the request was answered with
//! ([`crate::wire::reply`]'s encoding), kept for a repetition under the same request id (I7).
//! Length and checksum are the log's framing, not the record's.

use crate::codec::{DecodeError, Put, Reader};
use crate::ids::{Epoch, Lane, LogicGroup, Lsn, NodeId, RequestId, ServerIndex, Stream};
use crate::limits::{BATCH_ITEMS_MAX, STREAM_ENDS_MAX};
use crate::stored::Stored;
use crate::version::{Hlc, Version};

/// Bytes before the count of mutations or ends.
const HEAD_BYTES: usize = 1 + 2 + 1 + 8 + 8 + 8 + 4 + 16 + 4;
/// One operation may write twice per item: the record and the object's header.
const MUTATIONS_MAX: usize = 2 * BATCH_ITEMS_MAX;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Write = 1,
    Start = 2,
}

/// Everything of a record but its mutations, ends and answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogHead {
    /// The stream it belongs to.
    pub stream: Stream,
    /// Its number in the stream.
    pub lsn: Lsn,
    /// Time part of the version.
    pub hlc: Hlc,
    /// Node part of the version.
    pub node: NodeId,
    /// The request that caused it; 0 in a start.
    pub request: RequestId,
    /// How many records right before this one in its stream were not official when this one was
    /// appended, or more. So everything up to `lsn - 1 - open` is official: who reads the log later
    /// knows it without asking.
    pub open: u32,
}

impl LogHead {
    /// The version of everything in the record.
    #[must_use]
    pub fn version(&self) -> Version {
        Version { epoch: self.stream.epoch, hlc: self.hlc, node: self.node }
    }
}

/// One changed key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mutation<'a> {
    /// The physical key.
    pub key: &'a [u8],
    /// Its new content.
    pub stored: Stored<'a>,
}

/// Writes one record behind what `out` already holds.
#[derive(Debug)]
pub struct LogRecordWriter<'o> {
    out: &'o mut Vec<u8>,
    count_at: usize,
    count: u32,
}

fn put_head(out: &mut Vec<u8>, kind: Kind, head: &LogHead) {
    out.put_u8(kind as u8);
    out.put_u16(head.stream.lane.group.0);
    out.put_u8(head.stream.lane.server.0);
    out.put_u64(head.stream.epoch.0);
    out.put_u64(head.lsn.0);
    out.put_u64(head.hlc.0);
    out.put_u32(head.node.0);
    out.put_u128(head.request.0);
    out.put_u32(head.open);
}

impl<'o> LogRecordWriter<'o> {
    /// Starts a record of a write.
    pub fn new(out: &'o mut Vec<u8>, head: &LogHead) -> Self {
        put_head(out, Kind::Write, head);
        let count_at = out.len();
        out.put_u32(0);
        Self { out, count_at, count: 0 }
    }

    /// Appends a changed key.
    pub fn mutation(&mut self, mutation: &Mutation<'_>) {
        self.out.put_bytes16(mutation.key);
        self.out.put_len(mutation.stored.encoded_bytes());
        mutation.stored.encode(self.out);
        self.count += 1;
    }

    /// Ends the record with the answer its request gets.
    pub fn finish(self, answer: &[u8]) {
        let count = self.count.to_le_bytes();
        if let Some(place) = self.out.get_mut(self.count_at..self.count_at + count.len()) {
            place.copy_from_slice(&count);
        }
        self.out.put_bytes32(answer);
    }
}

/// A record as read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord<'a> {
    /// Stream, number, version, request.
    pub head: LogHead,
    /// In a start, which has no mutations and no answer: where each older stream of the lane ends,
    /// as its epoch and its last number that counts.
    pub ends: Option<Vec<(Epoch, Lsn)>>,
    /// The changed keys.
    pub mutations: Vec<Mutation<'a>>,
    /// The request's answer.
    pub answer: &'a [u8],
}

/// Reads only the head: enough to skip a record that is already in the files.
///
/// # Errors
/// The bytes are no record.
pub fn decode_head(bytes: &[u8]) -> Result<LogHead, DecodeError> {
    take_head(&mut Reader::new(bytes)).map(|(_, head)| head)
}

/// Reads only the ends that a start names; `None` for a write, of which nothing behind the head is
/// looked at.
///
/// # Errors
/// The bytes are no record.
pub fn decode_ends(bytes: &[u8]) -> Result<Option<Vec<(Epoch, Lsn)>>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let (kind, _) = take_head(&mut reader)?;
    match kind {
        Kind::Write => Ok(None),
        Kind::Start => take_ends(reader).map(Some),
    }
}

/// Reads only the answer, and passes over the mutations without building them. Empty for a start.
///
/// # Errors
/// The bytes are no record; what is in the mutations is not looked at.
pub fn answer(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    let mut reader = Reader::new(bytes);
    let (kind, _) = take_head(&mut reader)?;
    if kind == Kind::Start {
        return take_ends(reader).map(|_| [].as_slice());
    }
    for _ in 0..reader.count("mutation count", MUTATIONS_MAX)? {
        reader.bytes16("key")?;
        reader.bytes32("stored")?;
    }
    take_answer(reader)
}

fn take_head(reader: &mut Reader<'_>) -> Result<(Kind, LogHead), DecodeError> {
    let kind = match reader.u8("record kind")? {
        1 => Kind::Write,
        2 => Kind::Start,
        other => return Err(DecodeError::Unknown("record kind", u64::from(other))),
    };
    let group = LogicGroup(reader.u16("group")?);
    let server = ServerIndex(reader.u8("server")?);
    let epoch = Epoch(reader.u64("epoch")?);
    let head = LogHead {
        stream: Stream { lane: Lane { group, server }, epoch },
        lsn: Lsn(reader.u64("lsn")?),
        hlc: Hlc(reader.u64("hlc")?),
        node: NodeId(reader.u32("node")?),
        request: RequestId(reader.u128("request id")?),
        open: reader.u32("open records")?,
    };
    Ok((kind, head))
}

fn take_ends(mut reader: Reader<'_>) -> Result<Vec<(Epoch, Lsn)>, DecodeError> {
    let ends = reader.list("end count", STREAM_ENDS_MAX, |reader| {
        Ok((Epoch(reader.u64("end epoch")?), Lsn(reader.u64("end lsn")?)))
    })?;
    reader.end()?;
    Ok(ends)
}

fn take_answer<'a>(mut reader: Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let answer = reader.bytes32("answer")?;
    reader.end()?;
    Ok(answer)
}

impl<'a> LogRecord<'a> {
    /// Appends the start of a stream: where the older streams of its lane end, at most
    /// [`STREAM_ENDS_MAX`] of them.
    pub fn encode_start(out: &mut Vec<u8>, head: &LogHead, ends: &[(Epoch, Lsn)]) {
        put_head(out, Kind::Start, head);
        out.put_len(ends.len());
        for (epoch, lsn) in ends {
            out.put_u64(epoch.0);
            out.put_u64(lsn.0);
        }
    }

    /// Reads a whole record.
    ///
    /// # Errors
    /// The bytes are no record.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let (kind, head) = take_head(&mut reader)?;
        if kind == Kind::Start {
            let ends = Some(take_ends(reader)?);
            return Ok(Self { head, ends, mutations: Vec::new(), answer: &[] });
        }
        let mutations = reader.list("mutation count", MUTATIONS_MAX, |reader| {
            let key = reader.bytes16("key")?;
            Ok(Mutation { key, stored: Stored::decode(reader.bytes32("stored")?)? })
        })?;
        Ok(Self { head, ends: None, mutations, answer: take_answer(reader)? })
    }

    /// Length of a write without mutations and answer, for buffer estimates.
    #[must_use]
    pub fn overhead_bytes() -> usize {
        HEAD_BYTES + 8
    }
}
