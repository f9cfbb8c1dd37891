//! One group's redb file: creating, opening, reading. Writing is [`crate::engine::flush`]'s.
//!
//! redb answers some damage with a panic (it asserts what a file it wrote itself must fulfil). Every
//! call that reads the file therefore goes through [`guarded`], which turns a panic into
//! [`EngineError::Damaged`]: a damaged group must not take the other groups down.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::codec::DecodeError;
use common::stored::Stored;
use redb::{AccessGuard, Builder, Database, Range, ReadOnlyTable, ReadableDatabase};
use rt::panics;

use crate::engine::EngineError;
use crate::engine::layout::{
    Bytes, Checkpoint, EXPIRY, FORMAT, GARBAGE, META, META_CHECKPOINT, META_COUNT, META_FORMAT,
    META_HEADERS, META_IDENTITY, RECORDS, StoreIdentity, decode_number,
};

/// The database and where it lies. Shared by the worker and the flush.
#[derive(Debug)]
pub(super) struct GroupFile {
    pub(super) path: PathBuf,
    pub(super) database: Database,
}

/// What a file says about itself.
#[derive(Debug)]
pub(super) struct FileState {
    pub(super) checkpoint: Checkpoint,
    pub(super) totals: Totals,
}

/// What is counted over the whole file.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    /// Header records.
    pub(super) headers: u64,
    /// Live objects, by [`crate::engine::layout::count_key`].
    pub(super) live: BTreeMap<Vec<u8>, u64>,
}

/// Runs `read` and turns an error or a panic of the database into one that names the file.
pub(super) fn guarded<T>(
    file: &Path,
    doing: &'static str,
    read: impl FnOnce() -> Result<T, redb::Error>,
) -> Result<T, EngineError> {
    match panics::guard(read) {
        Ok(result) => result.map_err(|error| database_error(file, doing, error)),
        Err(text) => Err(EngineError::damaged(file, text)),
    }
}

fn database_error(file: &Path, doing: &'static str, error: redb::Error) -> EngineError {
    match error {
        redb::Error::Corrupted(what) => EngineError::damaged(file, what),
        // What redb says about a file that is none of its own.
        redb::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            EngineError::damaged(file, error.to_string())
        }
        redb::Error::Io(error) => EngineError::io(file, doing, error),
        other => EngineError::database(file, doing, other),
    }
}

impl GroupFile {
    /// Creates an empty file that belongs to `identity`. It appears under its name when it is
    /// complete; the caller syncs the directory, once for many files, before it relies on the name.
    pub(super) fn create(
        path: &Path,
        identity: &StoreIdentity,
        servers: u8,
        cache_bytes: usize,
    ) -> Result<Self, EngineError> {
        let io = |doing| move |error| EngineError::io(path, doing, error);
        if path.try_exists().map_err(io("create"))? {
            return Err(EngineError::Exists { file: path.to_owned() });
        }
        let unfinished = path.with_extension("new");
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(EngineError::io(&unfinished, "remove", error));
            }
            _ => {}
        }
        let database = guarded(&unfinished, "create", || {
            let database = Builder::new().set_cache_size(cache_bytes).create(&unfinished)?;
            let mut write = database.begin_write()?;
            write.set_quick_repair(true);
            write.open_table(RECORDS)?;
            write.open_table(EXPIRY)?;
            write.open_table(GARBAGE)?;
            let mut meta = write.open_table(META)?;
            meta.insert(META_FORMAT, FORMAT.to_le_bytes().as_slice())?;
            meta.insert(META_IDENTITY, identity.encode(servers).as_slice())?;
            meta.insert(META_CHECKPOINT, Checkpoint::default().encode().as_slice())?;
            meta.insert(META_HEADERS, 0_u64.to_le_bytes().as_slice())?;
            drop(meta);
            write.commit()?;
            Ok(database)
        })?;
        fs::rename(&unfinished, path).map_err(io("name"))?;
        Ok(Self { path: path.to_owned(), database })
    }

    /// Opens the file of `identity` and reads what it says about itself.
    pub(super) fn open(
        path: &Path,
        identity: &StoreIdentity,
        servers: u8,
        cache_bytes: usize,
    ) -> Result<(Self, FileState), EngineError> {
        let database =
            guarded(path, "open", || Ok(Builder::new().set_cache_size(cache_bytes).open(path)?))?;
        let meta = guarded(path, "read", || read_meta(&database))?;
        let damaged = |what: &'static str, e: DecodeError| {
            EngineError::damaged(path, format!("its {what} is unreadable: {e}"))
        };
        let value = |key: &[u8], what: &str| {
            let missing = || EngineError::damaged(path, format!("it has no {what}"));
            meta.get(key).map(Vec::as_slice).ok_or_else(missing)
        };
        let found = value(META_FORMAT, "format")?;
        let found = found.first_chunk::<2>().map_or(0, |bytes| u16::from_le_bytes(*bytes));
        if found != FORMAT {
            return Err(EngineError::Format { file: path.to_owned(), found, known: FORMAT });
        }
        let (owner, owner_servers) = StoreIdentity::decode(value(META_IDENTITY, "identity")?)
            .map_err(|e| damaged("identity", e))?;
        if owner != *identity {
            return Err(EngineError::Identity {
                file: path.to_owned(),
                found: Box::new(owner),
                expected: Box::new(*identity),
            });
        }
        if owner_servers != servers {
            let file = path.to_owned();
            return Err(EngineError::Servers { file, found: owner_servers, expected: servers });
        }
        let checkpoint = Checkpoint::decode(value(META_CHECKPOINT, "checkpoint")?)
            .map_err(|e| damaged("checkpoint", e))?;
        let headers = decode_number(value(META_HEADERS, "header count")?)
            .map_err(|e| damaged("header count", e))?;
        let live = meta
            .iter()
            .filter(|(key, _)| key.first() == Some(&META_COUNT))
            .map(|(key, count)| Ok((key.clone(), decode_number(count)?)))
            .collect::<Result<_, DecodeError>>()
            .map_err(|e| damaged("object counts", e))?;
        let totals = Totals { headers, live };
        Ok((Self { path: path.to_owned(), database }, FileState { checkpoint, totals }))
    }

    /// A view of the file as it is now. Whoever keeps it across a flush makes the file grow.
    pub(super) fn reader(self: &Arc<Self>) -> Result<FileReader, EngineError> {
        guarded(&self.path, "read", || {
            let read = self.database.begin_read()?;
            Ok(FileReader {
                file: Arc::clone(self),
                records: read.open_table(RECORDS)?,
                expiry: read.open_table(EXPIRY)?,
                garbage: read.open_table(GARBAGE)?,
            })
        })
    }

    /// The file's size in bytes; 0 when the system does not tell.
    pub(super) fn bytes(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |metadata| metadata.len())
    }
}

