//! `fdht binlog verify`: all of a log is read, counted and checked.

use std::path::{Path, PathBuf};

use common::log_record::LogRecord;

use super::format::{Content, Flaw, Found, Frame, LogIdentity, LogPosition, SegmentFile};
use super::outcome::Outcome;
use super::place::Place;
use super::streams::{Gap, Streams};

/// What a log holds, and what is wrong with it.
#[derive(Debug)]
pub(super) struct Findings {
    /// The folder of the files.
    pub(super) folder: PathBuf,
    pub(super) identity: Option<LogIdentity>,
    /// Files, the one in waiting included.
    pub(super) segments: u64,
    /// The lowest and the highest number.
    pub(super) numbers: Option<(u64, u64)>,
    /// Length of the files.
    pub(super) file_bytes: u64,
    /// Length of the frames.
    pub(super) frame_bytes: u64,
    pub(super) records: u64,
    pub(super) marks: u64,
    pub(super) seals: u64,
    /// Where the log ends, if it comes to an end.
    pub(super) end: Option<LogPosition>,
    pub(super) streams: Streams,
    pub(super) problems: Vec<Problem>,
    pub(super) outcome: Outcome,
}

/// Something that is not as it should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) weight: Weight,
    /// Where, what, and what to do.
    pub(super) text: String,
}

/// What a problem means for the next start of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// It is taken care of.
    Passing,
    /// It is refused.
    Damage,
    /// Nobody knows: a file could not be read.
    Unreadable,
}

impl Weight {
    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Passing => "note",
            Self::Damage => "damage",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Reads all of a log.
pub(super) fn verify(place: &Place) -> Findings {
    let mut findings = Findings::new(place.folder());
    let mut current = None;
    for found in place.inspector() {
        match found {
            Found::Segment(file) => {
                findings.take_segment(&file);
                current = Some(file.path);
            }
            Found::Frame(frame) => findings.take_frame(&frame, current.as_deref()),
            Found::Flaw(flaw) => findings.take_flaw(&flaw),
            Found::End(at) => findings.end = Some(at),
        }
    }
    findings
}

impl Findings {
    fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            identity: None,
            segments: 0,
            numbers: None,
            file_bytes: 0,
            frame_bytes: 0,
            records: 0,
            marks: 0,
            seals: 0,
            end: None,
            streams: Streams::default(),
            problems: Vec::new(),
            outcome: Outcome::default(),
        }
    }

    fn take_segment(&mut self, file: &SegmentFile) {
        self.identity = self.identity.or(file.identity);
        self.segments += 1;
        self.file_bytes += file.bytes;
        match self.numbers {
            // Nothing ever left a log that begins with its first segment.
            None => self.streams = Streams::new(file.index == 1),
            Some((_, last)) if file.index != last + 1 => self.streams.lose_track(),
            Some(_) => {}
        }
        let (first, last) = self.numbers.unwrap_or((file.index, file.index));
        self.numbers = Some((first.min(file.index), last.max(file.index)));
    }

    fn take_frame(&mut self, frame: &Frame, file: Option<&Path>) {
        self.frame_bytes += frame.bytes;
        let body = match &frame.content {
            Content::Record(body) => body,
            Content::Mark(_) => return self.marks += 1,
            Content::Seal(_) => return self.seals += 1,
        };
        self.records += 1;
        let wrong = match LogRecord::decode(body) {
            Ok(record) => self.streams.take(&record.head).map(|gap| gap_text(&gap)),
            Err(error) => Some(format!(
                "a whole frame that is no record: {error}: start the version that wrote it"
            )),
        };
        let Some(what) = wrong else { return };
        let file = file.unwrap_or(&self.folder).display();
        let text = format!("log file {file}, record at offset {}: {what}", frame.at.offset);
        self.outcome.damage = true;
        self.problems.push(Problem { weight: Weight::Damage, text });
    }

    fn take_flaw(&mut self, flaw: &Flaw) {
        let mut own = Outcome::default();
        own.note(flaw);
        self.outcome.add(own);
        let weight = match own {
            Outcome { damage: true, .. } => Weight::Damage,
            Outcome { unreadable: true, .. } => Weight::Unreadable,
            Outcome { .. } => Weight::Passing,
        };
        if weight != Weight::Passing {
            self.streams.lose_track();
        }
        self.problems.push(Problem { weight, text: flaw.to_string() });
    }
}

fn gap_text(gap: &Gap) -> String {
    let Gap { stream, after, found } = gap;
    format!(
        "{found} of {stream} follows {after}: records between them are missing; see `Errors at start` \
         in docs/OPERATIONS.md"
    )
}
