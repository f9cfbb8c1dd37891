//! One group's redb file: creating, opening, reading. Writing is [`crate::engine::flush`]'s.
//!
//! redb answers some damage with a panic (it asserts what a file it wrote itself must fulfil). Every
//! call that reads the file therefore goes through [`guarded`], which turns a panic into
//! [`EngineError::Damaged`]: a damaged group must not take the other groups down.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::codec::DecodeError;
use common::key::decode_object_prefix;
use common::stored::Stored;
use redb::{
    AccessGuard, Builder, Database, Range, ReadOnlyTable, ReadableDatabase, ReadableTableMetadata,
};
use rt::panics;

use crate::engine::EngineError;
use crate::engine::backend::BackendState;
use crate::engine::checked_pages;
use crate::engine::layout::{
    Bytes, Checkpoint, EXPIRY, FORMAT, GARBAGE, META, META_CHECKPOINT, META_FORMAT, META_HEADERS,
    META_IDENTITY, META_NAMED, META_STORED, RECORDS, StoreIdentity, split_expiry_key, split_key,
};
use crate::engine::meta::Meta;
use crate::engine::open_file::OpenFile;
use crate::engine::replace::{remove_left_over, unfinished};
use crate::engine::sealed::{decode_record, seal};
use crate::files::{Fs, FsFile};

/// The database and where it lies. Shared by the worker and the flush.
#[derive(Debug)]
pub(super) struct GroupFile {
    pub(super) path: PathBuf,
    pub(super) fs: Arc<dyn Fs>,
    pub(super) cache_bytes: usize,
    handle: Mutex<Handle>,
}

/// The database as it is open now; absent if it could not be opened again after an error.
#[derive(Debug)]
pub(super) struct Handle(pub(super) Option<Arc<OpenFile>>);

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
    /// Named fields that have a value.
    pub(super) named: u64,
    /// What the entries of records and expiry index take in pages that are full.
    pub(super) stored: u64,
    /// Live objects, by [`crate::engine::layout::count_key`].
    pub(super) live: BTreeMap<Vec<u8>, u64>,
}

impl Totals {
    /// Whether no object has more than an unnamed record.
    pub(super) fn only_unnamed(&self) -> bool {
        self.headers == 0 && self.named == 0
    }
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
        redb::Error::Io(error) if error.kind() == ErrorKind::InvalidData => {
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
        fs: &Arc<dyn Fs>,
        path: &Path,
        identity: &StoreIdentity,
        servers: u8,
        cache_bytes: usize,
    ) -> Result<Self, EngineError> {
        let io = |doing| move |error| EngineError::io(path, doing, error);
        if fs.exists(path).map_err(io("create"))? {
            return Err(EngineError::Exists { file: path.to_owned() });
        }
        let unfinished = unfinished(path);
        remove_left_over(&**fs, &unfinished)?;
        let open = guarded(&unfinished, "create", || {
            let open =
                OpenFile::new(checked_pages::create(&**fs, &unfinished, &builder(cache_bytes))?);
            make_tables(&open, identity, servers)?;
            Ok(open)
        })?;
        fs.rename(&unfinished, path).map_err(io("name"))?;
        Ok(Self::new(fs, path, cache_bytes, open))
    }

    /// Opens the file of `identity` and reads what it says about itself. The caller syncs the directory
    /// here, too: whoever made the file may have been killed before its name was durable.
    pub(super) fn open(
        fs: &Arc<dyn Fs>,
        path: &Path,
        identity: &StoreIdentity,
        servers: u8,
        cache_bytes: usize,
    ) -> Result<(Self, FileState), EngineError> {
        // A copy that was not finished.
        remove_left_over(&**fs, &unfinished(path))?;
        check_begin(&**fs, path)?;
        let open = guarded(path, "open", || {
            Ok(OpenFile::new(checked_pages::open(&**fs, path, &builder(cache_bytes))?))
        })?;
        let meta = Meta::read(path, &open)?;
        meta.check_owner(identity, servers)?;
        let file_state = meta.state()?;
        Ok((Self::new(fs, path, cache_bytes, open), file_state))
    }

