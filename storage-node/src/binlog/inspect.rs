//! Looking at a log without changing it: all frames of its segments, and everything that is wrong
//! with them.
//!
//! Each place where no valid frame stands is judged as a start judges it ([`Remains`]), but a flaw is
//! no end here: what stands behind it is looked at, too. Only files are read, through
//! [`LogFs::list`] and [`LogFs::open_read_only`].
//!
//! A running node may write to the log meanwhile. What is read then is what the log was at some
//! moment: a segment is read once, and again before anything in it is called a flaw. Only a batch
//! that is on its way to the file at this very moment looks like a torn end.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::damage::{FrameFinder, Remains, is_zero};
use super::error::LogError;
use super::frame::{CONTROL_BYTES, Control, ControlKind, Decoded, HEAD_BYTES, decode};
use super::fs::LogFs;
use super::position::LogPosition;
use super::segment::{self, FileName, HEADER_LEN, Header, LogIdentity};

/// Segments that are named when a part of the log is missing, at most.
const MISSING_NAMED_MAX: u64 = 16;

/// One thing that an [`Inspector`] found, in the order of the log.
#[derive(Debug)]
pub enum Found {
    /// A file was read; its frames follow.
    Segment(SegmentFile),
    /// A valid frame.
    Frame(Frame),
    /// Something that is not as it should be.
    Flaw(Flaw),
    /// The end of the log: files that follow hold nothing that counts. Not found where the log is
    /// damaged up to its last byte, or goes on in a file that is not looked at.
    End(LogPosition),
}

/// A file of the log.
#[derive(Debug)]
pub struct SegmentFile {
    /// Its number.
    pub index: u64,
    /// The file.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Whose it is, if its header can be read.
    pub identity: Option<LogIdentity>,
}

/// A valid frame.
#[derive(Debug)]
pub struct Frame {
    /// Where it stands.
    pub at: LogPosition,
    /// Its length.
    pub bytes: u64,
    /// What is in it.
    pub content: Content,
}

/// What a frame holds.
#[derive(Debug)]
pub enum Content {
    /// The body of a record.
    Record(Bytes),
    /// A mark: the log was durable up to here when it was written.
    Mark(LogPosition),
    /// A seal, which ends its segment; says the same as a mark.
    Seal(LogPosition),
}

/// Something that is not as it should be. Its text names file and offset and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    /// The log ends in a write that did not come to its end.
    #[error(
        "log file {} has a torn end at offset {}, with {records} whole records behind it: the next start of the node cuts it off (if the node runs now, it may be writing there: look again)",
        path.display(), at.offset
    )]
    TornEnd {
        /// The file.
        path: PathBuf,
        /// Where it begins.
        at: LogPosition,
        /// Whole records behind it.
        records: u64,
    },
    /// Bytes that no write put there, behind the end of a segment.
    #[error(
        "log file {} has stray bytes behind its end, from offset {}: the next start of the node zeroes them",
        path.display(), at.offset
    )]
    Stray {
        /// The file.
        path: PathBuf,
        /// The end of the segment.
        at: LogPosition,
    },
    /// What a start refuses, or a file that cannot be read.
    #[error(transparent)]
    Refused(LogError),
}

/// Goes through the frames of a log, oldest first. See the module.
pub struct Inspector {
    fs: Arc<dyn LogFs>,
    /// The folder that is looked at as a whole; `None`: some files of one.
    folder: Option<PathBuf>,
    /// The files to look at together.
    segments: BTreeMap<u64, PathBuf>,
    /// Files with a number that another one has: each is looked at by itself afterwards.
    apart: Vec<(u64, PathBuf)>,
    /// Whose log it is; without, the first header says it.
    identity: Option<LogIdentity>,
    begin: u64,
    /// The last segment that was looked at, and whether it ended with a seal.
    last: Option<(u64, bool)>,
    current: Option<Current>,
    found: VecDeque<Found>,
    /// The end of the log was found.
    ended: bool,
    done: bool,
}

/// A segment in memory.
struct Current {
    index: u64,
    path: PathBuf,
    data: Bytes,
    at: usize,
}

impl Current {
    fn position(&self) -> LogPosition {
        LogPosition::new(self.index, self.at as u64)
    }
}

impl Inspector {
    /// Looks at the log in `folder`, which is to be `identity`'s if that is known.
    #[must_use]
    pub fn of_folder(fs: Arc<dyn LogFs>, folder: &Path, identity: Option<LogIdentity>) -> Self {
        let mut inspector = Self::new(fs);
        inspector.identity = identity;
        inspector.folder = Some(folder.to_owned());
        let refused = match inspector.list() {
            Ok(malformed) => {
                let unknown = malformed.into_iter().map(|path| LogError::UnknownFile { path });
                inspector.found.extend(unknown.map(|e| Found::Flaw(Flaw::Refused(e))));
                let none = inspector.segments.is_empty();
                none.then(|| LogError::NoLog { dir: folder.to_owned() })
            }
            Err(error) => Some(error),
        };
        inspector.found.extend(refused.map(|e| Found::Flaw(Flaw::Refused(e))));
        inspector
    }

