//! The tables of the control file and the bytes of its values. `docs/STORAGE.md` describes them;
//! the tests below pin them.

use std::fmt;

use common::codec::{DecodeError, Put, Reader};
use common::ids::{ClusterId, Lane, LogicGroup, NodeId, ServerIndex, StoreId, VoterGeneration};
use common::register::VoterSet;
use common::wire::register::{put_voter_set, take_voter_set};
use redb::TableDefinition;

use crate::replication::register::voter::Slot;
use crate::replication::wire::{put_slot, take_slot};

/// A lane as a key: logic group, server index.
pub(super) type LaneKey = (u16, u8);
/// Everything that there is one of.
pub(super) const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
/// Logic group -> the voter's slot.
pub(super) const REGISTERS: TableDefinition<'static, u16, &[u8]> =
    TableDefinition::new("registers");
/// Lane -> promised epoch.
pub(super) const PROMISES: TableDefinition<'static, LaneKey, u64> =
    TableDefinition::new("promises");
/// Lane -> nothing: lanes that may have forgotten records.
pub(super) const FORGOT: TableDefinition<'static, LaneKey, ()> = TableDefinition::new("forgot");

/// The format this program writes and reads.
pub(super) const FORMAT: u16 = 1;
/// Meta key of the format.
pub(super) const META_FORMAT: &str = "format";
/// Meta key of the identity.
pub(super) const META_IDENTITY: &str = "identity";
/// Meta key of the number of process starts.
pub(super) const META_LIFE: &str = "life";
/// Meta key of the voter set in force; absent as long as none is known.
pub(super) const META_VOTERS: &str = "voters";
/// Meta key of the generation the node was admitted to; absent for a blank voter.
pub(super) const META_ADMITTED: &str = "admitted";
/// Meta key of the boot of the last process start, as text.
pub(super) const META_BOOT: &str = "boot";
/// Meta key of whether the last process stopped cleanly.
pub(super) const META_CLEAN: &str = "clean";

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeIdentity {
    /// The data directory.
    pub store: StoreId,
    /// The cluster.
    pub cluster: ClusterId,
    /// The server.
    pub node: NodeId,
}

impl fmt::Display for NodeIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, store {}", self.node, self.cluster, self.store)
    }
}

impl NodeIdentity {
    /// The meta value.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24);
        out.put_u128(self.store.0);
        out.put_u32(self.cluster.0);
        out.put_u32(self.node.0);
        out
    }

    /// Reads what [`Self::encode`] wrote.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        whole(bytes, |reader| {
            Ok(Self {
                store: StoreId(reader.u128("store id")?),
                cluster: ClusterId(reader.u32("cluster")?),
                node: NodeId(reader.u32("node")?),
            })
        })
    }
}

pub(super) fn lane_key(lane: Lane) -> LaneKey {
    (lane.group.0, lane.server.0)
}

pub(super) fn lane((group, server): LaneKey) -> Lane {
    Lane { group: LogicGroup(group), server: ServerIndex(server) }
}

pub(super) fn encode_slot(slot: &Slot) -> Vec<u8> {
    let mut out = Vec::new();
    put_slot(&mut out, slot);
    out
}

pub(super) fn decode_slot(bytes: &[u8]) -> Result<Slot, DecodeError> {
    whole(bytes, take_slot)
}

pub(super) fn encode_voters(set: &VoterSet) -> Vec<u8> {
    let mut out = Vec::new();
    put_voter_set(&mut out, set);
    out
}

pub(super) fn decode_voters(bytes: &[u8]) -> Result<VoterSet, DecodeError> {
    whole(bytes, take_voter_set)
}

pub(super) fn decode_format(bytes: &[u8]) -> Result<u16, DecodeError> {
    whole(bytes, |reader| reader.u16("format"))
}

pub(super) fn decode_life(bytes: &[u8]) -> Result<u64, DecodeError> {
    whole(bytes, |reader| reader.u64("life"))
}

pub(super) fn decode_generation(bytes: &[u8]) -> Result<VoterGeneration, DecodeError> {
    whole(bytes, |reader| reader.u32("voter generation").map(VoterGeneration))
}

pub(super) fn decode_boot(bytes: &[u8]) -> Result<String, DecodeError> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| DecodeError::NotText("boot"))
}

pub(super) fn decode_clean(bytes: &[u8]) -> Result<bool, DecodeError> {
    whole(bytes, |reader| reader.bool("clean"))
}

/// Reads a value of which nothing may be left.
fn whole<'b, T>(
    bytes: &'b [u8],
    read: impl FnOnce(&mut Reader<'b>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes);
    let value = read(&mut reader)?;
    reader.end()?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replication::register::Ballot;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn values_are_pinned_because_they_are_the_disk_format() {
        let identity = NodeIdentity {
            store: StoreId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
            cluster: ClusterId(0x1112_1314),
            node: NodeId(0x2122_2324),
        };
        let bytes = identity.encode();
        assert_eq!(hex(&bytes), "100f0e0d0c0b0a0908070605040302011413121124232221");
        assert_eq!(NodeIdentity::decode(&bytes), Ok(identity));
        for cut in 0..bytes.len() {
            assert!(NodeIdentity::decode(&bytes[..cut]).is_err());
        }

        let set = VoterSet { generation: VoterGeneration(3), voters: vec![NodeId(0x0102)] };
        let bytes = encode_voters(&set);
        assert_eq!(hex(&bytes), "030000000102010000");
        assert_eq!(decode_voters(&bytes), Ok(set));

        let promised = Ballot { round: 2, node: NodeId(3), life: 4 };
        let slot = Slot { promised, ..Slot::default() };
        let bytes = encode_slot(&slot);
        assert_eq!(hex(&bytes), "0102000000000000000300000004000000000000000000");
        assert_eq!(decode_slot(&bytes), Ok(slot));
        assert!(decode_slot(&[&bytes[..], b"x"].concat()).is_err(), "nothing may follow");
    }

    #[test]
    fn a_lane_is_its_key() {
        let of = Lane { group: LogicGroup(7), server: ServerIndex(2) };
        assert_eq!(lane(lane_key(of)), of);
        assert!(lane_key(of) < (7, 3) && lane_key(of) < (8, 0));
    }
}
