//! What a node answers to an [`Op`](crate::op::Op) that it executed.

use crate::version::Version;

/// One answer; the variant is fixed by the operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// To a get.
    Lookup(Lookup<'a>),
    /// To a multi-get: in the order asked, perhaps only the first ones.
    Lookups(Vec<Lookup<'a>>),
    /// To a write.
    Written(Written<'a>),
    /// To a batch.
    Batch(BatchReply<'a>),
    /// To a range.
    Range(RangeReply<'a>),
    /// To a describe.
    Described(Described),
    /// To a scan.
    Scan(ScanReply<'a>),
    /// To a count.
    Count(u64),
}

/// What stands at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup<'a> {
    /// A record.
    Found(Found<'a>),
    /// Nothing.
    Missing,
    /// The object is of the other kind.
    WrongKind,
}

/// A record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// Its version.
    pub version: Version,
    /// Its expiry in milliseconds since 1970; 0 is never. For a field of a hash its own, not the
    /// object's.
    pub expire_at: u64,
    /// Length of the whole value.
    pub total: u32,
    /// The part that was asked for.
    pub value: &'a [u8],
}

/// Whether something was there before a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existed {
    /// It was not.
    No,
    /// It was.
    Yes,
    /// A blind write did not look.
    Unknown,
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written<'a> {
    /// Whether anything was written: not for a delete or touch of something missing, nor where the
    /// expiry rule said no.
    pub applied: bool,
    /// Whether the record or object existed before.
    pub existed: Existed,
    /// Version of the record afterwards.
    pub version: Version,
    /// Expiry afterwards, in milliseconds since 1970; 0 is never.
    pub expire_at: u64,
    /// Length of the value afterwards.
    pub total: u32,
    /// The value asked for by [`Want::Value`](crate::op::Want::Value) when there was one; always
    /// the new number after an add.
    pub value: Option<&'a [u8]>,
}

/// What a batch did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchReply<'a> {
    /// The first condition that did not hold; then nothing was written, and `written` tells what
    /// stands at each write's address (existed, version, expiry, value if wanted).
    pub refused: Option<u32>,
    /// One for each write.
    pub written: Vec<Written<'a>>,
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// Nothing, or all of it expired.
    Missing,
    /// Only the unnamed field.
    String,
    /// Only named fields.
    Hash,
}

/// A page of fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeReply<'a> {
    /// What the object is; the page is empty unless it is a hash.
    pub kind: ObjectKind,
    /// The object's expiry in milliseconds since 1970; 0 is never.
    pub expire_at: u64,
    /// The fields in byte order.
    pub fields: Vec<RangeField<'a>>,
    /// Whether fields follow behind the last one.
    pub more: bool,
}

/// One field of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeField<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// The record. `value` is empty when only names were asked for.
    pub found: Found<'a>,
}

/// An object's properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Described {
    /// What it is.
    pub kind: ObjectKind,
    /// Its expiry in milliseconds since 1970; 0 is never.
    pub expire_at: u64,
    /// Version of a string's record; of a hash the default.
    pub version: Version,
    /// A string's length in bytes; a hash's number of fields if that was asked for.
    pub size: u64,
}

/// A page of objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanReply<'a> {
    /// The objects by hash position.
    pub objects: Vec<ScanObject<'a>>,
    /// The position to go on from; `None` at the end of the lane.
    pub next: Option<u64>,
}

/// One object of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanObject<'a> {
    /// Its hash position, 48 bits.
    pub position: u64,
    /// Its name.
    pub name: &'a [u8],
    /// Its kind, never `Missing`.
    pub kind: ObjectKind,
}
