//! Answers.

use super::decode::{HEADER_BYTES, Header};
use super::status;

/// The command code of every answer.
const ANSWER: u8 = 40;

/// What an answer repeats of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Echo {
    /// The hash code.
    pub(super) key_hash: i32,
    /// The expiry, where the command does not say otherwise.
    pub(super) expires: i32,
    /// The keep-alive byte.
    pub(super) keep_alive: u8,
}

impl Echo {
    /// What to repeat of this header.
    pub(super) fn of(header: &Header) -> Self {
        let Header { key_hash, expires, keep_alive, .. } = *header;
        Self { key_hash, expires, keep_alive }
    }

    /// The same with another expiry.
    pub(super) fn with_expires(self, expires: i32) -> Self {
        Self { expires, ..self }
    }
}

/// Writes an answer without a body.
pub(super) fn bare(out: &mut Vec<u8>, echo: Echo, now_ms: u64, status: u8) {
    let now = u32::try_from(now_ms / 1000).unwrap_or(u32::MAX);
    out.extend_from_slice(&0_i32.to_be_bytes());
    out.extend_from_slice(&echo.key_hash.to_be_bytes());
    out.extend_from_slice(&now.to_be_bytes());
    out.extend_from_slice(&echo.expires.to_be_bytes());
    out.extend_from_slice(&[ANSWER, echo.keep_alive, status]);
}

/// Writes the header of a successful answer whose body the caller appends and [`finish`]es.
pub(super) fn begin(out: &mut Vec<u8>, echo: Echo, now_ms: u64, expires: i32) -> usize {
    let start = out.len();
    bare(out, echo.with_expires(expires), now_ms, status::OK);
    start
}

/// Sets the length of the answer that began at `start`.
pub(super) fn finish(out: &mut [u8], start: usize) {
    let body_bytes = out.len() - start - HEADER_BYTES;
    let length = i32::try_from(body_bytes).expect("every answer is bounded far below 2 GiB");
    if let Some(field) = out.get_mut(start..start + 4) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

/// Appends a 4-byte count or length.
pub(super) fn put_len(out: &mut Vec<u8>, length: usize) {
    let length = i32::try_from(length).expect("every part of an answer is bounded below 2 GiB");
    out.extend_from_slice(&length.to_be_bytes());
}

/// Appends bytes behind their length.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}
