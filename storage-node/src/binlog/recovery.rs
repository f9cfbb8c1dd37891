//! Finding the valid end of the log at start: every segment is read, every record is handed to the
//! owner, a torn tail is cut, and anything else that is wrong is refused with file and offset (I13).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::damage::Remains;
use super::error::LogError;
use super::frame::{ControlKind, Decoded, decode};
use super::position::LogPosition;
use super::segment::{self, FileName, HEADER_BYTES, HEADER_LEN, LogIdentity, Segment};
use super::shared::Recovered;
use crate::files::{Fs, FsFile};

/// Receives the records of the log in order; a refusal ends the start with this text.
pub type Visitor<'a> = dyn FnMut(LogPosition, &[u8]) -> Result<(), String> + 'a;

/// What was found at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Where the log begins.
    pub first: LogPosition,
    /// Where it ends, and goes on.
    pub end: LogPosition,
    /// Number of records.
    pub records: u64,
    /// What was taken off, if anything was.
    pub cut: Option<Cut>,
}

/// A torn tail that was taken off the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where it began.
    pub at: LogPosition,
    /// Whole records in it. They stood behind a hole, so no fsync had confirmed them.
    pub records: u64,
}

/// A scan of the segments, oldest first.
pub(super) struct Recovery<'a> {
    fs: &'a dyn Fs,
    dir: &'a Path,
    identity: &'a LogIdentity,
    /// Bytes of the segment that is looked at.
    data: Vec<u8>,
    /// The greatest durable position that any mark says.
    marked: LogPosition,
    records: u64,
}

/// How a segment ended.
enum SegmentEnd {
    /// With a seal: the next segment goes on.
    Sealed(usize),
    /// Without: here the log ends, or is damaged.
    Open(usize),
}

/// Numbers of the segments in `dir`, ascending. Removes what an unfinished creation left.
pub(super) fn list_segments(fs: &dyn Fs, dir: &Path) -> Result<Vec<u64>, LogError> {
    let mut indices = Vec::new();
    for name in fs.list(dir).map_err(LogError::io("list", dir))? {
        let path = dir.join(&name);
        match segment::parse_name(&name) {
            FileName::Segment(index) => indices.push(index),
            FileName::Unfinished => fs.remove(&path).map_err(LogError::io("remove", path))?,
            FileName::Malformed => return Err(LogError::UnknownFile { path }),
            FileName::Other => {}
        }
    }
    indices.sort_unstable();
    for pair in indices.windows(2) {
        if pair[1] != pair[0] + 1 {
            return Err(LogError::MissingSegment { path: segment::path(dir, pair[0] + 1) });
        }
    }
    Ok(indices)
}

impl<'a> Recovery<'a> {
    pub(super) fn new(fs: &'a dyn Fs, dir: &'a Path, identity: &'a LogIdentity) -> Self {
        let (marked, records) = (LogPosition::default(), 0);
        Self { fs, dir, identity, data: Vec::new(), marked, records }
    }

    /// Reads the segments `indices` (ascending, without a gap, at least one).
    pub(super) fn run(
        mut self,
        indices: &[u64],
        visitor: &mut Visitor<'_>,
    ) -> Result<(Recovered, RecoveryReport), LogError> {
        let mut segments = BTreeMap::new();
        for (place, &index) in indices.iter().enumerate() {
            let file = self.load(index)?;
            segments.insert(index, self.data.len() as u64);
            match self.scan(index, visitor)? {
                SegmentEnd::Sealed(end) => {
                    self.clean_behind_seal(&*file, index, end)?;
                    if place + 1 == indices.len() {
                        // The next one is made durable before a seal is written.
                        return Err(LogError::MissingSegment { path: self.path(index + 1) });
                    }
                }
                SegmentEnd::Open(end) => {
                    let bytes = self.data.len() as u64;
                    let current = Segment { index, file, bytes };
                    let later = &indices[place + 1..];
                    let (next, cut) = self.finish(&current, end, later)?;
                    if let Some(next) = &next {
                        segments.insert(next.index, next.bytes);
                    }
                    let report = RecoveryReport {
                        first: LogPosition::new(indices[0], HEADER_BYTES),
                        end: LogPosition::new(index, end as u64),
                        records: self.records,
                        cut,
                    };
                    self.settle(report)?;
                    let (end, marked) = (end as u64, self.marked);
                    return Ok((Recovered { segments, current, end, next, marked }, report));
                }
            }
        }
        unreachable!("the last segment either ends the scan or is sealed, which is an error")
    }

    /// Reads a whole segment into `data` and checks its header.
    fn load(&mut self, index: u64) -> Result<std::sync::Arc<dyn FsFile>, LogError> {
        let path = self.path(index);
        let file = self.fs.open(&path).map_err(LogError::io("open", &path))?;
        let bytes = file.size().map_err(LogError::io("read", &path))?;
        self.data.clear();
        self.data.resize(usize::try_from(bytes).expect("addresses have 64 bits"), 0);
        file.read_exact_at(&mut self.data, 0).map_err(LogError::io("read", &path))?;
        segment::check_header(&self.data, &path, self.identity, index)?;
        Ok(file)
    }

