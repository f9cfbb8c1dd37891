//! What a proxy may ask of a node. All addresses of one operation are in one lane; the lane's
//! leader evaluates it against its latest data, atomically.
//!
//! Everything borrows: from a client's input buffer while a proxy encodes, from the frame while a
//! node executes.

use crate::address::{Address, Field, Object};
use crate::version::Version;

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// Read one record; answered by [`Reply::Lookup`](crate::reply::Reply::Lookup).
    Get(Get<'a>),
    /// Read many; answered by [`Reply::Lookups`](crate::reply::Reply::Lookups).
    GetMany(GetMany<'a>),
    /// One unconditional write; answered by [`Reply::Written`](crate::reply::Reply::Written).
    Write(Write<'a>),
    /// Conditions, then writes, atomically; answered by
    /// [`Reply::Batch`](crate::reply::Reply::Batch).
    Batch(Batch<'a>),
    /// A page of an object's named fields in byte order; answered by
    /// [`Reply::Range`](crate::reply::Reply::Range).
    Range(Range<'a>),
    /// What an object is; answered by [`Reply::Described`](crate::reply::Reply::Described).
    Describe(Describe<'a>),
    /// A page of the lane's objects by hash position; answered by
    /// [`Reply::Scan`](crate::reply::Reply::Scan).
    Scan(Scan<'a>),
    /// How many live objects of a namespace the lane holds; answered by
    /// [`Reply::Count`](crate::reply::Reply::Count).
    Count {
        /// The namespace.
        namespace: &'a [u8],
    },
}

/// Which bytes of a value are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// First byte.
    pub offset: u32,
    /// Most bytes.
    pub limit: u32,
}

/// Read (a part of) one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Get<'a> {
    /// The record.
    pub at: Address<'a>,
    /// Which bytes of its value. The reply tells the whole length.
    pub part: Part,
}

/// Read many records, whole values. The answer may cover only the first ones, at least one, when
/// the values together exceed `bytes_max`; the caller asks again for the rest. A first value that is
/// larger than `bytes_max` by itself is cut there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetMany<'a> {
    /// The records.
    pub at: Vec<Address<'a>>,
    /// Bound on the value bytes of the answer.
    pub bytes_max: u32,
}

/// When a record or an object ceases to exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// As it is; a new record never expires.
    Keep,
    /// Never.
    Never,
    /// At this time, in milliseconds since 1970. A time in the past hides the record at once.
    At(u64),
    /// So many milliseconds after the leader's now.
    After(u64),
    /// So many seconds after the leader's now rounded down to seconds, as the original protocol
    /// counts. May be negative.
    AfterSeconds(i32),
}

/// Which present expiry allows [`Action::Touch`] and [`Action::TouchObject`] to change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiryRule {
    /// Any.
    Always,
    /// Only when it never expires (NX).
    IfNever,
    /// Only when it expires (XX).
    IfExpiring,
    /// Only when the new one is later (GT); never is later than any.
    IfLater,
    /// Only when the new one is earlier (LT); never is later than any.
    IfEarlier,
}

/// What the writer wants to know besides that it was done. Less allows a blind write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Nothing.
    Nothing,
    /// Whether the record (or object) existed.
    Existed,
    /// That, and the value before a put or delete, or the value behind a touch.
    Value,
}

/// How [`Action::Add`] treats what is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddStyle {
    /// As Redis: anything but a 64-bit decimal integer is refused, so is an overflow.
    Strict,
    /// As the original FastDHT: leading digits count, longer than 27 bytes restarts, overflow wraps.
    Lenient,
}

/// One write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write<'a> {
    /// The record. [`Action::DeleteObject`] and [`Action::TouchObject`] look at its object only.
    pub at: Address<'a>,
    /// What to do.
    pub action: Action<'a>,
    /// The expiry afterwards. Ignored by deletes.
    pub expiry: Expiry,
    /// What to report.
    pub want: Want,
}

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Store a value.
    Put {
        /// The value.
        value: &'a [u8],
        /// On an object of the other kind: replace the object (Redis SET), or refuse with
        /// [`FailureCode::WrongKind`](crate::failure::FailureCode::WrongKind).
        replace: bool,
    },
    /// Delete one record.
    Delete,
    /// Delete the object, whatever its kind and size.
    DeleteObject,
    /// Add to a decimal number; a missing record counts as 0. The new number is reported.
    Add {
        /// The increment.
        delta: i64,
        /// What counts as a number.
        style: AddStyle,
    },
    /// Append to a value; a missing record counts as empty. The new length is reported.
    Append {
        /// What to append.
        bytes: &'a [u8],
    },
    /// Change the record's expiry.
    Touch {
        /// When.
        rule: ExpiryRule,
    },
    /// Change the object's expiry: a string's is its record's, a hash's is its header's.
    TouchObject {
        /// When.
        rule: ExpiryRule,
    },
}

