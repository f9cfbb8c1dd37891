//! Keys and values of a number. A key is 16 hex digits and up to 48 filler bytes, 40 bytes on
//! average; neighbours in number are far apart as keys. A value begins with its key's number, so
//! that every read can be checked.

use common::address::Object;
use common::hash::KeyHash;
use common::key;

/// Bytes of a number in a value.
const NUMBER_BYTES: usize = 8;
/// Most filler bytes of a key.
const FILLER_MAX: u8 = 48;

/// Spreads a number over 64 bits; different numbers stay different (splitmix64).
pub(super) fn spread(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

fn put_name(out: &mut Vec<u8>, number: u64) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    const FILLER: [u8; FILLER_MAX as usize] = [b'.'; FILLER_MAX as usize];
    let bits = spread(number);
    let digit = |place: u32| HEX[((bits >> (60 - 4 * place)) & 15) as usize];
    out.extend((0..16).map(digit));
    // Not the digits' own end, so that lengths and order have nothing to do with each other.
    let filler = bits.rotate_left(29) % (u64::from(FILLER_MAX) + 1);
    let filler = usize::try_from(filler).expect("at most FILLER_MAX");
    out.extend_from_slice(&FILLER[..filler]);
}

/// Makes keys, in buffers that are used again.
#[derive(Debug, Default)]
pub(super) struct Keys {
    name: Vec<u8>,
    physical: Vec<u8>,
}

impl Keys {
    /// The user's key.
    pub(super) fn name(&mut self, number: u64) -> &[u8] {
        self.name.clear();
        put_name(&mut self.name, number);
        &self.name
    }

    /// The key's group among `groups`, and the key as an object of the default namespace.
    pub(super) fn object(&mut self, number: u64, groups: u16) -> (usize, Object<'_>) {
        let object = Object { namespace: b"", name: self.name(number) };
        let group = if groups == 1 { 0 } else { KeyHash::of(object).logic_group(groups).0 };
        (usize::from(group), object)
    }

    /// The key's group among `groups`, and the physical key of its only record.
    pub(super) fn physical(&mut self, number: u64, groups: u16) -> (usize, &[u8]) {
        let mut physical = std::mem::take(&mut self.physical);
        physical.clear();
        let (group, object) = self.object(number, groups);
        key::put_key(&mut physical, object.unnamed());
        self.physical = physical;
        (group, &self.physical)
    }
}

/// Makes values, in a buffer that is used again.
#[derive(Debug)]
pub(super) struct Values(Vec<u8>);

impl Values {
    /// Values of so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self(vec![b'v'; bytes.max(NUMBER_BYTES)])
    }

    /// A value of this key.
    pub(super) fn of(&mut self, number: u64) -> &[u8] {
        self.0[..NUMBER_BYTES].copy_from_slice(&number.to_le_bytes());
        &self.0
    }

    /// Their length.
    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }

    /// Whether these bytes are a value of this key.
    pub(super) fn is_of(&self, number: u64, value: &[u8]) -> bool {
        value.len() == self.0.len() && value.starts_with(&number.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_differ_and_have_the_lengths_of_the_workload() {
        let mut keys = Keys::default();
        let all: BTreeSet<Vec<u8>> = (0..20_000).map(|n| keys.name(n).to_vec()).collect();
        assert_eq!(all.len(), 20_000);
        assert!(all.iter().all(|key| (16..=64).contains(&key.len())));
        let bytes: usize = all.iter().map(Vec::len).sum();
        assert!((39..=41).contains(&(bytes / all.len())), "mean of {}", bytes / all.len());
    }

    #[test]
    fn groups_get_about_the_same_number_of_keys() {
        let mut keys = Keys::default();
        let mut counts = [0; 16];
        (0..16_000).for_each(|n| counts[keys.physical(n, 16).0] += 1);
        assert!(counts.iter().all(|count| (700..1_300).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_value_is_known_by_its_key() {
        let mut values = Values::new(100);
        let value = values.of(7).to_vec();
        assert!(values.is_of(7, &value) && !values.is_of(8, &value));
        assert!(!values.is_of(7, &value[..99]));
    }
}
