//! Sorting the objects of a memtable by prefix: by a number made of the namespace's rank and the hash
//! position, so that what is compared are numbers that lie side by side, and the objects themselves
//! are read in the order in which they lie in memory. The bytes decide only where positions are equal.

use std::collections::BTreeMap;

/// Bits of a hash position.
const POSITION_BITS: u32 = 48;
/// Where the position begins in a sort key; the object's number is below.
const POSITION_SHIFT: u32 = u32::BITS;
/// Where the namespace's rank begins.
const RANK_SHIFT: u32 = POSITION_SHIFT + POSITION_BITS;

/// The numbers in the order of the prefixes they stand for.
pub(super) fn by_prefix<'m>(
    numbers: impl ExactSizeIterator<Item = u32>,
    prefix: impl Fn(u32) -> &'m [u8],
) -> Vec<u32> {
    let mut namespaces = Namespaces::default();
    let mut keys = Vec::with_capacity(numbers.len());
    for number in numbers {
        let (namespace, position) = split(prefix(number));
        let key = u128::from(position) << POSITION_SHIFT | u128::from(number);
        keys.push(u128::from(namespaces.id(namespace)) << RANK_SHIFT | key);
    }
    namespaces.rank(&mut keys);
    keys.sort_unstable();
    let mut sorted: Vec<u32> = keys.iter().map(|key| number_of(*key)).collect();
    let mut at = 0;
    for same in keys.chunk_by(|one, other| one >> POSITION_SHIFT == other >> POSITION_SHIFT) {
        let end = at + same.len();
        if let Some(ties) = sorted.get_mut(at..end).filter(|ties| ties.len() > 1) {
            ties.sort_unstable_by(|&one, &other| prefix(one).cmp(prefix(other)));
        }
        at = end;
    }
    sorted
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are the number")]
fn number_of(key: u128) -> u32 {
    key as u32
}

/// The namespace with its length, and the position behind it. A prefix that is too short for both is
/// ordered as far as it goes: what is missing counts as zeros, and the bytes decide.
fn split(prefix: &[u8]) -> (&[u8], u64) {
    let length = prefix.first().map_or(0, |length| 1 + usize::from(*length));
    let (namespace, rest) = prefix.split_at(length.min(prefix.len()));
    let mut position = 0;
    for at in 0..POSITION_BITS as usize / 8 {
        position = position << 8 | u64::from(rest.get(at).copied().unwrap_or(0));
    }
    (namespace, position)
}

/// The namespaces met so far, numbered as they came.
#[derive(Default)]
struct Namespaces<'m> {
    ids: BTreeMap<&'m [u8], u32>,
    last: Option<(&'m [u8], u32)>,
}

impl<'m> Namespaces<'m> {
    fn id(&mut self, namespace: &'m [u8]) -> u32 {
        if let Some((last, id)) = self.last
            && last == namespace
        {
            return id;
        }
        let next = u32::try_from(self.ids.len()).expect("fewer namespaces than objects");
        let id = *self.ids.entry(namespace).or_insert(next);
        self.last = Some((namespace, id));
        id
    }

    /// Replaces the numbers in the keys by the places in the order of the namespaces.
    fn rank(&self, keys: &mut [u128]) {
        if self.ids.len() < 2 {
            return;
        }
        let mut ranks = vec![0_u128; self.ids.len()];
        for (rank, id) in (0..).zip(self.ids.values()) {
            ranks[*id as usize] = rank;
        }
        for key in keys {
            let rank = ranks[usize::try_from(*key >> RANK_SHIFT).expect("a number of before")];
            *key = rank << RANK_SHIFT | *key & ((1 << RANK_SHIFT) - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(prefixes: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let count = u32::try_from(prefixes.len()).unwrap();
        let numbers = by_prefix(0..count, |number| &prefixes[number as usize]);
        numbers.iter().map(|number| prefixes[*number as usize].clone()).collect()
    }

    #[test]
    fn prefixes_are_in_byte_order_whatever_their_namespaces_and_lengths() {
        let mut prefixes = Vec::new();
        for n in 0..2_000_u64 {
            let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let namespace = [&b"\x02ns"[..], b"\x01n", b"\x02nt", b"\x00", b"\x05names"]
                [usize::try_from(n % 5).unwrap()];
            // Every third position is one of few, so that the rest decides.
            let position = if n % 3 == 0 { (n % 8) << 60 } else { mixed };
            let object = mixed.to_le_bytes();
            let length = usize::try_from(n % 8).unwrap();
            prefixes.push([namespace, &position.to_be_bytes()[..6], &object[..length]].concat());
        }
        // And some that are no prefixes.
        prefixes.extend([vec![], vec![9], b"\x05nam".to_vec(), b"\x02ns\x01".to_vec()]);
        let mut expected = prefixes.clone();
        expected.sort();
        assert_eq!(sorted(&prefixes), expected);
    }
}
