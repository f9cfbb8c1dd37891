//! Frames: a 16-byte header and a body.
//!
//! ```text
//! body length u32 | type u8 | reserved 3 bytes, 0 | id u64 | body
//! ```
//!
//! Integers are little-endian. The id belongs to the sender of the request; the answer repeats it.

use crate::codec::DecodeError;
use crate::limits::FRAME_BYTES_MAX;

/// Length of a frame's header in bytes.
pub const FRAME_HEADER_BYTES: usize = 16;
/// First bytes of a greeting's body.
pub const MAGIC: [u8; 4] = *b"FDHT";
/// Version of the protocol. A node refuses a peer of another version and says so.
pub const PROTOCOL_VERSION: u16 = 1;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameType {
    /// Node to peer, first frame.
    Greeting = 1,
    /// Peer to node, second frame.
    Hello = 2,
    /// Node to peer, third frame.
    HelloAnswer = 3,
    /// An operation.
    Request = 4,
    /// Its answer.
    Response = 5,
    /// The text of a topology file; answered by [`Self::AnnounceAnswer`].
    Announce = 6,
    /// Empty body: taken; else the reason why not.
    AnnounceAnswer = 7,
    /// Between nodes, in both directions: what the replication of storage nodes says.
    Peer = 8,
    /// Asks a node for its view of all groups; empty body, answered by [`Self::Views`].
    AskViews = 9,
    /// Voters and registers as the node knows them.
    Views = 10,
    /// Asks a node for its topology file; empty body, answered by [`Self::Topology`].
    AskTopology = 11,
    /// The text of the topology file.
    Topology = 12,
    /// An operator's command; answered by [`Self::CommandAnswer`].
    Command = 13,
    /// Empty body: done; else the reason why not.
    CommandAnswer = 14,
}

impl FrameType {
    const ALL: [Self; 14] = [
        Self::Greeting,
        Self::Hello,
        Self::HelloAnswer,
        Self::Request,
        Self::Response,
        Self::Announce,
        Self::AnnounceAnswer,
        Self::Peer,
        Self::AskViews,
        Self::Views,
        Self::AskTopology,
        Self::Topology,
        Self::Command,
        Self::CommandAnswer,
    ];

    fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// One frame, borrowed from the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub kind: FrameType,
    /// Which request it belongs to.
    pub id: u64,
    /// The rest.
    pub body: &'a [u8],
}

/// What stands at the front of an input buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A whole frame and its length with header; the next one starts behind it.
    Frame(Frame<'a>, usize),
    /// The frame needs this many bytes in all, more than there are. A length field says so and
    /// nothing else: read on, do not reserve.
    Incomplete(usize),
}

/// Reads the frame at the front of `bytes`.
///
/// # Errors
/// No frame can begin so: unknown type, or a body longer than [`FRAME_BYTES_MAX`]. The connection
/// is of no use any more.
pub fn decode(bytes: &[u8]) -> Result<Decoded<'_>, DecodeError> {
    let Some((header, rest)) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>() else {
        return Ok(Decoded::Incomplete(FRAME_HEADER_BYTES));
    };
    let [l0, l1, l2, l3, kind, r0, r1, r2, id @ ..] = *header;
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX {
        return Err(DecodeError::OverLimit("frame length", length as u64, FRAME_BYTES_MAX as u64));
    }
    let kind =
        FrameType::from_u8(kind).ok_or(DecodeError::Unknown("frame type", u64::from(kind)))?;
    if (r0, r1, r2) != (0, 0, 0) {
        return Err(DecodeError::Unknown("frame reserved bytes", u64::from(r0.max(r1).max(r2))));
    }
    match rest.get(..length) {
        Some(body) => Ok(Decoded::Frame(
            Frame { kind, id: u64::from_le_bytes(id), body },
            FRAME_HEADER_BYTES + length,
        )),
        None => Ok(Decoded::Incomplete(FRAME_HEADER_BYTES + length)),
    }
}

/// Appends a frame whose body `fill` writes.
pub fn encode(out: &mut Vec<u8>, kind: FrameType, id: u64, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, kind as u8, 0, 0, 0]);
    out.extend_from_slice(&id.to_le_bytes());
    fill(out);
    let length = out.len() - start - FRAME_HEADER_BYTES;
    let length = u32::try_from(length).expect("bodies are checked against FRAME_BYTES_MAX");
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}
