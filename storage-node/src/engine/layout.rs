//! The tables of a group's file and the bytes in its meta table. `docs/STORAGE.md` describes them;
//! the tests below pin them.

use std::collections::BTreeMap;
use std::fmt;

use common::codec::{DecodeError, Put, Reader};
use common::ids::{ClusterId, Epoch, Lane, LogicGroup, Lsn, NodeId, ServerIndex, StoreId, Stream};
use common::version::Hlc;
use redb::TableDefinition;

/// Keys and values of every table are plain bytes.
pub(super) type Bytes = &'static [u8];
/// Physical key -> stored record behind its checksum ([`crate::engine::sealed`]).
pub(super) const RECORDS: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("records");
/// Expiry in milliseconds, big-endian, and physical key -> nothing: when what is due.
pub(super) const EXPIRY: TableDefinition<'static, Bytes, ()> = TableDefinition::new("expiry");
/// Object prefix -> nothing: objects that may have hidden fields.
pub(super) const GARBAGE: TableDefinition<'static, Bytes, ()> = TableDefinition::new("garbage");
/// Everything about the file itself, behind checksums; the format has none.
pub(super) const META: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("meta");

/// The format this program writes and reads.
pub(super) const FORMAT: u16 = 3;
/// Meta key of the format.
pub(super) const META_FORMAT: &[u8] = b"format";
/// Meta key of the identity.
pub(super) const META_IDENTITY: &[u8] = b"identity";
/// Meta key of the checkpoint.
pub(super) const META_CHECKPOINT: &[u8] = b"checkpoint";
/// Meta key of the number of header records.
pub(super) const META_HEADERS: &[u8] = b"headers";
/// Meta key of the number of named fields that have a value.
pub(super) const META_NAMED: &[u8] = b"named";
/// Meta key of what the entries of records and expiry index take: keys, values and 8 bytes for each.
pub(super) const META_STORED: &[u8] = b"stored";
/// First byte of the meta keys of live object counts; server index and namespace follow.
pub(super) const META_COUNT: u8 = b'#';

/// More streams than this in one checkpoint are damage: a lane has one per leader it ever had
/// whose records are still told apart.
const STREAMS_MAX: usize = 1 << 20;

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreIdentity {
    /// The data directory.
    pub store: StoreId,
    /// The cluster.
    pub cluster: ClusterId,
    /// The server.
    pub node: NodeId,
    /// The logic group.
    pub group: LogicGroup,
}

impl fmt::Display for StoreIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, {}, store {}", self.group, self.node, self.cluster, self.store)
    }
}

impl StoreIdentity {
    /// The meta value: the identity and the number of servers that decides the lanes.
    pub(super) fn encode(&self, servers: u8) -> Vec<u8> {
        let mut out = Vec::with_capacity(27);
        out.put_u128(self.store.0);
        out.put_u32(self.cluster.0);
        out.put_u32(self.node.0);
        out.put_u16(self.group.0);
        out.put_u8(servers);
        out
    }

    /// Reads what [`Self::encode`] wrote.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, u8), DecodeError> {
        let mut reader = Reader::new(bytes);
        let identity = Self {
            store: StoreId(reader.u128("store id")?),
            cluster: ClusterId(reader.u32("cluster")?),
            node: NodeId(reader.u32("node")?),
            group: LogicGroup(reader.u16("group")?),
        };
        let servers = reader.u8("servers")?;
        reader.end()?;
        Ok((identity, servers))
    }
}

/// How far the log is in the file. Data ahead of it is allowed: applying is idempotent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Per stream, the last record that is in the file.
    pub positions: BTreeMap<Stream, Lsn>,
    /// The greatest time of a record in the file.
    pub hlc: Hlc,
    /// The greatest place in the log of a record in the file: the log must be durable behind it. What
    /// is in the file is said by `positions`, since a record of another lane that stands before this
    /// place may be applied later. The engine does not look inside.
    pub log_mark: (u64, u64),
}

impl Checkpoint {
    /// The meta value.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(28 + 19 * self.positions.len());
        out.put_u64(self.hlc.0);
        out.put_u64(self.log_mark.0);
        out.put_u64(self.log_mark.1);
        out.put_len(self.positions.len());
        for (stream, lsn) in &self.positions {
            out.put_u16(stream.lane.group.0);
            out.put_u8(stream.lane.server.0);
            out.put_u64(stream.epoch.0);
            out.put_u64(lsn.0);
        }
        out
    }

    /// Reads what [`Self::encode`] wrote.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let hlc = Hlc(reader.u64("checkpoint time")?);
        let log_mark = (reader.u64("log mark")?, reader.u64("log mark")?);
        let mut positions = BTreeMap::new();
        for _ in 0..reader.count("stream count", STREAMS_MAX)? {
            let lane = Lane {
                group: LogicGroup(reader.u16("group")?),
                server: ServerIndex(reader.u8("server")?),
            };
            let stream = Stream { lane, epoch: Epoch(reader.u64("epoch")?) };
            positions.insert(stream, Lsn(reader.u64("lsn")?));
        }
        reader.end()?;
        Ok(Self { positions, hlc, log_mark })
    }
}

