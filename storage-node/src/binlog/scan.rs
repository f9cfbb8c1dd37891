//! Reading the log at start: one thread reads segments and checks their frames, ahead of the one
//! that hands the records to the log's owner.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::error::LogError;
use super::frame::{CONTROL_BYTES, ControlKind, Decoded, HEAD_BYTES, Head, decode};
use super::position::LogPosition;
use super::segment::{self, HEADER_LEN, LogIdentity};
use crate::files::{Fs, FsFile};

/// Why the log's owner does not accept a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The record.
    pub at: LogPosition,
    /// What is wrong with it.
    pub reason: String,
}

/// Receives the records of the log in order; a refusal ends the start.
pub trait RecordSink {
    /// The records of the next segment. They may be worked on after this returns; a refusal may come
    /// with a later segment then, or with [`drain`](Self::drain). It is that of the first record that
    /// is refused.
    ///
    /// # Errors
    /// A record is refused.
    fn take(&mut self, records: &SegmentRecords) -> Result<(), Refusal>;

    /// Waits until all that was handed over is done. Called before anything of the log is changed.
    ///
    /// # Errors
    /// A record is refused.
    fn drain(&mut self) -> Result<(), Refusal>;

    /// Whether what was handed over should be made durable now, and not only at the end:
    /// [`on_durable`](Self::on_durable) follows.
    fn wants_durable(&mut self) -> bool {
        false
    }

    /// The log is durable up to here, whatever stands in [`SegmentRecords::durable`].
    fn on_durable(&mut self, _upto: LogPosition) {}
}

/// The records of one segment, all of them valid.
#[derive(Clone, Debug)]
pub struct SegmentRecords {
    index: u64,
    data: Arc<Vec<u8>>,
    /// Behind the last valid frame.
    end: usize,
    durable: LogPosition,
    place: usize,
    count: usize,
}

impl SegmentRecords {
    /// The bytes of the segment.
    #[must_use]
    pub fn data(&self) -> &Arc<Vec<u8>> {
        &self.data
    }

    /// The log is known to be durable up to here: it may be ahead of these records, or behind.
    #[must_use]
    pub fn durable(&self) -> LogPosition {
        self.durable
    }

    /// How much of the log is read when that much of this segment is, in percent. Where the last
    /// segment ends is not known before, so it stays below 100.
    #[must_use]
    pub fn percent(&self, at: LogPosition) -> u64 {
        let within = at.offset * 100 / (self.data.len() as u64).max(1);
        (self.place as u64 * 100 + within.min(100)) / (self.count as u64).max(1)
    }

    /// Each record: its place in the log, and that of its body in [`data`](Self::data).
    pub fn records(&self) -> impl Iterator<Item = (LogPosition, Range<usize>)> + use<'_> {
        let mut offset = HEADER_LEN;
        std::iter::from_fn(move || {
            while offset < self.end {
                let head = Head::read(&self.data[offset..]);
                if head.is_control() {
                    offset += CONTROL_BYTES;
                    continue;
                }
                let at = LogPosition::new(self.index, offset as u64);
                let from = offset + HEAD_BYTES;
                offset = from + head.body_bytes().expect("all frames were checked");
                return Some((at, from..offset));
            }
            None
        })
    }
}

/// A segment that was read.
pub(super) struct Scan {
    pub(super) index: u64,
    pub(super) file: Arc<dyn FsFile>,
    pub(super) data: Arc<Vec<u8>>,
    /// Behind the last valid frame.
    pub(super) end: usize,
    /// Whether that is a seal: the next segment goes on. Otherwise the log ends here, or is damaged.
    pub(super) sealed: bool,
    /// The greatest durable position that a mark in it says.
    pub(super) marked: LogPosition,
    /// Number of records.
    pub(super) records: u64,
}

impl Scan {
    fn read(fs: &dyn Fs, dir: &Path, identity: &LogIdentity, index: u64) -> Result<Self, LogError> {
        let (file, data) = load(fs, dir, identity, index)?;
        let (marked, records, end) = (LogPosition::default(), 0, HEADER_LEN);
        let data = Arc::new(data);
        let mut scan = Self { index, file, data, end, sealed: false, marked, records };
        scan.check();
        Ok(scan)
    }

    fn check(&mut self) {
        while !self.sealed {
            let at = LogPosition::new(self.index, self.end as u64);
            match decode(&self.data[self.end..], at) {
                Decoded::Record(body) => {
                    self.end += HEAD_BYTES + body.len();
                    self.records += 1;
                }
                Decoded::Control(control) => {
                    self.end += CONTROL_BYTES;
                    self.marked = self.marked.max(control.durable);
                    self.sealed = control.kind == ControlKind::Seal;
                }
                Decoded::Short(_) | Decoded::Invalid => return,
            }
        }
    }

    /// What the log's owner gets to see of it, as segment number `place` of `count`.
    pub(super) fn records(
        &self,
        durable: LogPosition,
        (place, count): (usize, usize),
    ) -> SegmentRecords {
        let (index, data, end) = (self.index, Arc::clone(&self.data), self.end);
        SegmentRecords { index, data, end, durable, place, count }
    }
}

/// Reads the segments `indices` one after the other, up to the first that is not sealed or cannot be
/// read, and never more than one ahead of who receives them.
pub(super) fn read_ahead(
    fs: &dyn Fs,
    dir: &Path,
    identity: &LogIdentity,
    indices: &[u64],
    scans: &SyncSender<Result<Scan, LogError>>,
) {
    for &index in indices {
        let scan = Scan::read(fs, dir, identity, index);
        let goes_on = scan.as_ref().is_ok_and(|scan| scan.sealed);
        if scans.send(scan).is_err() || !goes_on {
            return;
        }
    }
}

/// Reads a whole segment and checks its header.
pub(super) fn load(
    fs: &dyn Fs,
    dir: &Path,
    identity: &LogIdentity,
    index: u64,
) -> Result<(Arc<dyn FsFile>, Vec<u8>), LogError> {
    let path = segment::path(dir, index);
    let file = fs.open(&path).map_err(LogError::io("open", &path))?;
    let bytes = file.size().map_err(LogError::io("read", &path))?;
    let mut data = vec![0; usize::try_from(bytes).expect("addresses have 64 bits")];
    file.read_exact_at(&mut data, 0).map_err(LogError::io("read", &path))?;
    segment::check_header(&data, &path, identity, index)?;
    Ok((file, data))
}
