//! The control file: creating, opening, changing. All calls block on the disk.
//!
//! It is small and read whole at every open, with the checksums of all its pages: a voter that
//! forgets what it answered breaks the register, so a doubtful file is refused.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::codec::DecodeError;
use common::ids::{Epoch, Lane, LogicGroup};
use redb::{
    Builder, Database, Durability, ReadableDatabase, ReadableTable, Table, WriteTransaction,
};
use rt::panics;

use crate::engine::backend::{self, BackendState};
use crate::files::{Fs, parent};

use super::boot::may_have_forgotten;
use super::error::ControlError;
use super::kept::{Change, Kept, Started};
use super::layout::{
    FORGOT, FORMAT, META, META_ADMITTED, META_BOOT, META_CLEAN, META_FORMAT, META_IDENTITY,
    META_LIFE, META_VOTERS, NodeIdentity, PROMISES, REGISTERS, decode_boot, decode_clean,
    decode_format, decode_generation, decode_life, decode_slot, decode_voters, encode_slot,
    encode_voters, lane, lane_key,
};

/// Page cache: a commit touches few pages.
const CACHE_BYTES: usize = 4 << 20;

/// The open file. Only one process at a time has it.
#[derive(Debug)]
pub struct ControlStore {
    path: PathBuf,
    database: Database,
    state: BackendState,
    commits: u64,
}

impl ControlStore {
    /// Creates an empty file that belongs to `identity`. It appears under its name when it is
    /// complete.
    ///
    /// # Errors
    /// There is one already, or the disk refuses.
    pub fn create(
        fs: &dyn Fs,
        path: &Path,
        identity: &NodeIdentity,
    ) -> Result<(Self, Kept), ControlError> {
        let io = |doing| move |error| ControlError::io(path, doing, error);
        if fs.exists(path).map_err(io("create"))? {
            return Err(ControlError::Exists { file: path.to_owned() });
        }
        let unfinished = path.with_extension("new");
        match fs.remove(&unfinished) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(ControlError::io(&unfinished, "remove", error));
            }
            _ => {}
        }
        let (database, state) = guarded(&unfinished, "create", || {
            let mut builder = Builder::new();
            builder.set_cache_size(CACHE_BYTES);
            let (database, state) = backend::create(fs, &unfinished, &builder)?;
            make_tables(&database, identity)?;
            Ok((database, state))
        })?;
        fs.rename(&unfinished, path).map_err(io("name"))?;
        fs.sync_dir(parent(path)).map_err(io("sync the directory of"))?;
        Ok((Self { path: path.to_owned(), database, state, commits: 0 }, Kept::default()))
    }

    /// Opens the file of `identity` and reads all of it.
    ///
    /// # Errors
    /// It is missing, damaged, of another format or owner, or the disk refuses. All name the file.
    pub fn open(
        fs: &dyn Fs,
        path: &Path,
        identity: &NodeIdentity,
    ) -> Result<(Self, Kept), ControlError> {
        if !fs.exists(path).map_err(|e| ControlError::io(path, "open", e))? {
            return Err(ControlError::Missing { file: path.to_owned() });
        }
        // Whoever made it may have been killed before its name was durable.
        let named = fs.sync_dir(parent(path));
        named.map_err(|e| ControlError::io(path, "sync the directory of", e))?;
        let (database, state) = open_database(fs, path)?;
        check_owner(path, &database, identity)?;
        let kept = guarded(path, "read", || read_kept(&database))?;
        Ok((Self { path: path.to_owned(), database, state, commits: 0 }, kept))
    }

    /// Writes down a process start: a greater life, this boot, and that the process may end without
    /// a clean stop. If a power cut may have shortened the log since the last start, all lanes that
    /// this server ever promised an epoch of count as forgotten, and `lanes_held`: those of which
    /// it has records.
    ///
    /// # Errors
    /// The disk refuses; the process must not go on with this store.
    pub fn start_life(
        &mut self,
        boot_id: &str,
        lanes_held: impl IntoIterator<Item = Lane>,
        least: u64,
    ) -> Result<Started, ControlError> {
        self.write(|write| {
            let mut meta = write.open_table(META)?;
            let life = least.max(value(&meta, META_LIFE, decode_life)? + 1);
            let last_boot = value(&meta, META_BOOT, decode_boot)?;
            let clean = value(&meta, META_CLEAN, decode_clean)?;
            meta.insert(META_LIFE, life.to_le_bytes().as_slice())?;
            meta.insert(META_BOOT, boot_id.as_bytes())?;
            meta.insert(META_CLEAN, [0].as_slice())?;
            let mut table = write.open_table(FORGOT)?;
            if may_have_forgotten(&last_boot, boot_id, clean) {
                for held in lanes_held {
                    table.insert(lane_key(held), ())?;
                }
                // A lane may have lost all it had in the log, but nobody holds a record of a lane
                // without having promised an epoch.
                for promised in write.open_table(PROMISES)?.iter()? {
                    table.insert(promised?.0.value(), ())?;
                }
            }
            let mut forgot = BTreeSet::new();
            for item in table.iter()? {
                forgot.insert(lane(item?.0.value()));
            }
            Ok(Started { life, forgot })
        })
    }

    /// Makes all changes durable, in their order, in one transaction: all or none of them.
    ///
    /// # Errors
    /// The disk refuses. Whether the changes are in the file is open then, and the file is written
    /// no more until it is opened again; [`Self::is_full`] says whether that may help.
    pub fn commit(&mut self, changes: &[Change]) -> Result<(), ControlError> {
        self.write(|write| {
            let mut tables = Tables {
                meta: write.open_table(META)?,
                registers: write.open_table(REGISTERS)?,
                promises: write.open_table(PROMISES)?,
                forgot: write.open_table(FORGOT)?,
            };
            changes.iter().try_for_each(|change| tables.apply(change))
        })
    }

    /// Whether the disk had no room for a commit, and nothing else failed: it may be made again when
    /// the file was opened again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.state.was_full() && self.state.may_try_again()
    }

    /// Opens the file again after a commit that found no room.
    ///
    /// # Errors
    /// The disk refuses, perhaps for want of room; then it can be tried again.
    pub fn reopen(&mut self, fs: &dyn Fs) -> Result<(), ControlError> {
        self.state.fence();
        (self.database, self.state) = open_database(fs, &self.path)?;
        Ok(())
    }

    /// Transactions written through this handle, creation apart.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits
    }

    /// Where the file lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A store on a disk of a test.
    #[cfg(test)]
    pub(super) fn on_backend(
        path: &Path,
        identity: &NodeIdentity,
        backend: impl redb::StorageBackend,
    ) -> Result<Self, ControlError> {
        let database = guarded(path, "create", || {
            let database = Builder::new().create_with_backend(backend)?;
            make_tables(&database, identity)?;
            Ok(database)
        })?;
        let state = BackendState::default();
        Ok(Self { path: path.to_owned(), database, state, commits: 0 })
    }

    fn write<T>(
        &mut self,
        change: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, ControlError> {
        let done = guarded(&self.path, "write", || {
            let write = begin(&self.database)?;
            let done = change(&write)?;
            write.commit()?;
            Ok(done)
        })?;
        self.commits += 1;
        Ok(done)
    }
}