    /// Looks at these files, which may be a part of a log: that others are missing is no flaw. A
    /// segment's number is what its header says, or else its name.
    #[must_use]
    pub fn of_files(fs: Arc<dyn LogFs>, files: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut inspector = Self::new(fs);
        for path in files {
            let named =
                match path.file_name().and_then(|name| name.to_str()).map(segment::parse_name) {
                    Some(FileName::Segment(index)) => Some(index),
                    _ => None,
                };
            let (index, error) = match inspector.header(&path) {
                Ok(header) => (Some(header.index), None),
                Err(error) => (named, Some(error)),
            };
            match (index, error) {
                (Some(index), _) if inspector.segments.contains_key(&index) => {
                    inspector.apart.push((index, path));
                }
                (Some(index), _) => drop(inspector.segments.insert(index, path)),
                (None, error) => {
                    inspector.found.extend(error.map(|e| Found::Flaw(Flaw::Refused(e))));
                }
            }
        }
        inspector.apart.reverse();
        inspector
    }

    fn new(fs: Arc<dyn LogFs>) -> Self {
        Self {
            fs,
            folder: None,
            segments: BTreeMap::new(),
            apart: Vec::new(),
            identity: None,
            begin: 0,
            last: None,
            current: None,
            found: VecDeque::new(),
            ended: false,
            done: false,
        }
    }

    /// Leaves out the segments before this one. Call it first.
    #[must_use]
    pub fn begin_at(mut self, segment: u64) -> Self {
        self.begin = segment;
        self.segments.retain(|index, _| *index >= segment);
        self.apart.retain(|(index, _)| *index >= segment);
        self
    }

    /// Reads the names in the folder anew. Returns those that look like segments and are none.
    fn list(&mut self) -> Result<Vec<PathBuf>, LogError> {
        let Some(dir) = &self.folder else { return Ok(Vec::new()) };
        let names = self.fs.list(dir).map_err(LogError::io("list", dir))?;
        let (mut segments, mut malformed) = (BTreeMap::new(), Vec::new());
        for name in names {
            match segment::parse_name(&name) {
                FileName::Segment(index) if index >= self.begin => {
                    segments.insert(index, dir.join(name));
                }
                FileName::Malformed => malformed.push(dir.join(name)),
                FileName::Segment(_) | FileName::Unfinished | FileName::Other => {}
            }
        }
        self.segments = segments;
        Ok(malformed)
    }

    fn header(&self, path: &Path) -> Result<Header, LogError> {
        let file = self.fs.open_read_only(path).map_err(LogError::io("open", path))?;
        let bytes = file.size().map_err(LogError::io("read", path))?;
        let mut start = vec![0; usize::try_from(bytes).map_or(HEADER_LEN, |b| b.min(HEADER_LEN))];
        file.read_exact_at(&mut start, 0).map_err(LogError::io("read", path))?;
        segment::read_header(&start, path)
    }

    fn read(&self, path: &Path) -> Result<Bytes, LogError> {
        let file = self.fs.open_read_only(path).map_err(LogError::io("open", path))?;
        let bytes = file.size().map_err(LogError::io("read", path))?;
        let mut data = vec![0; usize::try_from(bytes).expect("addresses have 64 bits")];
        file.read_exact_at(&mut data, 0).map_err(LogError::io("read", path))?;
        Ok(data.into())
    }

    fn refuse(&mut self, error: LogError) {
        self.found.push_back(Found::Flaw(Flaw::Refused(error)));
    }

    /// Takes the next file; `false` if there is none.
    fn open_next(&mut self) -> bool {
        let Some((index, path)) = self.next_segment().or_else(|| self.next_apart()) else {
            return false;
        };
        self.last = Some((index, false));
        let data = match self.read(&path) {
            Ok(data) => data,
            Err(error) => {
                if !self.was_released(index, &error) {
                    self.refuse(error);
                }
                return true;
            }
        };
        let header = self.check_header(&data, &path, index);
        let identity = header.as_ref().ok().map(|header| header.identity);
        self.identity = self.identity.or(identity);
        let bytes = data.len() as u64;
        let file = SegmentFile { index, path: path.clone(), bytes, identity };
        self.found.push_back(Found::Segment(file));
        // Frames know their place, not their owner: behind a header of another one they mean nothing.
        let readable = match header {
            Ok(_) => true,
            Err(error) => {
                let damaged = matches!(error, LogError::Damaged { .. });
                self.refuse(error);
                damaged && data.len() >= HEADER_LEN
            }
        };
        if readable && !self.ended {
            self.current = Some(Current { index, path, data, at: HEADER_LEN });
        }
        true
    }

    fn check_header(&self, data: &[u8], path: &Path, index: u64) -> Result<Header, LogError> {
        let header = segment::read_header(data, path)?;
        let identity = self.identity.unwrap_or(header.identity);
        segment::check_identity(&header, path, &identity, index)?;
        Ok(header)
    }

