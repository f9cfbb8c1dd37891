//! Reading what a group's file says about itself.

use std::collections::BTreeMap;
use std::path::Path;

use common::codec::DecodeError;
use redb::{Database, ReadableDatabase};

use crate::engine::EngineError;
use crate::engine::file::{FileState, Totals, guarded};
use crate::engine::layout::{
    Checkpoint, FORMAT, META, META_CHECKPOINT, META_COUNT, META_FORMAT, META_HEADERS,
    META_IDENTITY, META_NAMED, META_STORED, StoreIdentity, decode_number,
};
use crate::engine::sealed::unseal;

/// The meta table.
pub(super) struct Meta<'p> {
    path: &'p Path,
    values: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl<'p> Meta<'p> {
    /// Reads the table, and no more than its format if that is another one.
    pub(super) fn read(path: &'p Path, database: &Database) -> Result<Self, EngineError> {
        let values = guarded(path, "read", || read_values(database))?;
        let meta = Self { path, values };
        let found = meta.raw(META_FORMAT, "format")?;
        let found = found.first_chunk::<2>().map_or(0, |bytes| u16::from_le_bytes(*bytes));
        if found != FORMAT {
            return Err(EngineError::Format { file: path.to_owned(), found, known: FORMAT });
        }
        Ok(meta)
    }

    fn raw(&self, key: &[u8], what: &str) -> Result<&[u8], EngineError> {
        let missing = || EngineError::damaged(self.path, format!("it has no {what}"));
        self.values.get(key).map(Vec::as_slice).ok_or_else(missing)
    }

    fn value<T>(
        &self,
        key: &[u8],
        what: &str,
        decode: impl FnOnce(&[u8]) -> Result<T, DecodeError>,
    ) -> Result<T, EngineError> {
        let damaged = |why: &dyn std::fmt::Display| {
            EngineError::damaged(self.path, format!("its {what} is unreadable: {why}"))
        };
        let content = unseal(key, self.raw(key, what)?).map_err(|e| damaged(&e))?;
        decode(content).map_err(|e| damaged(&e))
    }

    /// Refuses the file of another owner.
    pub(super) fn check_owner(
        &self,
        identity: &StoreIdentity,
        servers: u8,
    ) -> Result<(), EngineError> {
        let (owner, found) = self.value(META_IDENTITY, "identity", StoreIdentity::decode)?;
        let file = || self.path.to_owned();
        if owner != *identity {
            let (found, expected) = (Box::new(owner), Box::new(*identity));
            return Err(EngineError::Identity { file: file(), found, expected });
        }
        if found != servers {
            return Err(EngineError::Servers { file: file(), found, expected: servers });
        }
        Ok(())
    }

    /// All keys and values, checked to be what was written.
    pub(super) fn checked_values(&self) -> Result<&BTreeMap<Vec<u8>, Vec<u8>>, EngineError> {
        for (key, value) in self.values.iter().filter(|(key, _)| *key != META_FORMAT) {
            let damaged = |why| EngineError::damaged(self.path, format!("a meta value: {why}"));
            unseal(key, value).map_err(damaged)?;
        }
        Ok(&self.values)
    }

    /// How far the file is, and what it has.
    pub(super) fn state(&self) -> Result<FileState, EngineError> {
        let checkpoint = self.value(META_CHECKPOINT, "checkpoint", Checkpoint::decode)?;
        let headers = self.value(META_HEADERS, "header count", decode_number)?;
        let counts = self.values.keys().filter(|key| key.first() == Some(&META_COUNT));
        let live: Result<BTreeMap<_, _>, EngineError> = counts
            .map(|key| Ok((key.clone(), self.value(key, "object counts", decode_number)?)))
            .collect();
        let named = self.value(META_NAMED, "number of named fields", decode_number)?;
        let stored = self.value(META_STORED, "number of bytes", decode_number)?;
        let totals = Totals { headers, named, stored, live: live? };
        Ok(FileState { checkpoint, totals })
    }
}

fn read_values(database: &Database) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, redb::Error> {
    let read = database.begin_read()?;
    let mut values = BTreeMap::new();
    for item in read.open_table(META)?.range::<&[u8]>(..)? {
        let (key, value) = item?;
        values.insert(key.value().to_vec(), value.value().to_vec());
    }
    Ok(values)
}
