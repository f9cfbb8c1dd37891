//! The memtable against what it replaced, and its memory.

use std::collections::BTreeMap;

use common::ids::{Epoch, NodeId};
use common::stored::{Body, Stored};
use common::version::{Hlc, Version};

use super::*;
use crate::engine::layout::expiry_key;

/// A number that looks random.
fn mixed(n: u64) -> u64 {
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb) >> 8
}

fn bytes(hlc: u64, expire_at: u64, value: &[u8]) -> Stored<'_> {
    let version = Version { epoch: Epoch(1), hlc: Hlc(hlc), node: NodeId(1) };
    Stored { version, body: Body::Value { expire_at, value } }
}

fn value(hlc: u64, expire_at: u64) -> Stored<'static> {
    let version = Version { epoch: Epoch(1), hlc: Hlc(hlc), node: NodeId(1) };
    Stored { version, body: Body::Value { expire_at, value: b"value" } }
}

#[test]
fn the_greater_version_wins_and_an_equal_one_changes_nothing() {
    let mut table = Memtable::default();
    assert!(table.put(b"p", b"\x01", &value(5, 0), Origin::Log).is_some());
    assert!(table.put(b"p", b"\x01", &value(5, 9), Origin::Log).is_none());
    assert!(table.put(b"p", b"\x01", &value(4, 0), Origin::Log).is_none());
    let bytes = table.memory_bytes();
    let tombstone = Stored { body: Body::Tombstone, ..value(5, 0) };
    assert!(table.put(b"p", b"\x01", &tombstone, Origin::Reclaim).is_some());
    assert_eq!(table.get(b"p", b"\x01").map(Entry::stored), Some(tombstone));
    assert_eq!(table.memory_bytes(), bytes, "in its place");
}

#[test]
fn the_expiry_index_follows_overwrites() {
    let mut table = Memtable::default();
    table.put(b"p", b"\x01", &value(1, 70), Origin::Log);
    table.put(b"q", b"\x01", &value(2, 60), Origin::Log);
    table.put(b"p", b"\x01", &value(3, 80), Origin::Log);
    table.put(b"q", b"\x01", &value(4, 0), Origin::Log);
    let keys: Vec<_> = table.expiry_after(b"", 80).collect();
    assert_eq!(keys, [expiry_key(80, b"p", b"\x01").into_boxed_slice()]);
    assert_eq!(table.expiry_after(b"", 79).count(), 0);
}

#[test]
fn numbers_survive_growth_and_sort_by_prefix() {
    let mut table = Memtable::default();
    for n in (0..5_000_u32).rev() {
        table.put(&n.to_be_bytes(), b"\x01", &value(1, 0), Origin::Log);
    }
    assert_eq!(table.objects(), 5_000);
    assert_eq!(table.node(0).prefix(), 4_999_u32.to_be_bytes());
    assert!(table.get(&17_u32.to_be_bytes(), b"\x01").is_some());
    let sorted = table.sorted(4_000);
    assert_eq!(sorted.len(), 1_000);
    assert!(sorted.is_sorted_by_key(|&n| table.node(n).prefix().to_vec()));
}

