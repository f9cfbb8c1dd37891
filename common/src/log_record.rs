//! The body of one binlog record: what one operation changed, as results. Replicas and recovery
//! evaluate nothing; they apply. The same bytes are the replication format.
//!
//! ```text
//! record kind u8 (1 = write) | group u16 | server u8 | epoch u64 | lsn u64 | hlc u64 | node u32
//! | request id u128 | count u32 | count x mutation | answer length u32 | answer
//! mutation: key length u16 | physical key | stored length u32 | stored
//! ```
//!
//! Integers are little-endian. The version of every mutation is (epoch, hlc, node); `stored` is
//! [`crate::stored`]'s encoding. The answer is what the request was answered with
//! ([`crate::wire::reply`]'s encoding), kept for a repetition under the same request id (I7).
//! Length and checksum are the log's framing, not the record's.

use crate::codec::{DecodeError, Put, Reader};
use crate::ids::{Epoch, Lane, LogicGroup, Lsn, NodeId, RequestId, ServerIndex, Stream};
use crate::limits::BATCH_ITEMS_MAX;
use crate::stored::Stored;
use crate::version::{Hlc, Version};

const KIND_WRITE: u8 = 1;
/// Bytes before the mutation count.
const HEAD_BYTES: usize = 1 + 2 + 1 + 8 + 8 + 8 + 4 + 16;
/// One operation may write twice per item: the record and the object's header.
const MUTATIONS_MAX: usize = 2 * BATCH_ITEMS_MAX;

/// Everything of a record but its mutations and its answer.
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
    /// The request that caused it.
    pub request: RequestId,
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

impl<'o> LogRecordWriter<'o> {
    /// Starts a record.
    pub fn new(out: &'o mut Vec<u8>, head: &LogHead) -> Self {
        out.put_u8(KIND_WRITE);
        out.put_u16(head.stream.lane.group.0);
        out.put_u8(head.stream.lane.server.0);
        out.put_u64(head.stream.epoch.0);
        out.put_u64(head.lsn.0);
        out.put_u64(head.hlc.0);
        out.put_u32(head.node.0);
        out.put_u128(head.request.0);
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
    take_head(&mut Reader::new(bytes))
}

fn take_head(reader: &mut Reader<'_>) -> Result<LogHead, DecodeError> {
    match reader.u8("record kind")? {
        KIND_WRITE => {}
        other => return Err(DecodeError::Unknown("record kind", u64::from(other))),
    }
    let group = LogicGroup(reader.u16("group")?);
    let server = ServerIndex(reader.u8("server")?);
    let epoch = Epoch(reader.u64("epoch")?);
    Ok(LogHead {
        stream: Stream { lane: Lane { group, server }, epoch },
        lsn: Lsn(reader.u64("lsn")?),
        hlc: Hlc(reader.u64("hlc")?),
        node: NodeId(reader.u32("node")?),
        request: RequestId(reader.u128("request id")?),
    })
}

impl<'a> LogRecord<'a> {
    /// Reads a whole record.
    ///
    /// # Errors
    /// The bytes are no record.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let head = take_head(&mut reader)?;
        let mutations = reader.list("mutation count", MUTATIONS_MAX, |reader| {
            let key = reader.bytes16("key")?;
            Ok(Mutation { key, stored: Stored::decode(reader.bytes32("stored")?)? })
        })?;
        let answer = reader.bytes32("answer")?;
        reader.end()?;
        Ok(Self { head, mutations, answer })
    }

    /// Length of a record without mutations and answer, for buffer estimates.
    #[must_use]
    pub fn overhead_bytes() -> usize {
        HEAD_BYTES + 8
    }
}
