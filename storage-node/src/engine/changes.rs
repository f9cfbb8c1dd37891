//! What a commit of a flush changes besides records: the expiry index and what is counted over the file.

use std::collections::BTreeMap;

use common::key::KIND_NAMED;
use common::stored::{Body, Stored};
use redb::Table;

use crate::engine::before::decode;
use crate::engine::counts::object_count_key;
use crate::engine::file::Totals;
use crate::engine::layout::{Bytes, META_HEADERS, META_NAMED, META_STORED, expiry_key};
use crate::engine::memtable::Entry;
use crate::engine::sealed::seal;

/// What an entry of the expiry index costs in changed pages: neighbours in time share them.
pub(super) const EXPIRY_COST: u64 = 512;
/// What an entry takes in a page besides its key and its value.
const ENTRY_BYTES: u64 = 8;

/// What an entry of a table takes in a page.
pub(super) fn entry_bytes(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64 + ENTRY_BYTES
}

/// What a commit changes besides records.
#[derive(Default)]
pub(super) struct Changes {
    live: BTreeMap<Vec<u8>, i64>,
    headers: i64,
    named: i64,
    stored: i64,
    /// Keys that join the expiry index, or leave it, in the order in which that was found out.
    expiry: Vec<(Vec<u8>, bool)>,
}

/// What a write replaced.
#[derive(Default)]
pub(super) struct Replaced {
    expire_at: u64,
    header: bool,
    /// Whether it was a value.
    pub(super) value: bool,
    bytes: u64,
    /// The record, if it must stay because it is newer.
    pub(super) newer: Option<Vec<u8>>,
}

impl Changes {
    /// An object is alive, or not, as it was or was not.
    pub(super) fn live(&mut self, prefix: &[u8], servers: u8, was_alive: bool, alive: bool) {
        if alive != was_alive {
            let change = self.live.entry(object_count_key(prefix, servers)).or_default();
            *change += if alive { 1 } else { -1 };
        }
    }

    /// A record, which takes so many bytes in the file, replaces another. Returns what the expiry
    /// index costs.
    pub(super) fn record(
        &mut self,
        prefix: &[u8],
        entry: Entry<'_>,
        new: (&Stored<'_>, u64),
        old: &Replaced,
    ) -> u64 {
        let (new, bytes) = new;
        self.stored = self.stored.saturating_add_unsigned(bytes).saturating_sub_unsigned(old.bytes);
        self.headers += i64::from(is_header(new)) - i64::from(old.header);
        self.named += i64::from(is_named_value(entry, new)) - i64::from(old.value_of(entry));
        if new.expire_at() == old.expire_at {
            return 0;
        }
        for (expire_at, insert) in [(old.expire_at, false), (new.expire_at(), true)] {
            if expire_at != 0 {
                self.expiry_entry(expiry_key(expire_at, prefix, entry.suffix()), insert);
            }
        }
        EXPIRY_COST
    }

    /// A key joins the expiry index, or leaves it.
    pub(super) fn expiry_entry(&mut self, key: Vec<u8>, insert: bool) {
        self.expiry.push((key, insert));
    }

    /// Takes the changes of the counts out, so that the commit does not write them.
    pub(super) fn take_counts(&mut self) -> Self {
        let expiry = std::mem::take(&mut self.expiry);
        std::mem::replace(self, Self { expiry, ..Self::default() })
    }

    /// Writes the expiry index, and the counts, there and in `totals`.
    pub(super) fn write(
        mut self,
        expiry: &mut Table<'_, Bytes, ()>,
        meta: &mut Table<'_, Bytes, Bytes>,
        totals: &mut Totals,
    ) -> Result<(), redb::Error> {
        self.write_expiry(expiry)?;
        for (key, change) in self.live {
            let count = totals.live.get(&key).copied().unwrap_or(0).saturating_add_signed(change);
            if count == 0 {
                meta.remove(key.as_slice())?;
                totals.live.remove(&key);
            } else {
                write_number(meta, &key, count)?;
                totals.live.insert(key, count);
            }
        }
        for (key, total, change) in [
            (META_HEADERS, &mut totals.headers, self.headers),
            (META_NAMED, &mut totals.named, self.named),
            (META_STORED, &mut totals.stored, self.stored),
        ] {
            *total = total.saturating_add_signed(change);
            write_number(meta, key, *total)?;
        }
        Ok(())
    }

    /// Neighbours in time are neighbours in the index, so it is changed in its own order. Of the changes
    /// of one key the last one counts.
    fn write_expiry(&mut self, index: &mut Table<'_, Bytes, ()>) -> Result<(), redb::Error> {
        let mut changes = std::mem::take(&mut self.expiry);
        changes.sort_by(|(one, _), (other, _)| one.cmp(other));
        for same in changes.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((key, insert)) = same.last() else { continue };
            let bytes = entry_bytes(key, &[]);
            if *insert {
                if index.insert(key.as_slice(), ())?.is_none() {
                    self.stored = self.stored.saturating_add_unsigned(bytes);
                }
            } else if index.remove(key.as_slice())?.is_some() {
                self.stored = self.stored.saturating_sub_unsigned(bytes);
            }
        }
        Ok(())
    }
}

impl Replaced {
    /// The record `old` of the file, in whose place `new` is written.
    pub(super) fn of(key: &[u8], old: &[u8], new: &Stored<'_>) -> Result<Self, redb::Error> {
        let stored = decode(key, old)?;
        // Of one version, one is the tombstone that reclaim made of the other. The newer layer has
        // it right: what is read does not change when it reaches the file.
        let keeps = stored.version > new.version;
        Ok(Self {
            expire_at: stored.expire_at(),
            header: is_header(&stored),
            value: matches!(stored.body, Body::Value { .. }),
            bytes: entry_bytes(key, old),
            newer: keeps.then(|| old.to_vec()),
        })
    }

    /// Whether it was a named value, given the record in its place.
    fn value_of(&self, entry: Entry<'_>) -> bool {
        self.value && entry.suffix().first() == Some(&KIND_NAMED)
    }
}

fn write_number(
    meta: &mut Table<'_, Bytes, Bytes>,
    key: &[u8],
    number: u64,
) -> Result<(), redb::Error> {
    meta.insert(key, seal(key, &number.to_le_bytes()).as_slice())?;
    Ok(())
}

fn is_header(stored: &Stored<'_>) -> bool {
    matches!(stored.body, Body::Header { .. })
}

fn is_named_value(entry: Entry<'_>, stored: &Stored<'_>) -> bool {
    matches!(stored.body, Body::Value { .. }) && entry.suffix().first() == Some(&KIND_NAMED)
}