    fn new(fs: &Arc<dyn Fs>, path: &Path, cache_bytes: usize, open: OpenFile) -> Self {
        let handle = Mutex::new(Handle(Some(Arc::new(open))));
        Self { path: path.to_owned(), fs: Arc::clone(fs), cache_bytes, handle }
    }

    pub(super) fn handle(&self) -> MutexGuard<'_, Handle> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database. After an error it refuses everything.
    pub(super) fn database(&self) -> Result<Arc<OpenFile>, redb::Error> {
        self.handle().0.clone().ok_or(redb::Error::DatabaseClosed)
    }

    /// Opens the file again if the database refuses everything after an error: redb returns to the
    /// last commit. Whoever still reads the old one is told to begin again.
    pub(super) fn reopen_if_failed(&self) -> Result<(), EngineError> {
        self.handle().reopen_if_failed(self)
    }

    /// What the file says about itself now.
    pub(super) fn state(&self) -> Result<FileState, EngineError> {
        self.look(|open| Meta::read(&self.path, open)?.state())
    }

    /// Looks at the file; once more, opened again, if the database failed meanwhile, which it does for
    /// everybody when it does for one.
    fn look<T>(
        &self,
        look: impl Fn(&Arc<OpenFile>) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        self.reopen_if_failed()?;
        let open = guarded(&self.path, "read", || self.database())?;
        match look(&open) {
            Err(_) if open.state().has_failed() => {
                self.reopen_if_failed()?;
                look(&guarded(&self.path, "read", || self.database())?)
            }
            other => other,
        }
    }

    /// A view of the file as it is now. Whoever keeps it across a flush makes the file grow.
    pub(super) fn reader(self: &Arc<Self>) -> Result<FileReader, EngineError> {
        self.look(|open| {
            guarded(&self.path, "read", || {
                let read = open.begin_read()?;
                Ok(FileReader {
                    file: Arc::clone(self),
                    records: read.open_table(RECORDS)?,
                    expiry: read.open_table(EXPIRY)?,
                    garbage: read.open_table(GARBAGE)?,
                    open: Arc::clone(open),
                })
            })
        })
    }

    /// The file's length in bytes, and what it takes of the disk; 0 when the system does not tell.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let sizes = |file: Arc<dyn FsFile>| Ok((file.size()?, file.allocated()?));
        self.fs.open(&self.path).and_then(sizes).unwrap_or_default()
    }
}

impl Handle {
    fn reopen_if_failed(&mut self, file: &GroupFile) -> Result<(), EngineError> {
        if self.0.as_ref().is_some_and(|open| !open.state().has_failed()) {
            return Ok(());
        }
        // Somebody may still hold a transaction of it; nothing of that reaches the file any more.
        if let Some(failed) = self.0.take() {
            failed.state().fence();
        }
        let open = guarded(&file.path, "open again", || {
            Ok(checked_pages::open(&*file.fs, &file.path, &builder(file.cache_bytes))?)
        })?;
        self.0 = Some(Arc::new(OpenFile::new(open)));
        tracing::warn!(file = %file.path.display(), "opened again after an error");
        Ok(())
    }
}

pub(super) fn builder(cache_bytes: usize) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes);
    builder
}

/// Refuses what is no group file of this format, before redb reads any of it.
fn check_begin(fs: &dyn Fs, path: &Path) -> Result<(), EngineError> {
    let another = |found| EngineError::Format { file: path.to_owned(), found, known: FORMAT };
    let mut begin = checked_pages::MAGIC;
    let read = fs.open(path).and_then(|file| file.read_exact_at(&mut begin, 0));
    match read {
        Ok(()) if begin == checked_pages::MAGIC => Ok(()),
        Ok(()) => Err(match begin {
            // Formats 1 and 2 were plain redb files.
            [b'r', b'e', b'd', b'b'] => another(2),
            [b'F', b'D', b'G', digit @ b'4'..=b'9'] => another(u16::from(digit - b'0')),
            _ => EngineError::damaged(path, "it does not begin like the file of a group"),
        }),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            Err(EngineError::damaged(path, "the file is empty, or as good as"))
        }
        Err(error) => Err(EngineError::io(path, "open", error)),
    }
}

