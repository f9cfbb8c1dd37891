//! A record that exists for a client.

use common::reply::Found;
use common::stored::{Body, Stored};
use common::version::Version;

/// A record that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Live<'a> {
    pub(super) version: Version,
    /// Its own expiry in milliseconds since 1970; 0 is never.
    pub(super) expire_at: u64,
    pub(super) value: &'a [u8],
}

impl<'a> Live<'a> {
    /// The value in a stored record. Whether it exists is for the caller to know.
    pub(super) fn of(stored: &Stored<'a>) -> Option<Self> {
        match stored.body {
            Body::Value { expire_at, value } => {
                Some(Self { version: stored.version, expire_at, value })
            }
            Body::Tombstone | Body::Header { .. } => None,
        }
    }

    /// The length of the value.
    pub(super) fn total(&self) -> u32 {
        u32::try_from(self.value.len()).expect("values are checked against VALUE_BYTES_MAX")
    }

    /// The record with `part` of its value, as it is answered.
    pub(super) fn found(&self, part: &'a [u8]) -> Found<'a> {
        Found { version: self.version, expire_at: self.expire_at, total: self.total(), value: part }
    }
}
