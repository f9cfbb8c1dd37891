//! The physical key: how an address is spelled in a redb file, in log records and in memtables.
//!
//! Constraints: all records of an object are neighbours, its header first, then the unnamed field,
//! then the named fields in byte order; objects of a namespace are ordered by a well-mixed hash, so
//! that a position in it is a SCAN cursor and key ranges have even sizes.
//!
//! ```text
//! namespace length u8 | namespace | position 6 bytes, big-endian | object length u16, big-endian
//! | object | kind u8 | field
//! ```
//!
//! The first five parts are the *object prefix*; kind and field are the *suffix*.

use crate::address::{Address, Field, Object};
use crate::codec::{DecodeError, Reader};
use crate::hash;
use crate::limits::{FIELD_BYTES_MAX, NAMESPACE_BYTES_MAX, OBJECT_BYTES_MAX};

/// Kind byte of an object's header record.
pub const KIND_HEADER: u8 = 0;
/// Kind byte of the unnamed field.
pub const KIND_UNNAMED: u8 = 1;
/// Kind byte of a named field.
pub const KIND_NAMED: u8 = 2;
/// The suffix of an object's header record.
pub const HEADER_SUFFIX: &[u8] = &[KIND_HEADER];
/// The suffix of an object's unnamed field.
pub const UNNAMED_SUFFIX: &[u8] = &[KIND_UNNAMED];
/// The suffix of the first possible named field.
pub const NAMED_SUFFIX_START: &[u8] = &[KIND_NAMED];

/// What a physical key names inside its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot<'a> {
    /// The header record.
    Header,
    /// A record with a value.
    Field(Field<'a>),
}

/// Appends the prefix that all physical keys of the object share.
pub fn put_object_prefix(out: &mut Vec<u8>, object: Object<'_>) {
    put_position_prefix(out, object.namespace, hash::position(object));
    let length = u16::try_from(object.name.len()).expect("checked against OBJECT_BYTES_MAX");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(object.name);
}

/// Appends the prefix of all physical keys of the namespace at a position (48 bits): a bound for
/// scans.
pub fn put_position_prefix(out: &mut Vec<u8>, namespace: &[u8], position: u64) {
    put_namespace_prefix(out, namespace);
    let [_, _, position @ ..] = position.to_be_bytes();
    out.extend_from_slice(&position);
}

/// Appends the prefix of all physical keys of a namespace.
pub fn put_namespace_prefix(out: &mut Vec<u8>, namespace: &[u8]) {
    out.push(u8::try_from(namespace.len()).expect("checked against NAMESPACE_BYTES_MAX"));
    out.extend_from_slice(namespace);
}

/// Appends the suffix of a field.
pub fn put_field_suffix(out: &mut Vec<u8>, field: Field<'_>) {
    match field {
        Field::Unnamed => out.push(KIND_UNNAMED),
        Field::Named(name) => {
            out.push(KIND_NAMED);
            out.extend_from_slice(name);
        }
    }
}

/// Appends a whole physical key.
pub fn put_key(out: &mut Vec<u8>, address: Address<'_>) {
    put_object_prefix(out, address.object);
    put_field_suffix(out, address.field);
}

/// A physical key taken apart. Both halves borrow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhysicalKey<'a> {
    /// The object.
    pub object: Object<'a>,
    /// The object's hash position.
    pub position: u64,
    /// What the key names inside the object.
    pub slot: Slot<'a>,
    /// Length of the object prefix in bytes; the suffix follows.
    pub prefix_bytes: usize,
}

impl<'a> PhysicalKey<'a> {
    /// Takes a physical key apart.
    ///
    /// # Errors
    /// The bytes are no physical key: cut off, an unknown kind, a name over its limit.
    pub fn decode(key: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(key);
        let (object, position) = take_object_prefix(&mut reader)?;
        let prefix_bytes = key.len() - reader.rest().len();
        let slot = slot_of_suffix(reader.rest())?;
        Ok(Self { object, position, slot, prefix_bytes })
    }
}

/// Takes an object prefix apart: the object and its position.
///
/// # Errors
/// The bytes are no object prefix, or more than one.
pub fn decode_object_prefix(prefix: &[u8]) -> Result<(Object<'_>, u64), DecodeError> {
    let mut reader = Reader::new(prefix);
    let found = take_object_prefix(&mut reader)?;
    reader.end()?;
    Ok(found)
}

fn take_object_prefix<'a>(reader: &mut Reader<'a>) -> Result<(Object<'a>, u64), DecodeError> {
    let namespace = reader.bytes8("namespace")?;
    limit("namespace", namespace, NAMESPACE_BYTES_MAX)?;
    let position = reader.take(6, "position")?.iter().fold(0, |p, &b| p << 8 | u64::from(b));
    let length = reader.take(2, "object length")?.iter().fold(0, |l, &b| l << 8 | usize::from(b));
    let name = reader.take(length, "object")?;
    limit("object", name, OBJECT_BYTES_MAX)?;
    Ok((Object { namespace, name }, position))
}

/// What a suffix names.
///
/// # Errors
/// It is empty, has an unknown kind, or something follows where nothing may.
pub fn slot_of_suffix(suffix: &[u8]) -> Result<Slot<'_>, DecodeError> {
    match suffix {
        [KIND_HEADER] => Ok(Slot::Header),
        [KIND_UNNAMED] => Ok(Slot::Field(Field::Unnamed)),
        [KIND_NAMED, name @ ..] => {
            limit("field", name, FIELD_BYTES_MAX)?;
            Ok(Slot::Field(Field::Named(name)))
        }
        [] => Err(DecodeError::Truncated("kind")),
        [KIND_HEADER | KIND_UNNAMED, rest @ ..] => Err(DecodeError::Trailing(rest.len())),
        [other, ..] => Err(DecodeError::Unknown("kind", u64::from(*other))),
    }
}

fn limit(what: &'static str, name: &[u8], max: usize) -> Result<(), DecodeError> {
    if name.len() > max {
        return Err(DecodeError::OverLimit(what, name.len() as u64, max as u64));
    }
    Ok(())
}