/// The content of a new file.
fn make_tables(
    database: &Database,
    identity: &StoreIdentity,
    servers: u8,
) -> Result<(), redb::Error> {
    let mut write = database.begin_write()?;
    write.set_quick_repair(true);
    write.open_table(RECORDS)?;
    write.open_table(EXPIRY)?;
    write.open_table(GARBAGE)?;
    let mut meta = write.open_table(META)?;
    meta.insert(META_FORMAT, FORMAT.to_le_bytes().as_slice())?;
    for (key, content) in [
        (META_IDENTITY, identity.encode(servers)),
        (META_CHECKPOINT, Checkpoint::default().encode()),
        (META_HEADERS, 0_u64.to_le_bytes().to_vec()),
        (META_NAMED, 0_u64.to_le_bytes().to_vec()),
        (META_STORED, 0_u64.to_le_bytes().to_vec()),
    ] {
        meta.insert(key, seal(key, &content).as_slice())?;
    }
    drop(meta);
    write.commit()?;
    Ok(())
}

/// Reads one state of the file.
pub(super) struct FileReader {
    file: Arc<GroupFile>,
    records: ReadOnlyTable<Bytes, Bytes>,
    expiry: ReadOnlyTable<Bytes, ()>,
    garbage: ReadOnlyTable<Bytes, ()>,
    /// Keeps the database open, and is dropped behind the tables.
    open: Arc<OpenFile>,
}

impl FileReader {
    /// Whether the database still answers. After an error it does not, and another reader does.
    pub(super) fn is_live(&self) -> bool {
        !self.open.state().has_failed()
    }

    /// Reads; once more, from the file opened again, if the database failed meanwhile. What the file
    /// has gained since is in the memtable that is being flushed, and hidden by it.
    fn read<T>(&self, read: impl Fn(&Self) -> Result<T, redb::Error>) -> Result<T, EngineError> {
        match guarded(&self.file.path, "read", || read(self)) {
            Err(_) if !self.is_live() => {
                let again = self.file.reader()?;
                guarded(&self.file.path, "read", || read(&again))
            }
            other => other,
        }
    }

    /// The record of a physical key, checked to be one.
    pub(super) fn get(
        &self,
        key: &[u8],
    ) -> Result<Option<AccessGuard<'static, Bytes>>, EngineError> {
        let found = self.read(|reader| {
            let found = reader.records.get(key)?;
            // It is in here that damage of the page may panic.
            if let Some(guard) = &found {
                let _ = guard.value();
            }
            Ok(found)
        })?;
        if let Some(guard) = &found {
            decode(&self.file.path, key, guard.value())?;
        }
        Ok(found)
    }

    /// The records from a physical key on.
    pub(super) fn records_from(&self, from: &[u8]) -> Result<FileRecords<'_>, EngineError> {
        let (range, state) = self.range(Bound::Included(from))?;
        Ok(FileRecords { reader: self, state, range, last: from.to_vec(), is_begun: false })
    }

    /// The records behind a bound, and the state of the database that they come from.
    fn range(&self, from: Bound<&[u8]>) -> Result<(RecordRange, BackendState), EngineError> {
        self.read(|reader| {
            let range = reader.records.range::<&[u8]>((from, Bound::Unbounded))?;
            Ok((range, reader.open.state().clone()))
        })
    }

    /// Up to `max` keys of the expiry index behind `after` that are due.
    pub(super) fn expiry_after(
        &self,
        after: &[u8],
        now_ms: u64,
        max: usize,
    ) -> Result<Vec<Box<[u8]>>, EngineError> {
        let end = now_ms.saturating_add(1).to_be_bytes();
        let end = Bound::Excluded(&end[..]);
        self.read(|reader| keys_between(&reader.expiry, after, end, max, check_expiry_key))
    }

    /// Up to `max` keys of the garbage index behind `after`.
    pub(super) fn garbage_after(
        &self,
        after: &[u8],
        max: usize,
    ) -> Result<Vec<Box<[u8]>>, EngineError> {
        let check = |key: &[u8]| decode_object_prefix(key).map(drop);
        self.read(|reader| keys_between(&reader.garbage, after, Bound::Unbounded, max, check))
    }

    /// So many records, keys of the expiry index and keys of the garbage index there are.
    pub(super) fn lengths(&self) -> Result<[u64; 3], EngineError> {
        self.read(|reader| Ok([reader.records.len()?, reader.expiry.len()?, reader.garbage.len()?]))
    }

    /// Up to `max` keys of the expiry index behind `after`, due or not.
    pub(super) fn expiry_keys_after(
        &self,
        after: &[u8],
        max: usize,
    ) -> Result<Vec<Box<[u8]>>, EngineError> {
        let end = Bound::Unbounded;
        self.read(|reader| keys_between(&reader.expiry, after, end, max, check_expiry_key))
    }

    /// What the file says about itself, value by value.
    pub(super) fn meta(&self) -> Result<Meta<'_>, EngineError> {
        Meta::read(&self.file.path, &self.open)
    }

    /// The file, for errors about what was read from it.
    pub(super) fn path(&self) -> &Path {
        &self.file.path
    }
}

