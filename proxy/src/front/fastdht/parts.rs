//! A value that is taken from its node in parts of at most
//! [`PART_BYTES`](common::limits::PART_BYTES), so that one long value does not hold up others.
//!
//! All parts are of one version: when the value changes in between, it is read from its start again.

use common::limits::PART_BYTES;
use common::op::Part;
use common::reply::Found;
use common::version::Version;

/// How often a value may change while it is read.
const RESTARTS_MAX: u32 = 16;
/// The first part of every value.
pub(in crate::front) const FIRST_PART: Part = Part { offset: 0, limit: PART_BYTES };

/// The parts so far.
#[derive(Debug, Default)]
pub(in crate::front) struct ValueParts {
    version: Option<Version>,
    expire_at: u64,
    bytes: Vec<u8>,
    restarts: u32,
}

/// What to do after a part.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::front) enum Next {
    /// The value is complete.
    Complete(Record),
    /// This part is wanted next.
    Ask(Part),
    /// The value changes faster than it can be read.
    Unsteady,
}

/// A complete record.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::front) struct Record {
    /// Its version.
    pub(in crate::front) version: Version,
    /// Its expiry in milliseconds since 1970; 0 is never.
    pub(in crate::front) expire_at: u64,
    /// Its value.
    pub(in crate::front) value: Vec<u8>,
}

impl ValueParts {
    /// Takes the part that was asked for, or the first one.
    pub(in crate::front) fn add(&mut self, found: &Found<'_>) -> Next {
        let begun = *self.version.get_or_insert(found.version);
        // A part without bytes before the end would go on for ever.
        let stuck = found.value.is_empty() && found.total as usize > self.bytes.len();
        if begun != found.version || stuck {
            return self.restart();
        }
        self.expire_at = found.expire_at;
        self.bytes.extend_from_slice(found.value);
        if self.bytes.len() < found.total as usize {
            let offset = u32::try_from(self.bytes.len()).expect("less than a total of 32 bits");
            return Next::Ask(Part { offset, limit: PART_BYTES });
        }
        let value = std::mem::take(&mut self.bytes);
        Next::Complete(Record { version: found.version, expire_at: self.expire_at, value })
    }

    fn restart(&mut self) -> Next {
        self.restarts += 1;
        self.version = None;
        self.bytes.clear();
        if self.restarts > RESTARTS_MAX { Next::Unsteady } else { Next::Ask(FIRST_PART) }
    }
}

#[cfg(test)]
mod tests {
    use common::ids::NodeId;

    use super::*;

    fn found(version: u32, total: u32, value: &[u8]) -> Found<'_> {
        let version = Version { node: NodeId(version), ..Version::default() };
        Found { version, expire_at: 7, total, value }
    }

    #[test]
    fn parts_of_one_version_are_joined() {
        let mut parts = ValueParts::default();
        let ask = Next::Ask(Part { offset: 3, limit: PART_BYTES });
        assert_eq!(parts.add(&found(1, 5, b"abc")), ask);
        let Next::Complete(record) = parts.add(&found(1, 5, b"de")) else { panic!() };
        assert_eq!((record.expire_at, &record.value[..]), (7, &b"abcde"[..]));
    }

    #[test]
    fn a_change_in_between_starts_again_but_not_for_ever() {
        let mut parts = ValueParts::default();
        parts.add(&found(1, 5, b"abc"));
        assert_eq!(parts.add(&found(2, 5, b"de")), Next::Ask(FIRST_PART));
        parts.add(&found(2, 5, b"ABC"));
        let Next::Complete(record) = parts.add(&found(2, 5, b"DE")) else { panic!() };
        assert_eq!(record.value, b"ABCDE");
        let mut parts = ValueParts::default();
        let mut steps = 0;
        while parts.add(&found(1, 5, b"")) != Next::Unsteady {
            steps += 1;
        }
        assert_eq!(steps, RESTARTS_MAX);
    }

    #[test]
    fn an_empty_value_is_complete_at_once() {
        let Next::Complete(record) = ValueParts::default().add(&found(1, 0, b"")) else { panic!() };
        assert!(record.value.is_empty());
    }
}
