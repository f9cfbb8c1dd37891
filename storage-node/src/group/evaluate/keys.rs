//! Physical keys of one object after another, spelled in one reused buffer.

use common::address::{Field, Object};
use common::key;

/// A buffer that holds an object's prefix and behind it one suffix at a time.
#[derive(Debug, Default)]
pub struct KeyBuffer {
    bytes: Vec<u8>,
    prefix_bytes: usize,
}

impl KeyBuffer {
    /// Turns to an object. Its names are within their limits.
    pub fn set_object(&mut self, object: Object<'_>) {
        self.bytes.clear();
        key::put_object_prefix(&mut self.bytes, object);
        self.prefix_bytes = self.bytes.len();
    }

    /// The prefix of all keys of the object.
    #[must_use]
    pub fn prefix(&self) -> &[u8] {
        self.bytes.get(..self.prefix_bytes).expect("the buffer begins with the prefix")
    }

    /// The key of the object's header.
    pub fn header(&mut self) -> &[u8] {
        self.bytes.truncate(self.prefix_bytes);
        self.bytes.extend_from_slice(key::HEADER_SUFFIX);
        &self.bytes
    }

    /// The key of a field of the object.
    pub fn field(&mut self, field: Field<'_>) -> &[u8] {
        self.bytes.truncate(self.prefix_bytes);
        key::put_field_suffix(&mut self.bytes, field);
        &self.bytes
    }
}
