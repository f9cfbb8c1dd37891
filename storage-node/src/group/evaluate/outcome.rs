//! What one write did, before it is encoded.

use common::op::Want;
use common::reply::{Existed, Written};
use common::version::Version;

use super::live::Live;
use super::number::Decimal;
use super::object;
use crate::engine::record::RecordRef;

/// What one write did, or, when it was not executed, what stands at its address.
pub(super) struct Outcome<'v> {
    pub(super) applied: bool,
    pub(super) existed: Existed,
    pub(super) version: Version,
    pub(super) expire_at: u64,
    pub(super) total: u32,
    pub(super) value: Told<'v>,
}

/// The value that an [`Outcome`] reports.
pub(super) enum Told<'v> {
    Nothing,
    /// That of a record as it was before.
    Was(RecordRef<'v>),
    Number(Decimal),
}

impl<'v> Told<'v> {
    /// The value of what was there, if that was asked for.
    pub(super) fn was(record: Option<RecordRef<'v>>, want: Want) -> Self {
        match (record, want) {
            (Some(record), Want::Value) => Self::Was(record),
            (_, Want::Nothing | Want::Existed | Want::Value) => Self::Nothing,
        }
    }
}

impl<'v> Outcome<'v> {
    /// Nothing is there, and nothing was done.
    pub(super) fn missing() -> Self {
        Self {
            applied: false,
            existed: Existed::No,
            version: Version::default(),
            expire_at: 0,
            total: 0,
            value: Told::Nothing,
        }
    }

    /// A record is there, and nothing was done.
    pub(super) fn present(record: RecordRef<'v>, want: Want) -> Self {
        let Live { version, expire_at, .. } = object::live(&record);
        let total = object::live(&record).total();
        let value = Told::was(Some(record), want);
        Self { applied: false, existed: Existed::Yes, version, expire_at, total, value }
    }

    /// A hash is there, and nothing was done.
    pub(super) fn present_hash(expire_at: u64) -> Self {
        Self { existed: Existed::Yes, expire_at, ..Self::missing() }
    }

    /// The record or object was deleted by a write of `version`.
    pub(super) fn deleted(version: Version, was: Option<RecordRef<'v>>, want: Want) -> Self {
        let value = Told::was(was, want);
        Self { applied: true, existed: Existed::Yes, version, value, ..Self::missing() }
    }

    /// The outcome as it is encoded.
    pub(super) fn written(&self) -> Written<'_> {
        Written {
            applied: self.applied,
            existed: self.existed,
            version: self.version,
            expire_at: self.expire_at,
            total: self.total,
            value: match &self.value {
                Told::Nothing => None,
                Told::Was(record) => Some(object::live(record).value),
                Told::Number(number) => Some(number.as_bytes()),
            },
        }
    }
}
