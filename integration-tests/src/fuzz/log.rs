//! Recovery of the log from segments that somebody wrote or changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use common::ids::{ClusterId, NodeId, StoreId};
use storage_node::binlog::{
    Batch, Log, LogError, LogFs, LogIdentity, LogOptions, LogPosition, MemFs, SEGMENT_BYTES_MIN,
    WhenAbsent,
};

const IDENTITY: LogIdentity =
    LogIdentity { store: StoreId(7), cluster: ClusterId(8), node: NodeId(9) };
/// Small segments, and no sync that nobody asked for.
const OPTIONS: LogOptions = LogOptions {
    segment_bytes: SEGMENT_BYTES_MIN,
    sync_interval: Duration::from_secs(3600),
    when_absent: WhenAbsent::Create,
};
const HEADER_BYTES: usize = 4096;
const SECTOR_BYTES: usize = 512;
/// Records of the log that is edited. Some fill most of a segment.
const RECORDS: usize = 12;
/// Longest segment that is tried, in bytes.
const SEGMENT_BYTES_MAX: usize = 64 << 10;

type Files = BTreeMap<PathBuf, Vec<u8>>;
type Records = Vec<(LogPosition, Vec<u8>)>;

fn dir() -> &'static Path {
    Path::new("/log")
}

fn segment_path(index: usize) -> PathBuf {
    dir().join(format!("{index:016}.binlog"))
}

fn open(fs: &MemFs) -> Result<(Log, Records), LogError> {
    let mut records = Records::new();
    let mut visit = |at: LogPosition, body: &[u8]| {
        records.push((at, body.to_vec()));
        Ok(())
    };
    let fs: Arc<dyn LogFs> = Arc::new(fs.clone());
    let (log, report) = Log::open(fs, dir(), IDENTITY, OPTIONS, &mut visit)?;
    assert_eq!(report.records, records.len() as u64);
    assert_eq!((log.appended(), log.durable()), (report.end, report.end));
    Ok((log, records))
}

fn append(log: &Log, body: &[u8]) -> LogPosition {
    let mut batch = Batch::new();
    batch.push(|out| out.extend_from_slice(body)).expect("a short record");
    log.append(&mut batch).expect("the disk in memory takes everything").first
}

fn disk(files: &Files) -> MemFs {
    let fs = MemFs::new();
    fs.create_dir(dir()).expect("the disk in memory takes everything");
    files.iter().for_each(|(path, bytes)| fs.put_bytes(path, bytes.clone()));
    fs
}

/// A log of several segments and what is in it.
fn valid() -> &'static (Files, Records) {
    static VALID: OnceLock<(Files, Records)> = OnceLock::new();
    VALID.get_or_init(|| {
        let fs = disk(&Files::new());
        let (log, _) = open(&fs).expect("a new log");
        for number in 0..RECORDS {
            let body = format!("record {number} ").repeat(1 + number % 5 * 60);
            append(&log, body.as_bytes());
        }
        // Syncs what is left.
        drop(log);
        let (log, records) = open(&fs).expect("what was written just now");
        assert_eq!(records.len(), RECORDS);
        drop(log);
        let names = fs.list(dir()).expect("the directory was made");
        let paths = names.into_iter().map(|name| dir().join(name));
        let files: Files = paths.map(|path| (path.clone(), fs.bytes(&path))).collect();
        assert!(files.len() > 2, "the log has one segment only");
        (files, records)
    })
}

/// The first segment of that log, without the zeros at its end: a seed for [`segment`].
pub(super) fn first_segment() -> Vec<u8> {
    let bytes = &valid().0[&segment_path(1)];
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes[..end].to_vec()
}

/// What holds for every log that opens: it opens again with the same records, its reader finds
/// them, and it goes on behind them.
fn goes_on(files: &Files) -> Option<Records> {
    let fs = disk(files);
    let (log, mut records) = open(&fs).ok()?;
    let mut reader = log.reader(log.first());
    for (at, body) in &records {
        let found = reader.next_record().expect("it was read at start");
        assert_eq!(found, Some((*at, body.as_slice())));
    }
    assert_eq!(reader.next_record().expect("it was read at start"), None);
    let recovered = records.clone();
    records.push((append(&log, b"one more"), b"one more".to_vec()));
    drop(log);
    let (_, again) = open(&fs).expect("it opened before and was closed well");
    assert_eq!(again, records);
    Some(recovered)
}

/// Any bytes as the first segment; and behind a header that is right.
pub(super) fn segment(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(SEGMENT_BYTES_MAX)];
    goes_on(&[(segment_path(1), bytes.to_vec())].into());

    let mut whole = valid().0[&segment_path(1)][..HEADER_BYTES].to_vec();
    whole.extend_from_slice(bytes.get(HEADER_BYTES..).unwrap_or(bytes));
    goes_on(&[(segment_path(1), whole)].into());
}

/// A valid log with changes: five bytes each, `file and kind u8 | offset u16 | argument u16`. A
/// record is there as it was written, or it is gone with all that follow.
pub(super) fn edits(bytes: &[u8]) {
    let (files, records) = valid();
    let mut files = files.clone();
    for edit in bytes.chunks_exact(5).take(64) {
        let &[kind, o0, o1, a0, a1] = edit else { unreachable!("chunks of five") };
        let (index, kind) = (1 + usize::from(kind >> 4) % files.len(), kind & 0x0f);
        let file = files.get_mut(&segment_path(index)).expect("numbered without a gap");
        apply(file, kind, u16::from_le_bytes([o0, o1]), u16::from_le_bytes([a0, a1]));
    }
    if let Some(found) = goes_on(&files) {
        assert_eq!(found, records[..found.len()]);
    }
}

fn apply(file: &mut Vec<u8>, kind: u8, offset: u16, argument: u16) {
    if file.is_empty() {
        return;
    }
    let at = usize::from(offset) % file.len();
    match kind % 6 {
        0 => file[at] ^= 1 << (argument % 8),
        1 => file[at] = argument.to_le_bytes()[0],
        2 => {
            let sector = at / SECTOR_BYTES * SECTOR_BYTES;
            let end = (sector + SECTOR_BYTES).min(file.len());
            file[sector..end].fill(0);
        }
        3 => file[at..].fill(0),
        4 => file.truncate(at),
        _ => {
            let to = usize::from(argument) % file.len();
            let length = SECTOR_BYTES.min(file.len() - at.max(to));
            file.copy_within(at..at + length, to);
        }
    }
}