fn open_database(fs: &dyn Fs, path: &Path) -> Result<(Database, BackendState), ControlError> {
    guarded(path, "open", || {
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
        Ok(backend::open(fs, path, &builder)?)
    })
}

/// The content of a new file.
fn make_tables(database: &Database, identity: &NodeIdentity) -> Result<(), redb::Error> {
    let write = begin(database)?;
    write.open_table(REGISTERS)?;
    write.open_table(PROMISES)?;
    write.open_table(FORGOT)?;
    let mut meta = write.open_table(META)?;
    meta.insert(META_FORMAT, FORMAT.to_le_bytes().as_slice())?;
    meta.insert(META_IDENTITY, identity.encode().as_slice())?;
    meta.insert(META_LIFE, 0_u64.to_le_bytes().as_slice())?;
    meta.insert(META_BOOT, b"".as_slice())?;
    meta.insert(META_CLEAN, [1].as_slice())?;
    drop(meta);
    write.commit()?;
    Ok(())
}

/// A transaction that is on the disk when its commit returns, and that the next open need not
/// repair.
fn begin(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut write = database.begin_write()?;
    write.set_durability(Durability::Immediate)?;
    write.set_quick_repair(true);
    Ok(write)
}

/// The tables of a transaction.
struct Tables<'t> {
    meta: Table<'t, &'static str, &'static [u8]>,
    registers: Table<'t, u16, &'static [u8]>,
    promises: Table<'t, (u16, u8), u64>,
    forgot: Table<'t, (u16, u8), ()>,
}

