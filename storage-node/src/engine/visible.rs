//! Which of an object's records a reader sees. Pure; evaluation and the engine share it.
//!
//! * A record is hidden when it is a tombstone, when it has expired, and when its version is at or
//!   below the `cleared` of the object's header.
//! * A named field is hidden besides when the object has expired, and by an unnamed value of a
//!   greater version, whether that value is itself visible or not: a SET over a hash writes blindly.
//! * An unnamed value that is newer than the header supersedes the header's expiry: that expiry was
//!   the older hash's.
//!
//! A header or an unnamed value therefore must not leave the files before what it hides has left.

use common::stored::{Body, Stored, is_expired};
use common::version::Version;

/// "Now" for a reader that ignores expiry.
pub const BEFORE_ALL_EXPIRY: u64 = 0;

/// What of an object hides its fields at a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hiding {
    now_ms: u64,
    header: Option<(Version, u64)>,
    cleared: Version,
    unnamed: Version,
}

impl Hiding {
    /// What the object's header and unnamed record hide at `now_ms`.
    #[must_use]
    pub fn new(header: Option<&Stored<'_>>, unnamed: Option<&Stored<'_>>, now_ms: u64) -> Self {
        let mut hiding = Self { now_ms, ..Self::default() };
        if let Some(header) = header {
            hiding.add_header(header);
        }
        if let Some(unnamed) = unnamed {
            hiding.add_unnamed(unnamed);
        }
        hiding
    }

    /// Takes the object's header into account. A tombstone hides nothing.
    pub fn add_header(&mut self, header: &Stored<'_>) {
        if let Body::Header { expire_at, cleared } = header.body {
            self.header = Some((header.version, expire_at));
            self.cleared = cleared;
        }
    }

    /// Takes the object's unnamed record into account. A tombstone hides nothing.
    pub fn add_unnamed(&mut self, unnamed: &Stored<'_>) {
        if matches!(unnamed.body, Body::Value { .. }) {
            self.unnamed = unnamed.version;
        }
    }

    /// The object's expiry, 0 when it has none or when it is superseded.
    #[must_use]
    pub fn object_expire_at(&self) -> u64 {
        match self.header {
            Some((version, expire_at)) if version >= self.unnamed => expire_at,
            _ => 0,
        }
    }

    /// Whether the unnamed record is visible.
    #[must_use]
    pub fn unnamed_visible(&self, unnamed: &Stored<'_>) -> bool {
        self.own_visible(unnamed)
    }

    /// Whether a named field is visible.
    #[must_use]
    pub fn named_visible(&self, field: &Stored<'_>) -> bool {
        self.own_visible(field)
            && field.version > self.unnamed
            && !is_expired(self.object_expire_at(), self.now_ms)
    }

    /// Whether nothing but a newer unnamed value hides a named field.
    #[must_use]
    pub fn only_unnamed_hides(&self, field: &Stored<'_>) -> bool {
        self.own_visible(field)
            && field.version <= self.unnamed
            && !is_expired(self.object_expire_at(), self.now_ms)
    }

    /// Whether the header hides the version, whatever the time.
    #[must_use]
    pub fn cleared(&self, version: Version) -> bool {
        version <= self.cleared
    }

    fn own_visible(&self, record: &Stored<'_>) -> bool {
        match record.body {
            Body::Value { expire_at, .. } => {
                !is_expired(expire_at, self.now_ms) && !self.cleared(record.version)
            }
            Body::Tombstone | Body::Header { .. } => false,
        }
    }
}

/// Whether the object's unnamed value is visible at `now_ms`.
#[must_use]
pub fn unnamed_visible(header: Option<&Stored<'_>>, unnamed: &Stored<'_>, now_ms: u64) -> bool {
    Hiding::new(header, Some(unnamed), now_ms).unnamed_visible(unnamed)
}

/// Whether a named field of the object is visible at `now_ms`.
#[must_use]
pub fn named_visible(
    header: Option<&Stored<'_>>,
    unnamed: Option<&Stored<'_>>,
    field: &Stored<'_>,
    now_ms: u64,
) -> bool {
    Hiding::new(header, unnamed, now_ms).named_visible(field)
}

#[cfg(test)]
mod tests {
    use common::ids::{Epoch, NodeId};
    use common::version::Hlc;

    use super::*;

    fn version(hlc: u64) -> Version {
        if hlc == 0 {
            return Version::default();
        }
        Version { epoch: Epoch(1), hlc: Hlc(hlc), node: NodeId(1) }
    }

    fn value(hlc: u64, expire_at: u64) -> Stored<'static> {
        Stored { version: version(hlc), body: Body::Value { expire_at, value: b"v" } }
    }

    fn tombstone(hlc: u64) -> Stored<'static> {
        Stored { version: version(hlc), body: Body::Tombstone }
    }

    fn header(hlc: u64, expire_at: u64, cleared: u64) -> Stored<'static> {
        let body = Body::Header { expire_at, cleared: version(cleared) };
        Stored { version: version(hlc), body }
    }

    #[test]
    fn a_record_is_hidden_by_its_own_expiry_and_by_what_the_header_cleared() {
        assert!(unnamed_visible(None, &value(3, 0), 50));
        assert!(unnamed_visible(None, &value(3, 51), 50));
        assert!(!unnamed_visible(None, &value(3, 50), 50));
        assert!(!unnamed_visible(None, &tombstone(3), 50));
        assert!(!unnamed_visible(Some(&header(4, 0, 3)), &value(3, 0), 50));
        assert!(unnamed_visible(Some(&header(4, 0, 3)), &value(5, 0), 50));
        assert!(!named_visible(Some(&header(4, 0, 3)), None, &value(3, 0), 50));
        assert!(!named_visible(None, None, &value(3, 50), 50));
    }

    #[test]
    fn an_object_expiry_hides_named_fields_only() {
        let header = header(4, 50, 0);
        assert!(named_visible(Some(&header), None, &value(3, 0), 49));
        assert!(!named_visible(Some(&header), None, &value(3, 0), 50));
        assert!(!named_visible(Some(&header), None, &value(9, 0), 50));
        assert!(unnamed_visible(Some(&header), &value(3, 0), 50));
    }

    #[test]
    fn a_newer_unnamed_value_hides_named_fields_even_when_it_is_dead() {
        let field = value(3, 0);
        assert!(!named_visible(None, Some(&value(5, 0)), &field, 50));
        assert!(!named_visible(None, Some(&value(5, 20)), &field, 50));
        assert!(named_visible(None, Some(&value(2, 0)), &field, 50));
        assert!(named_visible(None, Some(&tombstone(5)), &field, 50));
    }

    #[test]
    fn an_unnamed_value_supersedes_an_older_header_expiry() {
        let header = header(4, 50, 0);
        assert!(named_visible(Some(&header), Some(&value(5, 20)), &value(6, 0), 60));
        assert!(!named_visible(Some(&header), Some(&value(3, 20)), &value(6, 0), 60));
    }
}
