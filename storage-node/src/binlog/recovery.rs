//! Finding the valid end of the log at start: every segment is read, every record is handed to the
//! owner, a torn tail is cut, and anything else that is wrong is refused with file and offset (I13).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};

use super::damage::{Remains, without_trailing_zeros};
use super::error::LogError;
use super::position::LogPosition;
use super::scan::{RecordSink, Refusal, Scan, load, read_ahead};
use super::segment::{self, FileName, HEADER_BYTES, LogIdentity, Segment};
use super::shared::Recovered;
use crate::files::{Fs, FsFile};

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

/// A pass over the segments, oldest first.
pub(super) struct Recovery<'a> {
    fs: &'a dyn Fs,
    dir: &'a Path,
    identity: &'a LogIdentity,
    /// The greatest durable position that any mark says.
    marked: LogPosition,
    /// The log was made durable up to here by this pass.
    settled: LogPosition,
    records: u64,
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
        let (marked, settled) = (LogPosition::default(), LogPosition::default());
        Self { fs, dir, identity, marked, settled, records: 0 }
    }

    /// Reads the segments `indices` (ascending, without a gap, at least one).
    pub(super) fn run(
        mut self,
        indices: &[u64],
        sink: &mut dyn RecordSink,
    ) -> Result<(Recovered, RecoveryReport), LogError> {
        let (fs, dir, identity) = (self.fs, self.dir, self.identity);
        std::thread::scope(|scope| {
            // One segment is worked on here while the next is read.
            let (sender, scans) = sync_channel(0);
            let read = move || read_ahead(fs, dir, identity, indices, &sender);
            let thread = std::thread::Builder::new().name("log-read".into());
            thread
                .spawn_scoped(scope, read)
                .map_err(LogError::io("start the thread that reads", dir))?;
            self.follow(indices, scans, sink)
        })
    }

    /// Hands over what the other thread reads. It ends when `scans` is dropped.
    fn follow(
        &mut self,
        indices: &[u64],
        scans: Receiver<Result<Scan, LogError>>,
        sink: &mut dyn RecordSink,
    ) -> Result<(Recovered, RecoveryReport), LogError> {
        let mut segments = BTreeMap::new();
        for (place, scan) in scans.into_iter().enumerate() {
            let scan = match scan {
                Ok(scan) => scan,
                Err(error) => {
                    // A record before it may be refused: that is told then.
                    self.drain(sink)?;
                    return Err(error);
                }
            };
            segments.insert(scan.index, scan.data.len() as u64);
            self.hand_over(&scan, (place, indices.len()), sink)?;
            if !scan.sealed {
                self.drain(sink)?;
                return self.end(&scan, indices, segments);
            }
            self.clean_behind_seal(&scan, sink)?;
            if place + 1 == indices.len() {
                self.drain(sink)?;
                // The next one is made durable before a seal is written.
                return Err(LogError::MissingSegment { path: self.path(scan.index + 1) });
            }
        }
        unreachable!("the last segment either ends the log or is sealed, which is an error")
    }

    fn hand_over(
        &mut self,
        scan: &Scan,
        place: (usize, usize),
        sink: &mut dyn RecordSink,
    ) -> Result<(), LogError> {
        self.records += scan.records;
        self.marked = self.marked.max(scan.marked);
        let records = scan.records(self.marked.max(self.settled), place);
        sink.take(&records).map_err(|refusal| self.refused(refusal))?;
        if sink.wants_durable() {
            let first = LogPosition::new(scan.index - place.0 as u64, HEADER_BYTES);
            let end = LogPosition::new(scan.index, scan.end as u64);
            self.settle(first, end)?;
            sink.on_durable(end);
        }
        Ok(())
    }

    fn drain(&self, sink: &mut dyn RecordSink) -> Result<(), LogError> {
        sink.drain().map_err(|refusal| self.refused(refusal))
    }

    fn refused(&self, refusal: Refusal) -> LogError {
        let Refusal { at, reason } = refusal;
        LogError::Refused { path: self.path(at.segment), offset: at.offset, reason }
    }

    /// The log ends in this segment, if it is not damaged.
    fn end(
        &mut self,
        scan: &Scan,
        indices: &[u64],
        mut segments: BTreeMap<u64, u64>,
    ) -> Result<(Recovered, RecoveryReport), LogError> {
        let later = &indices[segments.len()..];
        let (next, cut) = self.finish(scan, later)?;
        if let Some(next) = &next {
            segments.insert(next.index, next.bytes);
        }
        let end = scan.end as u64;
        let report = RecoveryReport {
            first: LogPosition::new(indices[0], HEADER_BYTES),
            end: LogPosition::new(scan.index, end),
            records: self.records,
            cut,
        };
        self.settle(report.first, report.end)?;
        let (index, file) = (scan.index, std::sync::Arc::clone(&scan.file));
        let current = Segment { index, file, bytes: scan.data.len() as u64 };
        let marked = self.marked;
        Ok((Recovered { segments, current, end, next, marked }, report))
    }

    /// Decides what the bytes behind the last valid frame are, and cuts them if they are a torn
    /// tail. Returns the segment in waiting, if it is one.
    fn finish(
        &self,
        last: &Scan,
        later: &[u64],
    ) -> Result<(Option<Segment>, Option<Cut>), LogError> {
        let at = LogPosition::new(last.index, last.end as u64);
        let torn = without_trailing_zeros(&last.data[last.end..]);
        let (remains, next) = self.assess(at, last, later)?;
        let next = next.filter(|_| !remains.dirty);
        let later = later.get(usize::from(next.is_some())..).unwrap_or_default();
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
        zero(&*last.file, &self.path(last.index), last.end, torn)?;
        let cut = Cut { at, records: remains.records };
        let path = self.path(last.index);
        tracing::warn!(
            path = %path.display(), offset = at.offset, records = cut.records,
            "cut a torn tail off the log: an fsync had not confirmed it"
        );
        Ok((None, Some(cut)))
    }

    /// Looks at all that stands behind `at`, the end of what is valid in segment `last`. Refuses to cut
    /// there if anything shows that this is damage. Returns the first later segment, too.
    fn assess(
        &self,
        at: LogPosition,
        last: &Scan,
        later: &[u64],
    ) -> Result<(Remains, Option<Segment>), LogError> {
        let path = self.path(at.segment);
        let damaged = |what| LogError::Damaged { path: path.clone(), offset: at.offset, what };
        let mut remains = Remains::behind(at, &last.data).map_err(damaged)?;
        let mut next = None;
        for &index in later {
            let (file, data) = load(self.fs, self.dir, self.identity, index)?;
            remains.look_at(index, &data).map_err(damaged)?;
            let segment = Segment { index, file, bytes: data.len() as u64 };
            next.get_or_insert(segment);
        }
        Ok((remains, next))
    }

    /// Zeros what stands behind a seal: no write ever put it there, and nothing reads it.
    fn clean_behind_seal(&self, scan: &Scan, sink: &mut dyn RecordSink) -> Result<(), LogError> {
        let stray = without_trailing_zeros(&scan.data[scan.end..]);
        if stray == 0 {
            return Ok(());
        }
        self.drain(sink)?;
        let path = self.path(scan.index);
        tracing::warn!(path = %path.display(), offset = scan.end, "zeroed stray bytes behind a log segment's end");
        zero(&*scan.file, &path, scan.end, stray)
    }

    /// Makes what was read, from the log's beginning up to `end`, durable: it may have been in the
    /// page cache only, and after a failed fsync even pages that the kernel calls clean may not be on
    /// the disk. So everything behind the last mark is written again before it is synced.
    fn settle(&mut self, first: LogPosition, end: LogPosition) -> Result<(), LogError> {
        let from = self.marked.max(self.settled).max(first);
        for index in from.segment..=end.segment {
            let path = self.path(index);
            let file = self.fs.open(&path).map_err(LogError::io("open", &path))?;
            let start = if index == from.segment { from.offset } else { HEADER_BYTES };
            let size = file.size().map_err(LogError::io("read", &path))?;
            let stop = if index == end.segment { end.offset } else { size };
            let bytes = usize::try_from(stop.saturating_sub(start));
            let mut data = vec![0; bytes.expect("addresses have 64 bits")];
            file.read_exact_at(&mut data, start).map_err(LogError::io("read", &path))?;
            file.write_all_at(&data, start).map_err(LogError::io("write", &path))?;
            file.sync_data().map_err(LogError::io("sync", &path))?;
        }
        self.settled = self.settled.max(end);
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