impl Tables<'_> {
    fn apply(&mut self, change: &Change) -> Result<(), redb::Error> {
        match change {
            Change::Slot(group, slot) => {
                self.registers.insert(group.0, encode_slot(slot).as_slice())?;
            }
            Change::Promise(lane, epoch) => {
                let key = lane_key(*lane);
                let kept = self.promises.get(key)?.map(|promised| promised.value());
                if kept.is_none_or(|kept| kept < epoch.0) {
                    self.promises.insert(key, epoch.0)?;
                }
            }
            Change::CaughtUp(lane) => {
                self.forgot.remove(lane_key(*lane))?;
            }
            Change::Voters(set) => {
                self.meta.insert(META_VOTERS, encode_voters(set).as_slice())?;
            }
            Change::Admitted(generation) => {
                self.meta.insert(META_ADMITTED, generation.0.to_le_bytes().as_slice())?;
            }
            Change::CleanStop => {
                self.meta.insert(META_CLEAN, [1].as_slice())?;
            }
        }
        Ok(())
    }
}

/// The format first: what else the file holds is this program's to read only then.
fn check_owner(
    path: &Path,
    database: &Database,
    identity: &NodeIdentity,
) -> Result<(), ControlError> {
    let format = guarded(path, "read", || {
        let meta = database.begin_read()?.open_table(META)?;
        value(&meta, META_FORMAT, decode_format)
    })?;
    if format != FORMAT {
        return Err(ControlError::Format { file: path.to_owned(), found: format, known: FORMAT });
    }
    let owner = guarded(path, "read", || {
        let meta = database.begin_read()?.open_table(META)?;
        value(&meta, META_IDENTITY, NodeIdentity::decode)
    })?;
    if owner != *identity {
        return Err(ControlError::Identity {
            file: path.to_owned(),
            found: Box::new(owner),
            expected: Box::new(*identity),
        });
    }
    Ok(())
}

fn read_kept(database: &Database) -> Result<Kept, redb::Error> {
    let read = database.begin_read()?;
    let meta = read.open_table(META)?;
    let mut kept = Kept {
        life: value(&meta, META_LIFE, decode_life)?,
        voters: optional(&meta, META_VOTERS, decode_voters)?.unwrap_or_default(),
        admitted: optional(&meta, META_ADMITTED, decode_generation)?,
        ..Kept::default()
    };
    for item in read.open_table(REGISTERS)?.iter()? {
        let (group, slot) = item?;
        let group = LogicGroup(group.value());
        let slot = decode_slot(slot.value()).map_err(|e| unreadable(&group.to_string(), e))?;
        kept.slots.insert(group, slot);
    }
    for item in read.open_table(PROMISES)?.iter()? {
        let (key, epoch) = item?;
        kept.promises.insert(lane(key.value()), Epoch(epoch.value()));
    }
    for item in read.open_table(FORGOT)?.iter()? {
        kept.forgot.insert(lane(item?.0.value()));
    }
    Ok(kept)
}

/// A meta value that may be absent.
fn optional<T>(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &str,
    decode: impl FnOnce(&[u8]) -> Result<T, DecodeError>,
) -> Result<Option<T>, redb::Error> {
    let Some(bytes) = meta.get(key)? else { return Ok(None) };
    decode(bytes.value()).map(Some).map_err(|error| unreadable(key, error))
}

/// A meta value that every file has.
fn value<T>(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &str,
    decode: impl FnOnce(&[u8]) -> Result<T, DecodeError>,
) -> Result<T, redb::Error> {
    let found = optional(meta, key, decode)?;
    found.ok_or_else(|| redb::Error::Corrupted(format!("it has no value `{key}`")))
}

fn unreadable(what: &str, error: DecodeError) -> redb::Error {
    redb::Error::Corrupted(format!("its value of `{what}` is unreadable: {error}"))
}

/// Runs `work` and turns an error or a panic of the database into one that names the file.
fn guarded<T>(
    file: &Path,
    doing: &'static str,
    work: impl FnOnce() -> Result<T, redb::Error>,
) -> Result<T, ControlError> {
    match panics::guard(work) {
        Ok(result) => result.map_err(|error| ControlError::database(file, doing, error)),
        Err(text) => Err(ControlError::damaged(file, text)),
    }
}
