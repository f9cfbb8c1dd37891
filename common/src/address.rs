//! The address of a record: namespace, object, field. Borrowed; whoever keeps one copies the parts.

use thiserror::Error;

use crate::limits::{FIELD_BYTES_MAX, NAMESPACE_BYTES_MAX, OBJECT_BYTES_MAX};

/// An object: what a Redis user calls a key. Either a string (only the unnamed field) or a hash
/// (only named fields).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Object<'a> {
    /// The namespace; empty is database 0.
    pub namespace: &'a [u8],
    /// The object's name inside the namespace. May be empty.
    pub name: &'a [u8],
}

/// The part of an address inside its object. The unnamed field differs from a field whose name is
/// empty: Redis allows the latter in a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field<'a> {
    /// The single record of a string.
    Unnamed,
    /// A field of a hash.
    Named(&'a [u8]),
}

/// Where a record lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address<'a> {
    /// The object.
    pub object: Object<'a>,
    /// The field inside it.
    pub field: Field<'a>,
}

/// A name that is longer than the system stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{part} has {bytes} bytes, max {max}")]
pub struct NameTooLong {
    /// Which part: `namespace`, `object` or `field`.
    pub part: &'static str,
    /// Its length in bytes.
    pub bytes: usize,
    /// The limit in bytes.
    pub max: usize,
}

impl<'a> Object<'a> {
    /// Checks the lengths of both names.
    ///
    /// # Errors
    /// The first name over its limit.
    pub fn check(&self) -> Result<(), NameTooLong> {
        check_length("namespace", self.namespace, NAMESPACE_BYTES_MAX)?;
        check_length("object", self.name, OBJECT_BYTES_MAX)
    }

    /// The object's unnamed field.
    #[must_use]
    pub fn unnamed(self) -> Address<'a> {
        Address { object: self, field: Field::Unnamed }
    }

    /// A named field of the object.
    #[must_use]
    pub fn field(self, name: &'a [u8]) -> Address<'a> {
        Address { object: self, field: Field::Named(name) }
    }
}

impl Address<'_> {
    /// Checks the lengths of all three names.
    ///
    /// # Errors
    /// The first name over its limit.
    pub fn check(&self) -> Result<(), NameTooLong> {
        self.object.check()?;
        match self.field {
            Field::Unnamed => Ok(()),
            Field::Named(name) => check_length("field", name, FIELD_BYTES_MAX),
        }
    }
}

fn check_length(part: &'static str, name: &[u8], max: usize) -> Result<(), NameTooLong> {
    if name.len() > max {
        return Err(NameTooLong { part, bytes: name.len(), max });
    }
    Ok(())
}
