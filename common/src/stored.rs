//! The value side of a physical key: what redb files, log records and memtables hold for it.
//!
//! ```text
//! tag u8 | version 20 bytes | expire_at u64 (tags 2 and 4) | cleared 20 bytes (tag 4) | value (tags 1 and 2)
//! ```
//!
//! Integers are little-endian. Tag 1: a value that never expires; 2: one that does; 3: a tombstone;
//! 4: an object header.

use crate::codec::{DecodeError, Put, Reader};
use crate::version::Version;

const TAG_VALUE: u8 = 1;
const TAG_EXPIRING: u8 = 2;
const TAG_TOMBSTONE: u8 = 3;
const TAG_HEADER: u8 = 4;

/// One record as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored<'a> {
    /// Who wrote it when.
    pub version: Version,
    /// What was written.
    pub body: Body<'a>,
}

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// A value.
    Value {
        /// Absolute expiry in milliseconds since 1970; 0 is never.
        expire_at: u64,
        /// The bytes.
        value: &'a [u8],
    },
    /// The record was deleted.
    Tombstone,
    /// The header of an object.
    Header {
        /// Absolute expiry of the whole object in milliseconds since 1970; 0 is never.
        expire_at: u64,
        /// Every field with a version at or below this one is hidden.
        cleared: Version,
    },
}

impl<'a> Stored<'a> {
    /// Appends the encoding to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self.body {
            Body::Value { expire_at: 0, value } => {
                out.put_u8(TAG_VALUE);
                out.put_version(self.version);
                out.put(value);
            }
            Body::Value { expire_at, value } => {
                out.put_u8(TAG_EXPIRING);
                out.put_version(self.version);
                out.put_u64(expire_at);
                out.put(value);
            }
            Body::Tombstone => {
                out.put_u8(TAG_TOMBSTONE);
                out.put_version(self.version);
            }
            Body::Header { expire_at, cleared } => {
                out.put_u8(TAG_HEADER);
                out.put_version(self.version);
                out.put_u64(expire_at);
                out.put_version(cleared);
            }
        }
    }

    /// Length of the encoding in bytes.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        21 + match self.body {
            Body::Value { expire_at: 0, value } => value.len(),
            Body::Value { value, .. } => 8 + value.len(),
            Body::Tombstone => 0,
            Body::Header { .. } => 28,
        }
    }

    /// Reads an encoding; the value borrows from `bytes`.
    ///
    /// # Errors
    /// The bytes are not an encoding.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let tag = reader.u8("record tag")?;
        let version = reader.version()?;
        let body = match tag {
            TAG_VALUE => return Ok(Self::value(version, 0, reader.rest())),
            TAG_EXPIRING => {
                let expire_at = reader.u64("expiry")?;
                return Ok(Self::value(version, expire_at, reader.rest()));
            }
            TAG_TOMBSTONE => Body::Tombstone,
            TAG_HEADER => {
                Body::Header { expire_at: reader.u64("expiry")?, cleared: reader.version()? }
            }
            other => return Err(DecodeError::Unknown("record tag", u64::from(other))),
        };
        reader.end()?;
        Ok(Self { version, body })
    }

    fn value(version: Version, expire_at: u64, value: &'a [u8]) -> Self {
        Self { version, body: Body::Value { expire_at, value } }
    }

    /// The expiry in milliseconds since 1970; 0 is never.
    #[must_use]
    pub fn expire_at(&self) -> u64 {
        match self.body {
            Body::Value { expire_at, .. } | Body::Header { expire_at, .. } => expire_at,
            Body::Tombstone => 0,
        }
    }
}

/// Whether something with this expiry is gone at `now_ms` (0 never expires).
#[must_use]
pub fn is_expired(expire_at: u64, now_ms: u64) -> bool {
    expire_at != 0 && expire_at <= now_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_gone_at_its_expiry_and_not_before() {
        assert!(!is_expired(0, u64::MAX));
        assert!(!is_expired(1_001, 1_000));
        assert!(is_expired(1_000, 1_000));
    }
}
