//! A copy of a request's keys, for calls that outlive the input buffer.

use common::address::Address;

use super::request::{Key, Keys, address};
use crate::front::call::Submit;

/// The keys of one request, in its order, in one allocation of bytes.
#[derive(Debug)]
pub(super) struct Names {
    bytes: Vec<u8>,
    namespace_end: usize,
    object_end: usize,
    key_ends: Vec<usize>,
}

impl Names {
    /// Copies a single key.
    pub(super) fn of_key(key: &Key<'_>) -> Self {
        Self::copy(key.namespace, key.object, &[key.name])
    }

    /// Copies the keys of a batch.
    pub(super) fn of_keys(keys: &Keys<'_>) -> Self {
        Self::copy(keys.namespace, keys.object, &keys.names)
    }

    fn copy(namespace: &[u8], object: &[u8], names: &[&[u8]]) -> Self {
        let mut bytes = [namespace, object].concat();
        let object_end = bytes.len();
        let key_ends = names.iter().map(|name| {
            bytes.extend_from_slice(name);
            bytes.len()
        });
        let key_ends = key_ends.collect();
        Self { bytes, namespace_end: namespace.len(), object_end, key_ends }
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.key_ends.len()
    }

    /// The name of a key.
    pub(super) fn name(&self, index: usize) -> &[u8] {
        let before = index.checked_sub(1).and_then(|previous| self.key_ends.get(previous));
        let start = before.copied().unwrap_or(self.object_end);
        let end = self.key_ends.get(index).copied().unwrap_or(start);
        self.slice(start, end)
    }

    /// The address of a key.
    pub(super) fn address(&self, index: usize) -> Address<'_> {
        let namespace = self.slice(0, self.namespace_end);
        let object = self.slice(self.namespace_end, self.object_end);
        address(namespace, object, self.name(index))
    }

    /// The keys by lane, lanes in the order of their first key. The keys of an object share one;
    /// plain keys are objects of their own.
    pub(super) fn by_lane(&self, submit: &dyn Submit) -> Vec<Vec<usize>> {
        if self.object_end > 0 {
            return vec![(0..self.len()).collect()];
        }
        let mut lanes: Vec<(_, Vec<usize>)> = Vec::new();
        for index in 0..self.len() {
            let lane = submit.lane_of(self.address(index).object);
            match lanes.iter_mut().find(|(known, _)| *known == lane) {
                Some((_, keys)) => keys.push(index),
                None => lanes.push((lane, vec![index])),
            }
        }
        lanes.into_iter().map(|(_, keys)| keys).collect()
    }

    fn slice(&self, start: usize, end: usize) -> &[u8] {
        self.bytes.get(start..end).expect("all ends were taken from the length of the bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_has_the_same_addresses() {
        let names = vec![&b"a"[..], b"bc", b"a"];
        for (namespace, object) in [(&b"ns"[..], &b"o"[..]), (b"", b""), (b"n", b""), (b"", b"o")] {
            let keys = Keys { namespace, object, names: names.clone() };
            let copy = Names::of_keys(&keys);
            assert_eq!(copy.len(), 3);
            for (index, name) in names.iter().enumerate() {
                assert_eq!(copy.name(index), *name);
                assert_eq!(copy.address(index), address(namespace, object, name));
            }
        }
    }
}