fn read_meta(database: &Database) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, redb::Error> {
    let read = database.begin_read()?;
    let mut meta = BTreeMap::new();
    for item in read.open_table(META)?.range::<&[u8]>(..)? {
        let (key, value) = item?;
        meta.insert(key.value().to_vec(), value.value().to_vec());
    }
    Ok(meta)
}

/// Reads one state of the file.
pub(super) struct FileReader {
    file: Arc<GroupFile>,
    records: ReadOnlyTable<Bytes, Bytes>,
    expiry: ReadOnlyTable<Bytes, ()>,
    garbage: ReadOnlyTable<Bytes, ()>,
}

impl FileReader {
    /// The record of a physical key, checked to be one.
    pub(super) fn get(
        &self,
        key: &[u8],
    ) -> Result<Option<AccessGuard<'static, Bytes>>, EngineError> {
        let found = guarded(&self.file.path, "read", || Ok(self.records.get(key)?))?;
        if let Some(guard) = &found {
            decode(&self.file.path, guard.value())?;
        }
        Ok(found)
    }

    /// The records from a physical key on.
    pub(super) fn records_from(&self, from: &[u8]) -> Result<FileRecords<'_>, EngineError> {
        let bounds = (Bound::Included(from), Bound::Unbounded);
        let range =
            guarded(&self.file.path, "read", || Ok(self.records.range::<&[u8]>(bounds)?))?;
        Ok(FileRecords { path: &self.file.path, range })
    }

    /// Up to `max` keys of the expiry index behind `after` that are due.
    pub(super) fn expiry_after(
        &self,
        after: &[u8],
        now_ms: u64,
        max: usize,
    ) -> Result<Vec<Box<[u8]>>, EngineError> {
        let end = now_ms.saturating_add(1).to_be_bytes();
        keys_between(&self.file.path, &self.expiry, after, Bound::Excluded(&end), max)
    }

    /// Up to `max` keys of the garbage index behind `after`.
    pub(super) fn garbage_after(
        &self,
        after: &[u8],
        max: usize,
    ) -> Result<Vec<Box<[u8]>>, EngineError> {
        keys_between(&self.file.path, &self.garbage, after, Bound::Unbounded, max)
    }

    /// The file, for errors about what was read from it.
    pub(super) fn path(&self) -> &Path {
        &self.file.path
    }
}

fn keys_between(
    path: &Path,
    table: &ReadOnlyTable<Bytes, ()>,
    after: &[u8],
    end: Bound<&[u8]>,
    max: usize,
) -> Result<Vec<Box<[u8]>>, EngineError> {
    if matches!(end, Bound::Excluded(end) if after >= end) {
        return Ok(Vec::new());
    }
    guarded(path, "read", || {
        let range = table.range::<&[u8]>((Bound::Excluded(after), end))?;
        range.take(max).map(|item| Ok(item?.0.value().into())).collect()
    })
}

/// Records of the file in key order.
pub(super) struct FileRecords<'r> {
    path: &'r Path,
    range: Range<'static, Bytes, Bytes>,
}

/// A key and a record of the file, with the pages they lie in.
pub(super) type FileRecord = (AccessGuard<'static, Bytes>, AccessGuard<'static, Bytes>);

impl FileRecords<'_> {
    /// The next record, not checked.
    pub(super) fn next(&mut self) -> Result<Option<FileRecord>, EngineError> {
        guarded(self.path, "read", || Ok(self.range.next().transpose()?))
    }
}

/// Reads a record of the file.
pub(super) fn decode<'b>(path: &Path, bytes: &'b [u8]) -> Result<Stored<'b>, EngineError> {
    Stored::decode(bytes)
        .map_err(|e| EngineError::damaged(path, format!("a record is unreadable: {e}")))
}
