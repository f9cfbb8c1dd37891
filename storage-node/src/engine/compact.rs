//! Returning the space of a group's file to the disk: redb reuses free pages and never gives them back.
//!
//! All entries are copied in key order into a file beside the live one, so that pages are full, and the
//! copy takes its name. The group serves meanwhile: reads go on in the old file, writes go to the
//! memtable, and a flush that cannot wait ends the copy. It goes in steps, each a commit of bounded size,
//! so that the flushes of other groups take their turns between them.
//!
//! Every record is checked against its checksum on the way. A copy that is not complete and durable never
//! has the name of the live file.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{Durability, Table};

use crate::engine::EngineError;
use crate::engine::changes::entry_bytes;
use crate::engine::file::{FileReader, GroupFile, decode, guarded};
use crate::engine::layout::{Bytes, EXPIRY, GARBAGE, META, META_STORED, RECORDS, split_key};
use crate::engine::readers::Readers;
use crate::engine::replace::{NotReplaced, Unfinished};
use crate::engine::rules::{Rule, holds};
use crate::engine::sealed::seal;

/// Bytes of entries that one step copies at most, but for one entry that has more.
const STEP_BYTES: usize = 4 << 20;
/// What a key of an index counts for in a step.
const KEY_BYTES: usize = 128;

/// What a group's file takes, and what it needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes of the disk that the file takes.
    pub file: u64,
    /// Bytes of its entries.
    pub stored: u64,
}

/// A copy of a group's file, on its way.
pub struct CompactJob {
    file: Arc<GroupFile>,
    readers: Arc<Readers>,
    step_bytes: usize,
    stop: StopCopy,
    begun: Option<Box<Copy>>,
}

/// Ends a copy before its next step.
#[derive(Clone, Debug, Default)]
pub(super) struct StopCopy(Arc<AtomicBool>);

/// What became of a step.
#[must_use]
pub enum CompactStep {
    /// There is more to copy.
    More(CompactJob),
    /// The copy has ended, well or not.
    Done(CompactEnd),
}

/// How a copy ended.
#[derive(Debug)]
pub enum CompactEnd {
    /// The copy is the group's file now.
    Replaced {
        /// Bytes of its entries.
        stored: u64,
    },
    /// It was given up: a flush could not wait, or the disk got short. The file is as it was.
    Stopped,
    /// The copy could not be written. The file is as it was.
    NotWritten(EngineError),
    /// The file is damaged, or could not be read. It is as it was.
    NotRead(EngineError),
    /// The copy has the name, and a power cut may take it away: nothing may be written to it.
    NotDurable(EngineError),
}

/// A copy that has begun.
struct Copy {
    reader: FileReader,
    into: Unfinished,
    /// So many entries each table has.
    lengths: [u64; 3],
    stage: Stage,
    /// The last key that was copied of the table that is being copied.
    after: Vec<u8>,
    copied: u64,
    stored: u64,
}

/// What is copied next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Records,
    Expiry,
    Garbage,
    Meta,
}

/// Why a step failed.
enum StepFailed {
    Read(EngineError),
    Write(EngineError),
    NotDurable(EngineError),
}