/// The meta key of the live objects of a namespace in a lane.
pub(super) fn count_key(server: ServerIndex, namespace: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(2 + namespace.len());
    key.extend_from_slice(&[META_COUNT, server.0]);
    key.extend_from_slice(namespace);
    key
}

/// A meta value that is one number.
pub(super) fn decode_number(bytes: &[u8]) -> Result<u64, DecodeError> {
    let mut reader = Reader::new(bytes);
    let number = reader.u64("number")?;
    reader.end()?;
    Ok(number)
}

/// The key of an expiry index: ordered by time, then by physical key.
pub(super) fn expiry_key(expire_at: u64, prefix: &[u8], suffix: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(8 + prefix.len() + suffix.len());
    key.extend_from_slice(&expire_at.to_be_bytes());
    key.extend_from_slice(prefix);
    key.extend_from_slice(suffix);
    key
}

/// Takes the key of an expiry index apart: the time and the physical key.
pub(super) fn split_expiry_key(key: &[u8]) -> Result<(u64, &[u8]), DecodeError> {
    let (time, key) =
        key.split_first_chunk::<8>().ok_or(DecodeError::Truncated("expiry index key"))?;
    Ok((u64::from_be_bytes(*time), key))
}

/// Splits a physical key into object prefix and suffix. Cheaper than taking it apart wholly, for
/// keys that were built by this program.
pub(super) fn split_key(key: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let cut = || DecodeError::Truncated("physical key");
    let namespace = usize::from(*key.first().ok_or_else(cut)?);
    let at = 1 + namespace + 6;
    let length = key.get(at..at + 2).and_then(|b| b.first_chunk::<2>()).ok_or_else(cut)?;
    let (prefix, suffix) =
        key.split_at_checked(at + 2 + usize::from(u16::from_be_bytes(*length))).ok_or_else(cut)?;
    if suffix.is_empty() {
        return Err(DecodeError::Truncated("kind"));
    }
    Ok((prefix, suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    fn identity() -> StoreIdentity {
        StoreIdentity {
            store: StoreId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
            cluster: ClusterId(0x11121314),
            node: NodeId(0x21222324),
            group: LogicGroup(0x3132),
        }
    }

    #[test]
    fn meta_values_are_pinned_because_they_are_the_disk_format() {
        let bytes = identity().encode(3);
        assert_eq!(hex(&bytes), "100f0e0d0c0b0a0908070605040302011413121124232221323103");
        assert_eq!(StoreIdentity::decode(&bytes), Ok((identity(), 3)));

        let lane = Lane { group: LogicGroup(0x3132), server: ServerIndex(2) };
        let checkpoint = Checkpoint {
            positions: [(Stream { lane, epoch: Epoch(5) }, Lsn(0x4142))].into(),
            hlc: Hlc(0x0102_0304_0506_0708),
            log_mark: (7, 9),
        };
        let bytes = checkpoint.encode();
        let expected = "0807060504030201\
             07000000000000000900000000000000\
             01000000\
             32310205000000000000004241000000000000";
        assert_eq!(hex(&bytes), expected);
        assert_eq!(Checkpoint::decode(&bytes), Ok(checkpoint));

        assert_eq!(hex(&count_key(ServerIndex(1), b"ns")), "23016e73");
        assert_eq!(hex(&expiry_key(0x0102, b"ab", b"c")), "0000000000000102616263");
    }

    #[test]
    fn cut_meta_values_are_refused() {
        let bytes = identity().encode(1);
        for cut in 0..bytes.len() {
            assert!(StoreIdentity::decode(&bytes[..cut]).is_err());
        }
        assert!(Checkpoint::decode(&[0xff; 30]).is_err());
        assert!(decode_number(&[0; 9]).is_err());
    }

    #[test]
    fn a_physical_key_is_split_behind_its_object() {
        let object = common::address::Object { namespace: b"n", name: b"object" };
        let mut key = Vec::new();
        common::key::put_object_prefix(&mut key, object);
        let prefix = key.len();
        assert!(split_key(&key).is_err(), "no kind");
        key.extend_from_slice(b"\x02field");
        assert_eq!(split_key(&key), Ok((&key[..prefix], b"\x02field".as_slice())));
        for cut in 0..prefix {
            assert!(split_key(&key[..cut]).is_err());
        }
    }
}
