//! The primitives of every binary format: little-endian integers and length-prefixed bytes.
//!
//! Readers take from the front of a slice and never allocate from a length field: what they return
//! borrows from the input, so a length that lies ends in [`DecodeError::Truncated`].

use thiserror::Error;

use crate::ids::{Epoch, NodeId};
use crate::limits::DETAIL_BYTES_MAX;
use crate::version::{Hlc, Version};

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The input ends inside a field.
    #[error("the input ends inside {0}")]
    Truncated(&'static str),
    /// A field has a value that this version does not know.
    #[error("{0} has the unknown value {1}")]
    Unknown(&'static str, u64),
    /// A text is not UTF-8.
    #[error("{0} is not UTF-8")]
    NotText(&'static str),
    /// A length or count is over its limit.
    #[error("{0} is {1}, max {2}")]
    OverLimit(&'static str, u64, u64),
    /// Bytes are left after the last field.
    #[error("{0} bytes follow the last field")]
    Trailing(usize),
}

/// Takes fields off the front of a slice.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) =
            self.rest.split_at_checked(length).ok_or(DecodeError::Truncated(what))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let (taken, rest) =
            self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated(what))?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    ///
    /// # Errors
    /// The input is at its end.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        Ok(u8::from_le_bytes(self.array(what)?))
    }

    /// A flag: 0 or 1.
    ///
    /// # Errors
    /// The input is at its end, or another value.
    pub fn bool(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError::Unknown(what, u64::from(other))),
        }
    }

    /// Two bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array(what)?))
    }

    /// Four bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// Eight bytes, signed.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn i64(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        Ok(i64::from_le_bytes(self.array(what)?))
    }

    /// Sixteen bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn u128(&mut self, what: &'static str) -> Result<u128, DecodeError> {
        Ok(u128::from_le_bytes(self.array(what)?))
    }

    /// Bytes behind a one-byte length.
    ///
    /// # Errors
    /// The length or the bytes are cut off.
    pub fn bytes8(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.u8(what)?;
        self.take(usize::from(length), what)
    }

    /// Bytes behind a two-byte length.
    ///
    /// # Errors
    /// The length or the bytes are cut off.
    pub fn bytes16(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.u16(what)?;
        self.take(usize::from(length), what)
    }

    /// Bytes behind a four-byte length.
    ///
    /// # Errors
    /// The length or the bytes are cut off.
    pub fn bytes32(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.u32(what)?;
        self.take(usize::try_from(length).map_err(|_| DecodeError::Truncated(what))?, what)
    }

    /// A version: epoch, time, node.
    ///
    /// # Errors
    /// Fewer than 20 bytes are left.
    pub fn version(&mut self) -> Result<Version, DecodeError> {
        Ok(Version {
            epoch: Epoch(self.u64("version epoch")?),
            hlc: Hlc(self.u64("version time")?),
            node: NodeId(self.u32("version node")?),
        })
    }

    /// Text behind a one-byte length.
    ///
    /// # Errors
    /// The length or the bytes are cut off, or not UTF-8.
    pub fn text8(&mut self, what: &'static str) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes8(what)?).map_err(|_| DecodeError::NotText(what))
    }

    /// Text behind a two-byte length.
    ///
    /// # Errors
    /// The length or the bytes are cut off, or not UTF-8.
    pub fn text16(&mut self, what: &'static str) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes16(what)?).map_err(|_| DecodeError::NotText(what))
    }

    /// A four-byte count of items that take at least one byte each.
    ///
    /// # Errors
    /// The count is over `max`, or over the bytes that are left, so that a lying count never makes
    /// anyone loop or allocate.
    pub fn count(&mut self, what: &'static str, max: usize) -> Result<usize, DecodeError> {
        let count = self.u32(what)?;
        let over = DecodeError::OverLimit(what, u64::from(count), max as u64);
        let count = usize::try_from(count).map_err(|_| over)?;
        if count > max {
            return Err(over);
        }
        if count > self.rest.len() {
            return Err(DecodeError::Truncated(what));
        }
        Ok(count)
    }

    /// A list: its count, at most `max`, and as many items.
    ///
    /// # Errors
    /// As [`Self::count`], or an item is not one.
    pub fn list<T>(
        &mut self,
        what: &'static str,
        max: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.count(what, max)?;
        // Not with_capacity: an item in memory may be fifty times as large as its shortest encoding.
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// A short list: a one-byte count, at most `max`, and as many items of at least one byte each.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub fn list8<T>(
        &mut self,
        what: &'static str,
        max: u8,
        mut item: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.u8(what)?;
        if count > max {
            return Err(DecodeError::OverLimit(what, u64::from(count), u64::from(max)));
        }
        if usize::from(count) > self.rest.len() {
            return Err(DecodeError::Truncated(what));
        }
        (0..count).map(|_| item(self)).collect()
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// Bytes follow the last field.
    pub fn end(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.rest.len())) }
    }
}

/// Appends fields to a buffer; the counterpart of [`Reader`].
///
/// Lengths are the caller's duty: names and values were checked against [`crate::limits`] before.
pub trait Put {
    /// Appends bytes as they are.
    fn put(&mut self, bytes: &[u8]);

    /// One byte.
    fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }
    /// A flag.
    fn put_bool(&mut self, value: bool) {
        self.put(&[u8::from(value)]);
    }
    /// Two bytes.
    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_le_bytes());
    }
    /// Four bytes.
    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }
    /// Eight bytes.
    fn put_u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }
    /// Eight bytes, signed.
    fn put_i64(&mut self, value: i64) {
        self.put(&value.to_le_bytes());
    }
    /// Sixteen bytes.
    fn put_u128(&mut self, value: u128) {
        self.put(&value.to_le_bytes());
    }
    /// A one-byte length and the bytes.
    fn put_bytes8(&mut self, bytes: &[u8]) {
        self.put_u8(
            u8::try_from(bytes.len()).expect("names with a one-byte length have at most 255 bytes"),
        );
        self.put(bytes);
    }
    /// A two-byte length and the bytes.
    fn put_bytes16(&mut self, bytes: &[u8]) {
        self.put_u16(u16::try_from(bytes.len()).expect("checked against the name limits"));
        self.put(bytes);
    }
    /// A four-byte length and the bytes.
    fn put_bytes32(&mut self, bytes: &[u8]) {
        self.put_len(bytes.len());
        self.put(bytes);
    }
    /// A text for people behind a two-byte length, cut at [`DETAIL_BYTES_MAX`].
    fn put_detail(&mut self, text: &str) {
        let end = text.floor_char_boundary(DETAIL_BYTES_MAX);
        self.put_bytes16(text.get(..end).unwrap_or_default().as_bytes());
    }
    /// A four-byte count or length.
    fn put_len(&mut self, length: usize) {
        self.put_u32(u32::try_from(length).expect("checked against FRAME_BYTES_MAX"));
    }
    /// A one-byte count of the items of a short list.
    fn put_len8(&mut self, length: usize) {
        self.put_u8(u8::try_from(length).expect("short lists have at most 255 items"));
    }
    /// A version: 20 bytes.
    fn put_version(&mut self, version: Version) {
        self.put_u64(version.epoch.0);
        self.put_u64(version.hlc.0);
        self.put_u32(version.node.0);
    }
}

impl Put for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}