impl StopCopy {
    pub(super) fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl CompactJob {
    pub(super) fn new(
        file: Arc<GroupFile>,
        readers: Arc<Readers>,
        cache_bytes: usize,
        stop: StopCopy,
    ) -> Self {
        let step_bytes = (cache_bytes / 2).min(STEP_BYTES);
        Self { file, readers, step_bytes, stop, begun: None }
    }

    /// Gives the copy up at its next step.
    pub fn stop(&self) {
        self.stop.stop();
    }

    /// Copies some entries, or gives the copy the file's name. Blocks on the disk.
    pub fn step(mut self) -> CompactStep {
        if self.stop.is_stopped() {
            return self.done(CompactEnd::Stopped);
        }
        match self.try_step() {
            Ok(None) => CompactStep::More(self),
            Ok(Some(stored)) => self.done(CompactEnd::Replaced { stored }),
            Err(StepFailed::Read(error)) => self.done(CompactEnd::NotRead(error)),
            Err(StepFailed::Write(error)) => self.done(CompactEnd::NotWritten(error)),
            Err(StepFailed::NotDurable(error)) => self.done(CompactEnd::NotDurable(error)),
        }
    }

    fn done(self, ended: CompactEnd) -> CompactStep {
        let Self { file, begun, .. } = self;
        drop(begun);
        // A flush expects a database that answers.
        if let Err(error) = file.reopen_if_failed() {
            tracing::error!(%error, "not opened again after a copy failed");
        }
        CompactStep::Done(ended)
    }

    /// Returns the bytes of the file's entries when the copy is the file.
    fn try_step(&mut self) -> Result<Option<u64>, StepFailed> {
        let copy = match &mut self.begun {
            Some(copy) => copy,
            none => none.insert(Box::new(Copy::begin(&self.file)?)),
        };
        if copy.stage != Stage::Meta {
            copy.step(self.step_bytes)?;
            return Ok(None);
        }
        let stored = copy.finish()?;
        let Some(copy) = self.begun.take() else { return Ok(None) };
        let Copy { into, reader, .. } = *copy;
        drop(reader);
        let replaced = self.file.replace(into);
        // Behind it, so that no other one of the old file is opened.
        self.readers.renew();
        replaced.map_err(|error| match error {
            NotReplaced::Unchanged(error) => StepFailed::Write(error),
            NotReplaced::NotDurable(error) => StepFailed::NotDurable(error),
        })?;
        Ok(Some(stored))
    }
}

/// Entries of a table: keys and values.
type Entries = Vec<(Box<[u8]>, Box<[u8]>)>;

impl Copy {
    fn begin(file: &Arc<GroupFile>) -> Result<Self, StepFailed> {
        let reader = file.reader().map_err(StepFailed::Read)?;
        let lengths = reader.lengths().map_err(StepFailed::Read)?;
        let into = file.begin_copy().map_err(StepFailed::Write)?;
        let (stage, after) = (Stage::Records, Vec::new());
        Ok(Self { reader, into, lengths, stage, after, copied: 0, stored: 0 })
    }

    /// Copies the next entries of a table and commits them.
    fn step(&mut self, bytes: usize) -> Result<(), StepFailed> {
        let entries = match self.stage {
            Stage::Records => self.records(bytes),
            _ => self.keys((bytes / KEY_BYTES).max(1)),
        };
        let entries = entries.map_err(StepFailed::Read)?;
        let Some((last, _)) = entries.last() else {
            return self.next_table().map_err(StepFailed::Read);
        };
        self.after = last.to_vec();
        self.copied += entries.len() as u64;
        if self.stage != Stage::Garbage {
            self.stored += entries.iter().map(|(key, value)| entry_bytes(key, value)).sum::<u64>();
        }
        let table = self.stage;
        guarded(&self.into.path, "write", || {
            let write = self.into.database()?.begin_write()?;
            match table {
                Stage::Records => append_records(write.open_table(RECORDS)?, &entries)?,
                Stage::Expiry => append_keys(write.open_table(EXPIRY)?, &entries)?,
                _ => append_keys(write.open_table(GARBAGE)?, &entries)?,
            }
            Ok(write.commit()?)
        })
        .map_err(StepFailed::Write)
    }

