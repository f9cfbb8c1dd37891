//! Reading records from a position on, across segments, while the log is written.

use std::sync::Arc;

use super::error::LogError;
use super::frame::{CONTROL_BYTES, ControlKind, Decoded, HEAD_BYTES, decode};
use super::position::LogPosition;
use super::segment::HEADER_BYTES;
use super::shared::{LogCore, lock};
use crate::files::FsFile;

/// Bytes that are read at a time; a longer record takes a read of its own length.
const CHUNK_BYTES: usize = 256 << 10;

/// Gives the records of a log in order. At the end of what is appended it gives `None`, and goes on
/// when there is more. What it gives may not be durable yet: compare with
/// [`Log::durable`](super::Log::durable).
pub struct LogReader {
    core: Arc<LogCore>,
    /// Where the next frame stands.
    at: LogPosition,
    file: Option<(u64, Arc<dyn FsFile>)>,
    /// Bytes of the file from offset `chunk_at` on.
    chunk: Vec<u8>,
    chunk_at: u64,
}

impl LogReader {
    pub(super) fn new(core: Arc<LogCore>, at: LogPosition) -> Self {
        Self { core, at, file: None, chunk: Vec::new(), chunk_at: 0 }
    }

    /// Where the next record will be looked for: behind the last one that was given.
    #[must_use]
    pub fn position(&self) -> LogPosition {
        self.at
    }

    /// The next record, if it is appended yet.
    ///
    /// # Errors
    /// [`LogError::Released`] if retention has removed it, [`LogError::Damaged`] if the bytes are not
    /// a record (also if the reader was started at a position that is none).
    pub fn next_record(&mut self) -> Result<Option<(LogPosition, &[u8])>, LogError> {
        loop {
            // Bytes before this were handed to the kernel as a whole.
            let end = self.core.appended.load();
            if self.at >= end {
                return Ok(None);
            }
            self.open_segment()?;
            let frame_bytes = self.load_frame(end)?;
            let at = self.at;
            let from = self.chunk_offset();
            match decode(&self.chunk[from..from + frame_bytes], at) {
                Decoded::Record(_) => {
                    self.at = at.plus(frame_bytes);
                    let body = from + HEAD_BYTES..from + frame_bytes;
                    return Ok(Some((at, &self.chunk[body])));
                }
                Decoded::Control(control) if control.kind == ControlKind::Seal => {
                    self.at = LogPosition::new(at.segment + 1, HEADER_BYTES);
                }
                Decoded::Control(_) => self.at = at.plus(CONTROL_BYTES),
                Decoded::Short(_) | Decoded::Invalid => return Err(self.damaged()),
            }
        }
    }

    fn open_segment(&mut self) -> Result<(), LogError> {
        if self.file.as_ref().is_some_and(|(index, _)| *index == self.at.segment) {
            return Ok(());
        }
        let first = lock(&self.core.segments).keys().next().copied().unwrap_or(0);
        if self.at.segment < first {
            let first = LogPosition::new(first, HEADER_BYTES);
            return Err(LogError::Released { wanted: self.at, first });
        }
        let path = self.core.path(self.at.segment);
        let file = self.core.fs.open(&path).map_err(LogError::io("open", path))?;
        self.file = Some((self.at.segment, file));
        self.chunk.clear();
        self.chunk_at = self.at.offset;
        Ok(())
    }

    /// Makes `chunk` hold the frame at the reader's position; returns its length.
    fn load_frame(&mut self, end: LogPosition) -> Result<usize, LogError> {
        let mut wanted = HEAD_BYTES;
        loop {
            let from = self.chunk_offset();
            if self.chunk.len() < from + wanted {
                self.load_chunk(end, wanted)?;
            }
            let from = self.chunk_offset();
            if self.chunk.len() < from + wanted {
                return Err(self.damaged());
            }
            match decode(&self.chunk[from..], self.at) {
                Decoded::Record(body) => return Ok(HEAD_BYTES + body.len()),
                Decoded::Control(_) => return Ok(CONTROL_BYTES),
                Decoded::Short(bytes) => wanted = bytes,
                Decoded::Invalid => return Err(self.damaged()),
            }
        }
    }

    fn load_chunk(&mut self, end: LogPosition, wanted: usize) -> Result<(), LogError> {
        let (index, file) = self.file.as_ref().expect("opened before anything is read");
        let path = self.core.path(*index);
        // In the last segment only up to the end; in others up to the end of the file.
        let limit = if *index == end.segment {
            end.offset
        } else {
            file.size().map_err(LogError::io("read", &path))?
        };
        let left = usize::try_from(limit.saturating_sub(self.at.offset)).unwrap_or(usize::MAX);
        let bytes = wanted.max(CHUNK_BYTES).min(left);
        self.chunk.resize(bytes, 0);
        self.chunk_at = self.at.offset;
        file.read_exact_at(&mut self.chunk, self.at.offset).map_err(LogError::io("read", path))
    }

    fn chunk_offset(&self) -> usize {
        usize::try_from(self.at.offset - self.chunk_at).expect("inside of a chunk in memory")
    }

    fn damaged(&self) -> LogError {
        LogError::Damaged {
            path: self.core.path(self.at.segment),
            offset: self.at.offset,
            what: "no valid record begins here".to_owned(),
        }
    }
}
