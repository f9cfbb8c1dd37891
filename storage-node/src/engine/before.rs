//! What the file holds of the objects that a flush writes, before it writes them.

use common::key::KIND_NAMED;
use common::reply::ObjectKind;
use common::stored::{Body, Stored};
use common::version::Version;
use redb::{AccessGuard, Database, Range, ReadOnlyTable, ReadableDatabase, ReadableTable};

use crate::engine::layers::kind_by;
use crate::engine::layout::{Bytes, RECORDS};
use crate::engine::memtable::Fields;
use crate::engine::sealed::decode_record;
use crate::engine::visible::{BEFORE_ALL_EXPIRY, Hiding};

/// So many records are stepped over before it is cheaper to search.
const STEPS_MAX: usize = 8;

/// What there is of one object, expiry left aside.
#[derive(Debug)]
pub(super) struct ObjectState {
    /// What its header and its unnamed record hide.
    pub(super) hiding: Hiding,
    /// The greatest version of a record that was looked at.
    pub(super) newest: Version,
    /// Whether anything of it is visible.
    pub(super) alive: bool,
    /// Whether it has a named value.
    pub(super) has_named: bool,
    /// Whether it has an unnamed value.
    pub(super) has_unnamed: bool,
    records: bool,
}

impl ObjectState {
    fn absent() -> Self {
        Self {
            hiding: Hiding::new(None, None, BEFORE_ALL_EXPIRY),
            newest: Version::default(),
            alive: false,
            has_named: false,
            has_unnamed: false,
            records: false,
        }
    }

    /// Whether there is no record of it.
    pub(super) fn is_absent(&self) -> bool {
        !self.records
    }

    /// Reads it from a table.
    pub(super) fn read(
        records: &impl ReadableTable<Bytes, Bytes>,
        prefix: &[u8],
    ) -> Result<Self, redb::Error> {
        let mut state = Self::absent();
        for item in records.range::<&[u8]>(prefix..)? {
            let (key, value) = item?;
            let Some(suffix) = key.value().strip_prefix(prefix) else {
                break;
            };
            if state.add(suffix, &decode(key.value(), value.value())?) {
                break;
            }
        }
        Ok(state)
    }

    /// That of an object with these records only.
    pub(super) fn of(records: Fields<'_>) -> Self {
        let mut state = Self::absent();
        for entry in records.from(&[]) {
            if state.add(entry.suffix(), &entry.stored()) {
                break;
            }
        }
        state
    }

    /// Takes the next record into account, in suffix order. Returns whether more would tell nothing.
    fn add(&mut self, suffix: &[u8], stored: &Stored<'_>) -> bool {
        self.records = true;
        self.newest = self.newest.max(stored.version);
        self.alive |= kind_by(&mut self.hiding, suffix, stored) != ObjectKind::Missing;
        if matches!(stored.body, Body::Value { .. }) {
            let named = suffix.first() == Some(&KIND_NAMED);
            self.has_named |= named;
            self.has_unnamed |= !named;
        }
        self.alive && self.has_named
    }
}

type Record = (AccessGuard<'static, Bytes>, AccessGuard<'static, Bytes>);

/// The file as it is when a commit begins, walked in key order. It must be dropped before the commit,
/// or the commit's old pages stay in the file.
pub(super) struct Before {
    records: ReadOnlyTable<Bytes, Bytes>,
    range: Option<Range<'static, Bytes, Bytes>>,
    ahead: Option<Record>,
}

impl Before {
    /// The file as it is now.
    pub(super) fn new(database: &Database) -> Result<Self, redb::Error> {
        let records = database.begin_read()?.open_table(RECORDS)?;
        Ok(Self { records, range: None, ahead: None })
    }

    /// What the file has of an object. Objects are asked for in key order.
    pub(super) fn state(&mut self, prefix: &[u8]) -> Result<ObjectState, redb::Error> {
        self.seek(prefix)?;
        let mut state = ObjectState::absent();
        while let Some((key, value)) = &self.ahead {
            let Some(suffix) = key.value().strip_prefix(prefix) else {
                break;
            };
            if state.add(suffix, &decode(key.value(), value.value())?) {
                break;
            }
            self.step()?;
        }
        Ok(state)
    }

    /// Goes to the first record that is not below a key.
    fn seek(&mut self, from: &[u8]) -> Result<(), redb::Error> {
        let is_below =
            |ahead: &Option<Record>| ahead.as_ref().is_some_and(|(key, _)| key.value() < from);
        if self.range.is_some() {
            for _ in 0..STEPS_MAX {
                if !is_below(&self.ahead) {
                    return Ok(());
                }
                self.step()?;
            }
            if !is_below(&self.ahead) {
                return Ok(());
            }
        }
        self.range = Some(self.records.range::<&[u8]>(from..)?);
        self.step()
    }

    fn step(&mut self) -> Result<(), redb::Error> {
        self.ahead = match &mut self.range {
            Some(range) => range.next().transpose()?,
            None => None,
        };
        Ok(())
    }
}

/// Reads a record of the file.
pub(super) fn decode<'v>(key: &[u8], value: &'v [u8]) -> Result<Stored<'v>, redb::Error> {
    decode_record(key, value).map_err(redb::Error::Corrupted)
}