/// Conditions, then writes. Nothing is written unless every condition holds; a write that is refused
/// (wrong kind, not a number) fails the whole batch, a delete or touch of something missing does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// All must hold.
    pub conditions: Vec<Condition<'a>>,
    /// Executed in order; later ones see earlier ones.
    pub writes: Vec<Write<'a>>,
}

/// One condition of a [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition<'a> {
    /// The record, or any record of the object for the object tests.
    pub at: Address<'a>,
    /// What must be true.
    pub test: Test<'a>,
}

/// What a [`Condition`] asks. Kinds are those of the visible, unexpired data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test<'a> {
    /// The record exists.
    Exists,
    /// The record does not exist.
    Absent,
    /// The object exists, as a string or a hash.
    ObjectExists,
    /// The object does not exist.
    ObjectAbsent,
    /// The object is a string, or does not exist.
    NotHash,
    /// The object is a hash, or does not exist.
    NotString,
    /// The record exists and has this version.
    VersionIs(Version),
    /// The record exists and has this value.
    ValueIs(&'a [u8]),
}

/// A page of named fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<'a> {
    /// The object.
    pub object: Object<'a>,
    /// Only fields behind this one.
    pub after: Option<&'a [u8]>,
    /// Most fields.
    pub count_max: u32,
    /// Most bytes of names and values; one field is answered in any case, its value cut here.
    pub bytes_max: u32,
    /// Whether values are wanted, or names only.
    pub values: bool,
}

/// Kind, expiry and size of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Describe<'a> {
    /// The object.
    pub object: Object<'a>,
    /// Whether to count a hash's fields.
    pub count: bool,
}

/// A page of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan<'a> {
    /// The namespace.
    pub namespace: &'a [u8],
    /// First hash position, at most [`POSITION_MAX`](crate::hash::POSITION_MAX).
    pub from: u64,
    /// About how many objects; all objects of one position come together.
    pub count_max: u32,
}

impl<'a> Write<'a> {
    /// A put that reports nothing and never expires.
    #[must_use]
    pub fn put(at: Address<'a>, value: &'a [u8], replace: bool) -> Self {
        let action = Action::Put { value, replace };
        Self { at, action, expiry: Expiry::Never, want: Want::Nothing }
    }

    /// A delete of one record that reports whether it existed.
    #[must_use]
    pub fn delete(at: Address<'a>) -> Self {
        Self { at, action: Action::Delete, expiry: Expiry::Never, want: Want::Existed }
    }

    /// A delete of a whole object that reports whether it existed.
    #[must_use]
    pub fn delete_object(object: Object<'a>) -> Self {
        let at = Address { object, field: Field::Unnamed };
        Self { at, action: Action::DeleteObject, expiry: Expiry::Never, want: Want::Existed }
    }
}

impl<'a> Op<'a> {
    /// Whether a repetition cannot change anything.
    #[must_use]
    pub fn is_read(&self) -> bool {
        match self {
            Op::Write(_) | Op::Batch(_) => false,
            Op::Get(_)
            | Op::GetMany(_)
            | Op::Range(_)
            | Op::Describe(_)
            | Op::Scan(_)
            | Op::Count { .. } => true,
        }
    }

    /// The object that decides the lane; none for [`Op::Scan`], [`Op::Count`] and empty batches,
    /// which name their lane.
    #[must_use]
    pub fn object(&self) -> Option<Object<'a>> {
        match self {
            Op::Get(get) => Some(get.at.object),
            Op::GetMany(many) => many.at.first().map(|at| at.object),
            Op::Write(write) => Some(write.at.object),
            Op::Batch(batch) => (batch.writes.first().map(|write| write.at.object))
                .or_else(|| batch.conditions.first().map(|condition| condition.at.object)),
            Op::Range(range) => Some(range.object),
            Op::Describe(describe) => Some(describe.object),
            Op::Scan(_) | Op::Count { .. } => None,
        }
    }
}
