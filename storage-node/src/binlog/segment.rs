//! A segment file: its name, its header and how it comes into being.
//!
//! ```text
//! magic "FDHTBLOG" | format u32 | store id u128 | cluster u32 | node u32 | segment u64 | zeros | crc u32
//! ```
//! The header fills the first 4096 bytes, so that no write of a record ever touches its sectors. All
//! numbers are little endian; the CRC32C in its last four bytes covers all before them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::ids::{ClusterId, NodeId, StoreId};

use super::error::LogError;
use super::fs::{LogFile, LogFs, is_no_space};
use super::position::SEGMENT_INDEX_MAX;

/// Bytes before the first frame.
pub(super) const HEADER_BYTES: u64 = HEADER_LEN as u64;
/// The same as a length in memory.
pub(super) const HEADER_LEN: usize = 4096;
const CRC_AT: usize = HEADER_LEN - 4;
const MAGIC: &[u8; 8] = b"FDHTBLOG";
/// Version of the header, the framing and the control frames.
pub(super) const FORMAT: u32 = 1;
/// Number of a log's first segment, so that the default position stands before every record.
pub(super) const FIRST_INDEX: u64 = 1;
const SUFFIX: &str = ".binlog";
/// Suffix of a segment that is being created. Such a file never holds records.
const NEW_SUFFIX: &str = ".binlog.new";
const INDEX_DIGITS: usize = 16;

/// Whose log it is. Segments of another identity are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogIdentity {
    /// The data directory.
    pub store: StoreId,
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
}

/// An open segment.
pub(super) struct Segment {
    pub(super) index: u64,
    pub(super) file: Arc<dyn LogFile>,
    /// Length of the file, all of it reserved.
    pub(super) bytes: u64,
}

/// What a file name in the log's directory means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FileName {
    Segment(u64),
    /// Left over from a creation that did not finish.
    Unfinished,
    /// Looks like a segment, but is none.
    Malformed,
    Other,
}

/// The file of a segment.
pub(super) fn path(dir: &Path, index: u64) -> PathBuf {
    dir.join(format!("{index:0INDEX_DIGITS$}{SUFFIX}"))
}

/// Reads a file name.
pub(super) fn parse_name(name: &str) -> FileName {
    if name.ends_with(NEW_SUFFIX) {
        return FileName::Unfinished;
    }
    let Some(digits) = name.strip_suffix(SUFFIX) else {
        return FileName::Other;
    };
    let well_formed = digits.len() == INDEX_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    match digits.parse() {
        Ok(index) if well_formed && (FIRST_INDEX..=SEGMENT_INDEX_MAX).contains(&index) => {
            FileName::Segment(index)
        }
        _ => FileName::Malformed,
    }
}

/// Creates a segment that survives a crash as a whole or not at all: written and synced under
/// another name, renamed, and the directory synced.
pub(super) fn create(
    fs: &dyn LogFs,
    dir: &Path,
    identity: &LogIdentity,
    index: u64,
    bytes: u64,
) -> Result<Segment, LogError> {
    assert!(index <= SEGMENT_INDEX_MAX, "segment numbers end at {SEGMENT_INDEX_MAX}");
    let path = path(dir, index);
    let new = path.with_extension("binlog.new");
    let created = create_as(fs, dir, &path, &new, &encode_header(identity, index), bytes);
    match created {
        Ok(file) => Ok(Segment { index, file, bytes }),
        Err(error) => {
            // Only to give the space back; what stays is removed by the next try.
            drop(fs.remove(&new));
            Err(error)
        }
    }
}

fn create_as(
    fs: &dyn LogFs,
    dir: &Path,
    path: &Path,
    new: &Path,
    header: &[u8],
    bytes: u64,
) -> Result<Arc<dyn LogFile>, LogError> {
    let or_full = |action: &'static str| {
        move |source: std::io::Error| {
            if is_no_space(&source) {
                return LogError::Full { path: new.to_owned() };
            }
            LogError::Io { action, path: new.to_owned(), source }
        }
    };
    // A creation that was cut short may have left one; not being there is the usual case.
    drop(fs.remove(new));
    let file = fs.create(new).map_err(or_full("create"))?;
    file.preallocate(bytes).map_err(or_full("reserve space for"))?;
    file.write_all_at(header, 0).map_err(or_full("write"))?;
    file.sync_data().map_err(or_full("sync"))?;
    fs.rename(new, path).map_err(or_full("rename"))?;
    fs.sync_dir(dir).map_err(or_full("sync the directory of"))?;
    Ok(file)
}

