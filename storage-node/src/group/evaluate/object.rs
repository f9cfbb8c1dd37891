//! One object as it stands: its header and unnamed record, which decide over its fields.

use std::ops::ControlFlow;

use common::address::{Address, Field};
use common::key;
use common::reply::ObjectKind;
use common::stored::{Body, Stored, is_expired};
use common::version::Version;

use super::keys::KeyBuffer;
use super::live::Live;
use crate::engine::error::EngineError;
use crate::engine::record::RecordRef;
use crate::engine::view::View;
use crate::engine::visible::Hiding;

/// What an object's header says; the default, of an object without one, hides nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) expire_at: u64,
    pub(super) cleared: Version,
}

impl Header {
    fn of(stored: &Stored<'_>) -> Self {
        match stored.body {
            Body::Header { expire_at, cleared } => Self { expire_at, cleared },
            Body::Value { .. } | Body::Tombstone => Self::default(),
        }
    }
}

/// The header of the object that `keys` is turned to.
pub(super) fn header<V: View>(view: &V, keys: &mut KeyBuffer) -> Result<Header, EngineError> {
    let record = header_record(view, keys)?;
    Ok(record.map(|record| Header::of(&record.stored())).unwrap_or_default())
}

fn header_record<'v, V: View>(
    view: &'v V,
    keys: &mut KeyBuffer,
) -> Result<Option<RecordRef<'v>>, EngineError> {
    if view.may_have_headers() { view.record(keys.header()) } else { Ok(None) }
}

/// Whether the object's string may hide fields of an older hash, which would come back if the string
/// went without a header that clears them. Yes when in doubt: such a header does no harm. A field
/// that is deleted here may have been reclaimed here only, and be alive on a follower (I4, I9).
pub(super) fn may_hide_fields<V: View>(view: &V, keys: &KeyBuffer) -> Result<bool, EngineError> {
    let mut found = false;
    view.fields(keys.prefix(), key::NAMED_SUFFIX_START, &mut |_, _| {
        found = true;
        ControlFlow::Break(())
    })?;
    Ok(found)
}

/// What decides over the visibility of an object's records.
pub(super) struct ObjectState<'v> {
    pub(super) header: Header,
    hiding: Hiding,
    unnamed: Option<RecordRef<'v>>,
    now_ms: u64,
}

impl<'v> ObjectState<'v> {
    /// Reads the state of the object that `keys` is turned to.
    pub(super) fn load<V: View>(
        view: &'v V,
        keys: &mut KeyBuffer,
        now_ms: u64,
    ) -> Result<Self, EngineError> {
        let header = header_record(view, keys)?;
        let header = header.as_ref().map(RecordRef::stored);
        let unnamed = view.record(keys.field(Field::Unnamed))?;
        let hiding =
            Hiding::new(header.as_ref(), unnamed.as_ref().map(RecordRef::stored).as_ref(), now_ms);
        let header = header.as_ref().map(Header::of).unwrap_or_default();
        Ok(Self { header, hiding, unnamed, now_ms })
    }

    /// The string's record, if the object is one.
    pub(super) fn string(&self) -> Option<Live<'_>> {
        let stored = self.unnamed.as_ref()?.stored();
        if self.hiding.unnamed_visible(&stored) { Live::of(&stored) } else { None }
    }

    /// Whether the unnamed record is a value that does not exist any more, but has `version`: it
    /// would hide a field of the same version.
    pub(super) fn has_spent_string(&self, version: Version) -> bool {
        let stored = self.unnamed.as_ref().map(RecordRef::stored);
        let live = stored.as_ref().and_then(Live::of);
        self.string().is_none() && live.is_some_and(|live| live.version == version)
    }

    /// The expiry of the hash that the object is.
    pub(super) fn hash_expire_at(&self) -> u64 {
        self.hiding.object_expire_at()
    }

    /// [`Self::string`], still stored.
    pub(super) fn into_string(self) -> Option<RecordRef<'v>> {
        if self.string().is_some() { self.unnamed } else { None }
    }

    /// Whether the hash's expiry alone hides every field.
    fn is_hash_expired(&self) -> bool {
        is_expired(self.hash_expire_at(), self.now_ms)
    }

    /// A stored named field, if it exists.
    fn live<'a>(&self, stored: &Stored<'a>) -> Option<Live<'a>> {
        if self.hiding.named_visible(stored) { Live::of(stored) } else { None }
    }

    /// The record of a field, if it exists; a string has no named fields.
    pub(super) fn field<V: View>(
        &self,
        view: &'v V,
        keys: &mut KeyBuffer,
        name: &[u8],
    ) -> Result<Option<RecordRef<'v>>, EngineError> {
        if self.string().is_some() || self.is_hash_expired() {
            return Ok(None);
        }
        let record = view.record(keys.field(Field::Named(name)))?;
        Ok(record.filter(|record| self.live(&record.stored()).is_some()))
    }

    /// Visits the existing named fields behind `after`, in byte order, until `visit` breaks.
    pub(super) fn fields<V: View>(
        &self,
        view: &V,
        keys: &mut KeyBuffer,
        after: Option<&[u8]>,
        mut visit: impl FnMut(&[u8], Live<'_>) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        if self.string().is_some() || self.is_hash_expired() {
            return Ok(());
        }
        let mut each = |suffix: &[u8], stored: Stored<'_>| match (suffix, self.live(&stored)) {
            ([key::KIND_NAMED, name @ ..], Some(live)) => visit(name, live),
            _ => ControlFlow::Continue(()),
        };
        match after {
            None => view.fields(keys.prefix(), key::NAMED_SUFFIX_START, &mut each),
            Some(name) => {
                // The first name behind another one is that with a zero byte appended.
                let from = [key::NAMED_SUFFIX_START, name, &[0]].concat();
                view.fields(keys.prefix(), &from, &mut each)
            }
        }
    }

    /// Whether any named field exists.
    pub(super) fn any_field<V: View>(
        &self,
        view: &V,
        keys: &mut KeyBuffer,
    ) -> Result<bool, EngineError> {
        let mut found = false;
        self.fields(view, keys, None, |_, _| {
            found = true;
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// What the object is.
    pub(super) fn kind<V: View>(
        &self,
        view: &V,
        keys: &mut KeyBuffer,
    ) -> Result<ObjectKind, EngineError> {
        Ok(if self.string().is_some() {
            ObjectKind::String
        } else if self.any_field(view, keys)? {
            ObjectKind::Hash
        } else {
            ObjectKind::Missing
        })
    }
}

/// The record at an address, if it exists. `keys` is turned to its object.
pub(super) fn record<'v, V: View>(
    view: &'v V,
    keys: &mut KeyBuffer,
    at: Address<'_>,
    now_ms: u64,
) -> Result<Option<RecordRef<'v>>, EngineError> {
    let state = ObjectState::load(view, keys, now_ms)?;
    match at.field {
        Field::Unnamed => Ok(state.into_string()),
        Field::Named(name) => state.field(view, keys, name),
    }
}

/// The value in a record that was found to exist.
pub(super) fn live<'a>(record: &'a RecordRef<'_>) -> Live<'a> {
    Live::of(&record.stored()).expect("only values exist")
}