    /// The next records, of so many bytes.
    fn records(&self, bytes: usize) -> Result<Entries, EngineError> {
        let path = self.reader.path();
        let mut entries = Entries::new();
        // The key behind the last one.
        let from = [&self.after[..], &[0]].concat();
        let mut records = self.reader.records_from(if self.copied == 0 { &[] } else { &from })?;
        let mut left = bytes;
        while left > 0
            && let Some((key, value)) = records.next()?
        {
            let (key, value) = (key.value(), value.value());
            decode(path, key, value)?;
            split_key(key).map_err(|error| EngineError::damaged(path, error.to_string()))?;
            self.in_order(&entries, key)?;
            left = left.saturating_sub(key.len() + value.len());
            entries.push((key.into(), value.into()));
        }
        Ok(entries)
    }

    /// The next keys of an index, at most so many.
    fn keys(&self, max: usize) -> Result<Entries, EngineError> {
        let keys = match self.stage {
            Stage::Expiry => self.reader.expiry_keys_after(&self.after, max)?,
            _ => self.reader.garbage_after(&self.after, max)?,
        };
        let mut entries = Entries::new();
        for key in keys {
            self.in_order(&entries, &key)?;
            entries.push((key, Box::default()));
        }
        Ok(entries)
    }

    /// Refuses a key that is not behind the one before it.
    fn in_order(&self, entries: &Entries, key: &[u8]) -> Result<(), EngineError> {
        let first = self.copied == 0 && entries.is_empty();
        if first || entries.last().map_or(&self.after[..], |(last, _)| last) < key {
            return Ok(());
        }
        Err(EngineError::damaged(self.reader.path(), "its keys are not in order".to_owned()))
    }

    /// Goes on with the next table, if nothing of this one was missed.
    fn next_table(&mut self) -> Result<(), EngineError> {
        let (length, next) = match self.stage {
            Stage::Records => (self.lengths[0], Stage::Expiry),
            Stage::Expiry => (self.lengths[1], Stage::Garbage),
            Stage::Garbage | Stage::Meta => (self.lengths[2], Stage::Meta),
        };
        if self.copied != length {
            let what = format!("{} entries of {length} were found in a table", self.copied);
            return Err(EngineError::damaged(self.reader.path(), what));
        }
        (self.stage, self.copied) = (next, 0);
        self.after.clear();
        Ok(())
    }

    /// Copies what the file says about itself, and makes the copy durable. Returns the bytes of the
    /// entries.
    fn finish(&mut self) -> Result<u64, StepFailed> {
        let meta = self.reader.meta().map_err(StepFailed::Read)?;
        let values = meta.checked_values().map_err(StepFailed::Read)?;
        guarded(&self.into.path, "write", || {
            let mut write = self.into.database()?.begin_write()?;
            write.set_quick_repair(true);
            if !holds(Rule::CopyDurable) {
                write.set_durability(Durability::None)?;
            }
            // A table without entries was not made.
            write.open_table(RECORDS)?;
            write.open_table(EXPIRY)?;
            write.open_table(GARBAGE)?;
            let mut table = write.open_table(META)?;
            for (key, value) in values {
                table.insert(key.as_slice(), value.as_slice())?;
            }
            let stored = seal(META_STORED, &self.stored.to_le_bytes());
            table.insert(META_STORED, stored.as_slice())?;
            drop(table);
            Ok(write.commit()?)
        })
        .map_err(StepFailed::Write)?;
        Ok(self.stored)
    }
}

/// Appends records behind those of a table: its pages become full.
fn append_records(
    mut table: Table<'_, Bytes, Bytes>,
    entries: &Entries,
) -> Result<(), redb::Error> {
    let mut end = table.upper_bound_mut(Bound::<&[u8]>::Unbounded)?;
    for (key, value) in entries {
        end.insert_before(&**key, &**value)?;
    }
    Ok(end.close()?)
}

/// Appends keys behind those of an index.
fn append_keys(mut table: Table<'_, Bytes, ()>, entries: &Entries) -> Result<(), redb::Error> {
    let mut end = table.upper_bound_mut(Bound::<&[u8]>::Unbounded)?;
    for (key, _) in entries {
        end.insert_before(&**key, ())?;
    }
    Ok(end.close()?)
}