fn encode_header(identity: &LogIdentity, index: u64) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[0..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    header[12..28].copy_from_slice(&identity.store.0.to_le_bytes());
    header[28..32].copy_from_slice(&identity.cluster.0.to_le_bytes());
    header[32..36].copy_from_slice(&identity.node.0.to_le_bytes());
    header[36..44].copy_from_slice(&index.to_le_bytes());
    let crc = crc32c::crc32c(&header[..CRC_AT]);
    header[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// What a segment says it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) identity: LogIdentity,
    pub(super) index: u64,
}

/// Checks that `bytes`, the start of the file at `path`, is the header of segment `index` of this
/// log.
pub(super) fn check_header(
    bytes: &[u8],
    path: &Path,
    identity: &LogIdentity,
    index: u64,
) -> Result<(), LogError> {
    check_identity(&read_header(bytes, path)?, path, identity, index)
}

/// Reads the header at the start of `bytes`, those of the file at `path`, whosever it is.
pub(super) fn read_header(bytes: &[u8], path: &Path) -> Result<Header, LogError> {
    let damaged = |offset: u64, what: &str| LogError::Damaged {
        path: path.to_owned(),
        offset,
        what: what.to_owned(),
    };
    let Some(header) = bytes.get(..HEADER_LEN) else {
        return Err(damaged(bytes.len() as u64, "it ends inside the segment header"));
    };
    if &header[0..8] != MAGIC {
        return Err(damaged(0, "it does not begin like a log segment"));
    }
    let found = u32_at(header, 8);
    if found != FORMAT {
        // Before the checksum: another format may keep its checksum elsewhere.
        return Err(LogError::UnknownFormat { path: path.to_owned(), found, known: FORMAT });
    }
    if crc32c::crc32c(&header[..CRC_AT]) != u32_at(header, CRC_AT) {
        return Err(damaged(0, "the checksum of the segment header is wrong"));
    }
    let store = u128::from_le_bytes(header[12..28].try_into().expect("a slice of 16 bytes"));
    let index = u64::from_le_bytes(header[36..44].try_into().expect("a slice of 8 bytes"));
    let identity = LogIdentity {
        store: StoreId(store),
        cluster: ClusterId(u32_at(header, 28)),
        node: NodeId(u32_at(header, 32)),
    };
    Ok(Header { identity, index })
}

/// Checks that the segment at `path` is segment `index` of the log with this identity.
pub(super) fn check_identity(
    header: &Header,
    path: &Path,
    identity: &LogIdentity,
    index: u64,
) -> Result<(), LogError> {
    let foreign = |what, expected: String, found: String| {
        if expected == found {
            return Ok(());
        }
        Err(LogError::Foreign { path: path.to_owned(), what, expected, found })
    };
    let found = &header.identity;
    foreign("cluster", identity.cluster.to_string(), found.cluster.to_string())?;
    foreign("node", identity.node.to_string(), found.node.to_string())?;
    foreign("store", identity.store.to_string(), found.store.to_string())?;
    foreign("segment", index.to_string(), header.index.to_string())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a slice of four bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: LogIdentity =
        LogIdentity { store: StoreId(7), cluster: ClusterId(8), node: NodeId(9) };

    #[test]
    fn names_round_trip_and_others_are_told_apart() {
        let path = path(Path::new("log"), 42);
        assert_eq!(path, Path::new("log/0000000000000042.binlog"));
        assert_eq!(parse_name("0000000000000042.binlog"), FileName::Segment(42));
        assert_eq!(parse_name("0000000000000042.binlog.new"), FileName::Unfinished);
        for name in ["42.binlog", "copy of 1.binlog", "+000000000000001.binlog", ".binlog"] {
            assert_eq!(parse_name(name), FileName::Malformed, "{name}");
        }
        assert_eq!(parse_name("0000000000000000.binlog"), FileName::Malformed);
        assert_eq!(parse_name("9999999999999999.binlog"), FileName::Malformed);
        assert_eq!(parse_name("notes.txt"), FileName::Other);
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_refused() {
        let header = encode_header(&IDENTITY, 3);
        let path = Path::new("x");
        check_header(&header, path, &IDENTITY, 3).unwrap();
        for bit in 0..HEADER_LEN * 8 {
            let mut flipped = header;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(check_header(&flipped, path, &IDENTITY, 3).is_err(), "bit {bit}");
        }
        assert!(check_header(&header[..100], path, &IDENTITY, 3).is_err());
    }

    #[test]
    fn a_header_of_something_else_says_what_differs() {
        let header = encode_header(&IDENTITY, 3);
        let text = |identity: LogIdentity, index| {
            check_header(&header, Path::new("dir/f"), &identity, index).unwrap_err().to_string()
        };
        let other = |identity: LogIdentity| text(identity, 3);
        assert!(
            other(LogIdentity { node: NodeId(1), ..IDENTITY })
                .contains("dir/f belongs to node node#9, expected node#1")
        );
        assert!(other(LogIdentity { cluster: ClusterId(1), ..IDENTITY }).contains("cluster#8"));
        assert!(other(LogIdentity { store: StoreId(1), ..IDENTITY }).contains("store"));
        assert!(text(IDENTITY, 4).contains("segment 3, expected 4"));
    }
}