    /// Hands the records of the loaded segment to the visitor, up to where no valid frame stands.
    fn scan(&mut self, index: u64, visitor: &mut Visitor<'_>) -> Result<SegmentEnd, LogError> {
        let mut offset = HEADER_LEN;
        loop {
            let at = LogPosition::new(index, offset as u64);
            match decode(&self.data[offset..], at) {
                Decoded::Record(body) => {
                    visitor(at, body).map_err(|reason| LogError::Refused {
                        path: segment::path(self.dir, index),
                        offset: at.offset,
                        reason,
                    })?;
                    self.records += 1;
                    offset += super::frame::HEAD_BYTES + body.len();
                }
                Decoded::Control(control) => {
                    self.marked = self.marked.max(control.durable);
                    offset += super::frame::CONTROL_BYTES;
                    if control.kind == ControlKind::Seal {
                        return Ok(SegmentEnd::Sealed(offset));
                    }
                }
                Decoded::Short(_) | Decoded::Invalid => return Ok(SegmentEnd::Open(offset)),
            }
        }
    }

    /// Decides what the bytes behind the last valid frame are, and cuts them if they are a torn
    /// tail. Returns the segment in waiting, if it is one.
    fn finish(
        &mut self,
        current: &Segment,
        end: usize,
        later: &[u64],
    ) -> Result<(Option<Segment>, Option<Cut>), LogError> {
        let at = LogPosition::new(current.index, end as u64);
        let torn = self.data[end..].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let remains = self.assess(at, later)?;
        let mut later = later;
        let mut next = None;
        if !remains.dirty
            && let [index, rest @ ..] = later
        {
            let file = self.load(*index)?;
            next = Some(Segment { index: *index, file, bytes: self.data.len() as u64 });
            later = rest;
        }
        // Last first: a crash on the way leaves a tail that is judged as this one was.
        for index in later.iter().rev() {
            let path = self.path(*index);
            self.fs.remove(&path).map_err(LogError::io("remove", path))?;
        }
        if !later.is_empty() {
            self.fs.sync_dir(self.dir).map_err(LogError::io("sync", self.dir))?;
        }
        if !remains.dirty {
            return Ok((next, None));
        }
        zero(&*current.file, &self.path(current.index), end, torn)?;
        let cut = Cut { at, records: remains.records };
        let path = self.path(current.index);
        tracing::warn!(
            path = %path.display(), offset = at.offset, records = cut.records,
            "cut a torn tail off the log: an fsync had not confirmed it"
        );
        Ok((None, Some(cut)))
    }

    /// Looks at all that stands behind `at`, in the loaded segment and in the later ones. Refuses to
    /// cut there if anything shows that this is damage.
    fn assess(&mut self, at: LogPosition, later: &[u64]) -> Result<Remains, LogError> {
        let path = self.path(at.segment);
        let damaged = |what| LogError::Damaged { path: path.clone(), offset: at.offset, what };
        let mut remains = Remains::behind(at, &self.data).map_err(damaged)?;
        for &index in later {
            self.load(index)?;
            remains.look_at(index, &self.data).map_err(damaged)?;
        }
        Ok(remains)
    }

    /// Zeros what stands behind the seal of the loaded segment: no write ever put it there, and
    /// nothing reads it.
    fn clean_behind_seal(&self, file: &dyn FsFile, index: u64, end: usize) -> Result<(), LogError> {
        let Some(last) = self.data[end..].iter().rposition(|byte| *byte != 0) else {
            return Ok(());
        };
        let path = self.path(index);
        tracing::warn!(path = %path.display(), offset = end, "zeroed stray bytes behind a log segment's end");
        zero(file, &path, end, last + 1)
    }

    /// Makes what was read durable: it may have been in the page cache only, and after a failed
    /// fsync even pages that the kernel calls clean may not be on the disk. So everything behind the
    /// last mark is written again before it is synced.
    fn settle(&mut self, report: RecoveryReport) -> Result<(), LogError> {
        let from = self.marked.max(report.first);
        for index in from.segment..=report.end.segment {
            let file = self.load(index)?;
            let start = if index == from.segment { from.offset } else { HEADER_BYTES };
            let bytes = self.data.len() as u64;
            let end = if index == report.end.segment { report.end.offset } else { bytes };
            let range = |offset| usize::try_from(offset).expect("addresses have 64 bits");
            let path = self.path(index);
            let written = file.write_all_at(&self.data[range(start)..range(end)], start);
            written.map_err(LogError::io("write", &path))?;
            file.sync_data().map_err(LogError::io("sync", &path))?;
        }
        Ok(())
    }

    fn path(&self, index: u64) -> PathBuf {
        segment::path(self.dir, index)
    }
}

/// Overwrites `bytes` bytes from `offset` with zeros, durably.
fn zero(file: &dyn FsFile, path: &Path, offset: usize, bytes: usize) -> Result<(), LogError> {
    file.write_all_at(&vec![0; bytes], offset as u64).map_err(LogError::io("write", path))?;
    file.sync_data().map_err(LogError::io("sync", path))
}
