//! Copies of addresses that outlive the client's input buffer.

use common::address::{Address, Field, Object};

/// Addresses up to this many bytes are kept without allocating.
const INLINE_BYTES: usize = 112;

enum Bytes {
    Inline([u8; INLINE_BYTES]),
    Heap(Box<[u8]>),
}

/// A kept address: namespace, object and field in one piece.
pub(super) struct KeptAddress {
    bytes: Bytes,
    /// Length of the namespace.
    namespace: usize,
    /// Where the object's name ends.
    object_end: usize,
    /// Where the field's name ends; none for the unnamed field.
    field_end: Option<usize>,
}

impl KeptAddress {
    /// A copy of `at`.
    pub(super) fn new(at: Address<'_>) -> Self {
        let field: &[u8] = match at.field {
            Field::Unnamed => &[],
            Field::Named(name) => name,
        };
        let parts = [at.object.namespace, at.object.name, field];
        let namespace = at.object.namespace.len();
        let object_end = namespace + at.object.name.len();
        let end = object_end + field.len();
        let bytes = if end <= INLINE_BYTES {
            let mut inline = [0; INLINE_BYTES];
            let mut free: &mut [u8] = &mut inline;
            for part in parts {
                let (filled, rest) = std::mem::take(&mut free).split_at_mut(part.len());
                filled.copy_from_slice(part);
                free = rest;
            }
            Bytes::Inline(inline)
        } else {
            Bytes::Heap(parts.concat().into_boxed_slice())
        };
        let field_end = matches!(at.field, Field::Named(_)).then_some(end);
        Self { bytes, namespace, object_end, field_end }
    }

    /// The object.
    pub(super) fn object(&self) -> Object<'_> {
        Object {
            namespace: self.slice(0, self.namespace),
            name: self.slice(self.namespace, self.object_end),
        }
    }

    /// The whole address.
    pub(super) fn address(&self) -> Address<'_> {
        let field = match self.field_end {
            None => Field::Unnamed,
            Some(end) => Field::Named(self.slice(self.object_end, end)),
        };
        Address { object: self.object(), field }
    }

    fn slice(&self, start: usize, end: usize) -> &[u8] {
        let bytes: &[u8] = match &self.bytes {
            Bytes::Inline(bytes) => bytes,
            Bytes::Heap(bytes) => bytes,
        };
        bytes.get(start..end).unwrap_or_default()
    }
}

/// Many names in one piece.
#[derive(Default)]
pub(super) struct KeptNames {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl KeptNames {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The name at `index`.
    pub(super) fn get(&self, index: usize) -> &[u8] {
        let end_of = |index: usize| self.ends.get(index).copied().unwrap_or_default();
        let start = index.checked_sub(1).map_or(0, end_of);
        self.bytes.get(start..end_of(index)).unwrap_or_default()
    }
}

impl<'a> FromIterator<&'a [u8]> for KeptNames {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(names: I) -> Self {
        let mut kept = Self::default();
        for name in names {
            kept.bytes.extend_from_slice(name);
            kept.ends.push(kept.bytes.len());
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_addresses_survive() {
        for bytes in [0, 1, 36, 37, 38, 200] {
            let (namespace, name) = (vec![b'n'; bytes], vec![b'o'; bytes]);
            let object = Object { namespace: &namespace, name: &name };
            let field = vec![b'f'; bytes];
            for at in [object.unnamed(), object.field(&field)] {
                assert_eq!(KeptAddress::new(at).address(), at);
            }
        }
    }

    #[test]
    fn names_keep_their_order_and_emptiness() {
        let names: [&[u8]; 3] = [b"ab", b"", b"c"];
        let kept: KeptNames = names.into_iter().collect();
        assert_eq!(kept.len(), 3);
        assert_eq!(
            [kept.get(0), kept.get(1), kept.get(2), kept.get(3)],
            [b"ab", &b""[..], b"c", b""]
        );
    }
}