/// Keys of an index. They have no checksum, so what comes from here is checked to be a key.
fn keys_between(
    table: &ReadOnlyTable<Bytes, ()>,
    after: &[u8],
    end: Bound<&[u8]>,
    max: usize,
    check: impl Fn(&[u8]) -> Result<(), DecodeError>,
) -> Result<Vec<Box<[u8]>>, redb::Error> {
    if matches!(end, Bound::Excluded(end) if after >= end) {
        return Ok(Vec::new());
    }
    let range = table.range::<&[u8]>((Bound::Excluded(after), end))?;
    let keys = range.take(max).map(|item| {
        let (key, _) = item?;
        let no_key = |error| redb::Error::Corrupted(format!("a key of an index: {error}"));
        check(key.value()).map_err(no_key)?;
        Ok(key.value().into())
    });
    keys.collect()
}

fn check_expiry_key(key: &[u8]) -> Result<(), DecodeError> {
    let (_, key) = split_expiry_key(key)?;
    let (prefix, _) = split_key(key)?;
    decode_object_prefix(prefix).map(drop)
}

type RecordRange = Range<'static, Bytes, Bytes>;

/// Records of the file in key order.
pub(super) struct FileRecords<'r> {
    reader: &'r FileReader,
    /// Of the database that `range` reads.
    state: BackendState,
    range: RecordRange,
    /// The last key that was read; before the first, the one to begin with.
    last: Vec<u8>,
    is_begun: bool,
}

/// A key and a record of the file, with the pages they lie in.
pub(super) type FileRecord = (AccessGuard<'static, Bytes>, AccessGuard<'static, Bytes>);

impl FileRecords<'_> {
    /// The next record, not checked.
    pub(super) fn next(&mut self) -> Result<Option<FileRecord>, EngineError> {
        let next = match self.step() {
            Err(_) if self.state.has_failed() => {
                self.go_on()?;
                self.step()?
            }
            other => other?,
        };
        if let Some((key, _)) = &next {
            self.last.clear();
            self.last.extend_from_slice(key.value());
            self.is_begun = true;
        }
        Ok(next)
    }

    fn step(&mut self) -> Result<Option<FileRecord>, EngineError> {
        guarded(&self.reader.file.path, "read", || {
            let next = self.range.next().transpose()?;
            // It is in here that damage of the page may panic.
            if let Some((key, value)) = &next {
                let _ = (key.value(), value.value());
            }
            Ok(next)
        })
    }

    /// Goes on behind the last record in the file opened again.
    fn go_on(&mut self) -> Result<(), EngineError> {
        let last = self.last.as_slice();
        let from = if self.is_begun { Bound::Excluded(last) } else { Bound::Included(last) };
        (self.range, self.state) = self.reader.file.reader()?.range(from)?;
        Ok(())
    }
}

/// Reads a record of the file.
pub(super) fn decode<'b>(
    path: &Path,
    key: &[u8],
    value: &'b [u8],
) -> Result<Stored<'b>, EngineError> {
    decode_record(key, value).map_err(|what| EngineError::damaged(path, what))
}