#[test]
fn random_writes_leave_what_a_map_has() {
    let mut table = Memtable::default();
    let (mut records, mut drops) = (BTreeMap::new(), BTreeMap::new());
    let value: Vec<u8> = (0..40_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    for n in 1..40_000_u64 {
        let random = mixed(n);
        let prefix = [b"\x01n", &(random % 600).to_be_bytes()[..]].concat();
        let suffix = match random >> 10 & 7 {
            0 => vec![0],
            // Few objects have fields, and some of them many.
            1..3 if random % 600 < 30 => {
                [b"\x02", &(random >> 13 & 1023).to_be_bytes()[..]].concat()
            }
            _ => vec![1],
        };
        let length = usize::try_from(random >> 20 & 255).unwrap();
        let length = if n % 1_000 == 0 { 40_000 } else { length };
        let expire_at = if n % 3 == 0 { random >> 30 & 63 } else { 0 };
        let stored = bytes(n, expire_at, &value[..length]);
        if n % 50 == 0 {
            table.drop_record(&prefix, &suffix, stored.version);
            drops.insert((prefix, suffix), stored.version);
        } else {
            assert!(table.put(&prefix, &suffix, &stored, Origin::Log).is_some());
            records.insert((prefix, suffix), stored);
        }
    }
    for number in 0..table.objects() {
        let node = table.node(number);
        let of = |suffix: &[u8]| (node.prefix().to_vec(), suffix.to_vec());
        for entry in node.fields().from(&[]) {
            let expected = records.remove(&of(entry.suffix()));
            assert_eq!(Some(entry.stored()), expected);
            if let Some(expire_at) = expected.map(|e| e.expire_at()).filter(|at| *at != 0) {
                let key = expiry_key(expire_at, node.prefix(), entry.suffix());
                let before = (expire_at - 1).to_be_bytes();
                assert!(table.expiry_after(&before, expire_at).any(|found| *found == key[..]));
            }
        }
        for entry in node.drops().into_iter().flat_map(|drops| drops.from(&[])) {
            assert_eq!(drops.remove(&of(entry.suffix())), Some(entry.stored().version));
        }
    }
    assert_eq!((records.len(), drops.len()), (0, 0), "nothing is missing");
}

#[test]
fn overwriting_does_not_take_more_and_more_memory() {
    let mut table = Memtable::default();
    let value = vec![b'v'; 3 << 20];
    let round = |table: &mut Memtable, round: u64| {
        for n in 0..2_000_u64 {
            // Few keys get most of the writes, with values of any length.
            let random = mixed(round << 20 | n);
            let prefix = (random % 200 * (random >> 40 & 1)).to_be_bytes();
            let length = usize::try_from(random >> 12 & 1_023).unwrap();
            let expire_at = if n % 2 == 0 { n } else { 0 };
            let stored = bytes(round << 20 | n, expire_at, &value[..length]);
            assert!(table.put(&prefix, b"\x01", &stored, Origin::Log).is_some());
            let field = [b"\x02", &prefix[..]].concat();
            assert!(table.put(b"hash", &field, &stored, Origin::Log).is_some());
            table.drop_record(b"dropped", &field, stored.version);
        }
        table.memory_bytes()
    };
    let early = (1..20).map(|n| round(&mut table, n)).max().unwrap();
    let late = (20..120).map(|n| round(&mut table, n)).max().unwrap();
    assert!(late <= early + early / 4, "from {early} to {late} bytes");

    let before = table.memory_bytes();
    table.put(b"large", b"\x01", &bytes(1, 0, &value), Origin::Log);
    assert!(table.memory_bytes() > before + value.len());
    table.put(b"large", b"\x01", &bytes(2, 0, b"small"), Origin::Log);
    assert!(table.memory_bytes() < before + 4_096, "a large value is given back at once");
}

#[test]
fn the_expiry_index_goes_on_behind_any_of_its_keys() {
    let mut table = Memtable::default();
    let count = 500;
    for n in 0..count {
        let suffix: &[u8] = [&b"\x01"[..], b"\x00", b"\x02field"][n % 3];
        let prefix = [b"\x01n", &mixed(n as u64).to_be_bytes()[..6], b"\x00\x01o"].concat();
        table.put(&prefix, suffix, &value(1, 70 + n as u64 / 100), Origin::Log);
    }
    let all: Vec<_> = table.expiry_after(b"", u64::MAX).collect();
    assert_eq!(all.len(), count);
    for (n, key) in all.iter().enumerate() {
        let rest: Vec<_> = table.expiry_after(key, u64::MAX).collect();
        assert_eq!(rest, all[n + 1..]);
    }
    assert_eq!(table.expiry_after(&73_u64.to_be_bytes(), 73).count(), 100);
}