    /// The segment after the last one. Names those that are missing between the two.
    fn next_segment(&mut self) -> Option<(u64, PathBuf)> {
        let owned = |(index, path): (&u64, &PathBuf)| (*index, path.clone());
        let Some((last, sealed)) = self.last else {
            return self.segments.first_key_value().map(owned);
        };
        let wanted = last + 1;
        if self.folder.is_some() && !self.segments.contains_key(&wanted) {
            // A running node may have made it since. An error has been told or will be.
            drop(self.list());
        }
        let next = self.segments.range(wanted..).next().map(owned);
        if let Some(folder) = &self.folder {
            let until = match &next {
                // What went while we read, oldest first, is not missing.
                Some(_) if !self.segments.contains_key(&last) => wanted,
                Some((index, _)) => *index,
                // The next one is made durable before a seal is written.
                None => wanted + u64::from(sealed),
            };
            let missing = (wanted..until.min(wanted + MISSING_NAMED_MAX))
                .map(|index| LogError::MissingSegment { path: segment::path(folder, index) });
            self.found.extend(missing.map(|error| Found::Flaw(Flaw::Refused(error))));
        }
        next
    }

    fn next_apart(&mut self) -> Option<(u64, PathBuf)> {
        let (index, path) = self.apart.pop()?;
        self.segments = BTreeMap::from([(index, path.clone())]);
        self.ended = false;
        Some((index, path))
    }

    /// Whether a segment is not there because a running node released it after it was listed.
    fn was_released(&mut self, index: u64, error: &LogError) -> bool {
        let absent = matches!(error, LogError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound);
        absent && self.folder.is_some() && {
            drop(self.list());
            self.segments.first_key_value().is_some_and(|(first, _)| *first > index)
        }
    }

    /// Takes the frame at the place where we are.
    fn step(&mut self, mut current: Current) {
        let at = current.position();
        let (bytes, content) = match decode(&current.data[current.at..], at) {
            Decoded::Record(body) => {
                let from = current.at + HEAD_BYTES;
                let body = current.data.slice(from..from + body.len());
                (HEAD_BYTES + body.len(), Content::Record(body))
            }
            Decoded::Control(Control { kind: ControlKind::Mark, durable }) => {
                (CONTROL_BYTES, Content::Mark(durable))
            }
            Decoded::Control(Control { kind: ControlKind::Seal, durable }) => {
                (CONTROL_BYTES, Content::Seal(durable))
            }
            Decoded::Short(_) | Decoded::Invalid => return self.at_break(current),
        };
        let sealed = matches!(content, Content::Seal(_));
        self.found.push_back(Found::Frame(Frame { at, bytes: bytes as u64, content }));
        current.at += bytes;
        if !sealed {
            self.current = Some(current);
            return;
        }
        self.last = Some((current.index, true));
        if !is_zero(&current.data[current.at..]) {
            let flaw = Flaw::Stray { at: current.position(), path: current.path };
            self.found.push_back(Found::Flaw(flaw));
        }
    }

    /// No valid frame stands where we are.
    fn at_break(&mut self, mut current: Current) {
        let judged = self.judge(&current);
        let at = current.position();
        if !judged.as_ref().is_ok_and(|remains| !remains.dirty) {
            match self.read(&current.path) {
                // The node wrote on since the segment was read: not a flaw, only old.
                Ok(data) if has_frame(&data, at) => {
                    current.data = data;
                    self.current = Some(current);
                    return;
                }
                Err(error) if self.was_released(current.index, &error) => return,
                Ok(_) | Err(_) => {}
            }
        }
        match judged {
            Ok(remains) => {
                if remains.dirty {
                    let (path, records) = (current.path, remains.records);
                    self.found.push_back(Found::Flaw(Flaw::TornEnd { path, at, records }));
                }
                self.found.push_back(Found::End(at));
                self.ended = true;
            }
            Err(error) => {
                self.refuse(error);
                let mut frames = FrameFinder::new(current.index, &current.data, current.at);
                if let Some(next) = frames.next().map(|found| found.offset) {
                    current.at = next;
                    self.current = Some(current);
                }
            }
        }
    }

    fn judge(&self, current: &Current) -> Result<Remains, LogError> {
        let at = current.position();
        let damaged =
            |what| LogError::Damaged { path: current.path.clone(), offset: at.offset, what };
        let mut remains = Remains::behind(at, &current.data).map_err(damaged)?;
        for (index, path) in self.segments.range(current.index + 1..) {
            // What cannot be used says so when it is its turn.
            let Ok(data) = self.read(path) else { continue };
            if self.check_header(&data, path, *index).is_ok() {
                remains.look_at(*index, &data).map_err(damaged)?;
            }
        }
        Ok(remains)
    }
}

impl Iterator for Inspector {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            if let Some(found) = self.found.pop_front() {
                return Some(found);
            }
            if self.done {
                return None;
            }
            match self.current.take() {
                Some(current) => self.step(current),
                None => self.done = !self.open_next(),
            }
        }
    }
}

fn has_frame(data: &[u8], at: LogPosition) -> bool {
    let from = usize::try_from(at.offset).expect("addresses have 64 bits");
    let frame = data.get(from..).map(|bytes| decode(bytes, at));
    matches!(frame, Some(Decoded::Record(_) | Decoded::Control(_)))
}
