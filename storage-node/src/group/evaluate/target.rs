//! What stands where a write wants to write.

use common::address::Field;
use common::reply::Existed;

use super::keys::KeyBuffer;
use super::live::Live;
use super::moment::Moment;
use super::object::{self, ObjectState};
use super::refused::Refused;
use crate::engine::error::EngineError;
use crate::engine::record::RecordRef;
use crate::engine::view::View;

/// The record under a write's address.
pub(super) enum Was<'v> {
    /// A blind write did not look.
    NotLooked,
    Missing,
    Found(RecordRef<'v>),
}

impl<'v> Was<'v> {
    fn of(record: Option<RecordRef<'v>>) -> Self {
        record.map_or(Self::Missing, Self::Found)
    }

    pub(super) fn live(&self) -> Option<Live<'_>> {
        match self {
            Self::Found(record) => Some(object::live(record)),
            Self::NotLooked | Self::Missing => None,
        }
    }

    pub(super) fn existed(&self) -> Existed {
        match self {
            Self::NotLooked => Existed::Unknown,
            Self::Missing => Existed::No,
            Self::Found(_) => Existed::Yes,
        }
    }

    pub(super) fn into_record(self) -> Option<RecordRef<'v>> {
        match self {
            Self::Found(record) => Some(record),
            Self::NotLooked | Self::Missing => None,
        }
    }
}

/// Whether a write has to know the record that it replaces.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Needed,
    Spared,
}

/// The place of a write.
pub(super) struct Target<'v> {
    pub(super) was: Was<'v>,
    /// The object's header has an expiry that a new record must not inherit: it belongs to a hash
    /// that does not exist any more, or that the write replaces.
    pub(super) stale_header: bool,
    /// The same batch wrote a string that is gone already, and would hide a field.
    pub(super) spent_string: bool,
}

impl<'v> Target<'v> {
    /// The place of a write to a field of the object that `keys` is turned to.
    ///
    /// # Errors
    /// The object is of the other kind; the data could not be read.
    pub(super) fn find<V: View>(
        view: &'v V,
        keys: &mut KeyBuffer,
        field: Field<'_>,
        look: Look,
        at: &Moment,
    ) -> Result<Self, Refused> {
        let state = ObjectState::load(view, keys, at.now_ms)?;
        match field {
            Field::Unnamed => {
                if state.string().is_none() && state.any_field(view, keys)? {
                    return Err(Refused::is_hash());
                }
                Ok(Self::of_string(state))
            }
            Field::Named(name) => {
                if state.string().is_some() {
                    return Err(Refused::is_string());
                }
                let spent_string = state.has_spent_string(at.version);
                let target = Self::of_named(&state, view, keys, name, look)?;
                Ok(Self { spent_string, ..target })
            }
        }
    }

    fn of_named<V: View>(
        state: &ObjectState<'v>,
        view: &'v V,
        keys: &mut KeyBuffer,
        name: &[u8],
        look: Look,
    ) -> Result<Self, EngineError> {
        let expiring = state.header.expire_at != 0;
        if look == Look::Spared && !expiring {
            return Ok(Self::of_was(Was::NotLooked));
        }
        let record = state.field(view, keys, name)?;
        let stale_header = expiring && record.is_none() && !state.any_field(view, keys)?;
        Ok(Self { stale_header, ..Self::of_was(Was::of(record)) })
    }

    /// The place of a string that replaces its object, whatever that is. Reads nothing when nothing
    /// has to be known and no object may have a header.
    pub(super) fn of_replacing_string<V: View>(
        view: &'v V,
        keys: &mut KeyBuffer,
        look: Look,
        now_ms: u64,
    ) -> Result<Self, EngineError> {
        if look == Look::Spared {
            let stale_header = object::header(view, keys)?.expire_at != 0;
            return Ok(Self { stale_header, ..Self::of_was(Was::NotLooked) });
        }
        Ok(Self::of_string(ObjectState::load(view, keys, now_ms)?))
    }

    /// The place of a field in an object that has nothing any more.
    pub(super) fn cleared() -> Self {
        Self::of_was(Was::Missing)
    }

    fn of_string(state: ObjectState<'v>) -> Self {
        let stale_header = state.header.expire_at != 0;
        Self { stale_header, ..Self::of_was(Was::of(state.into_string())) }
    }

    fn of_was(was: Was<'v>) -> Self {
        Self { was, stale_header: false, spent_string: false }
    }
}
