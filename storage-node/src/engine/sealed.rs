//! Checksums of what the group's file holds. Pages have their own
//! ([`checked_pages`](crate::engine::checked_pages)), compared when they come from the disk; these are
//! compared whenever a value is read, and also tell what changed in a cache.
//!
//! ```text
//! crc32c u32, little-endian, over the key and the content | content
//! ```
//! The key is in it, so that nothing is taken for the value of another key either.

use common::stored::Stored;
use thiserror::Error;

/// A byte changed since the value was written.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("its checksum does not match")]
pub(super) struct BadChecksum;

const CRC_BYTES: usize = 4;

fn checksum(key: &[u8], content: &[u8]) -> [u8; CRC_BYTES] {
    crc32c::crc32c_append(crc32c::crc32c(key), content).to_le_bytes()
}

/// Makes `out` the value that stands for `content` in the file.
pub(super) fn seal_into(out: &mut Vec<u8>, key: &[u8], content: &[u8]) {
    out.clear();
    out.extend_from_slice(&checksum(key, content));
    out.extend_from_slice(content);
}

/// The value that stands for `content` in the file.
pub(super) fn seal(key: &[u8], content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(CRC_BYTES + content.len());
    seal_into(&mut out, key, content);
    out
}

/// The content of a value of the file, if nobody changed it.
pub(super) fn unseal<'v>(key: &[u8], value: &'v [u8]) -> Result<&'v [u8], BadChecksum> {
    let (crc, content) = value.split_first_chunk().ok_or(BadChecksum)?;
    if *crc != checksum(key, content) {
        return Err(BadChecksum);
    }
    Ok(content)
}

/// The record that a value of the file is, or why it is none.
pub(super) fn decode_record<'v>(key: &[u8], value: &'v [u8]) -> Result<Stored<'v>, String> {
    let content = unseal(key, value).map_err(|e| format!("a record is unreadable: {e}"))?;
    Stored::decode(content).map_err(|e| format!("a record is unreadable: {e}"))
}

/// The content of a value that was checked before.
pub(super) fn content(value: &[u8]) -> &[u8] {
    value.get(CRC_BYTES..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_bit_of_key_and_value_is_found() {
        let sealed = seal(b"key", b"content");
        assert_eq!(unseal(b"key", &sealed), Ok(&b"content"[..]));
        assert_eq!(content(&sealed), b"content");
        assert_eq!(sealed[..4], crc32c::crc32c(b"keycontent").to_le_bytes());
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal(b"key", &changed).is_err(), "bit {bit}");
        }
        assert!(unseal(b"kez", &sealed).is_err());
        assert!(unseal(b"key", &sealed[..3]).is_err());
    }
}
