//! Digests of lanes: equal for equal data, whatever its layers and its reclaim.

use std::collections::BTreeMap;

use common::address::Field;
use common::ids::ServerIndex;

use super::support::{Bench, OPTIONS, Put, header_key, key, prefix, stream};
use crate::engine::store::server_of;
use crate::engine::{DigestKey, EngineError, StoreOptions, bucket_of};

const KEPT: StoreOptions = StoreOptions { purge_tombstones: false, ..OPTIONS };

/// Strings, hashes, tombstones, headers, expiries. The record behind the last one is number 253.
fn fill(bench: &mut Bench, flush_every: u64) {
    for n in 0..120_u64 {
        let expire_at = if n % 3 == 0 { 500 + n } else { 0 };
        bench.set(&format!("{n} string"), expire_at, &"x".repeat(usize::try_from(n).unwrap()));
        bench.hset(&format!("{} hash", n % 7), &format!("field {n}"), "v");
        if n % flush_every == flush_every - 1 {
            bench.flush();
        }
    }
    for n in 0..10 {
        let deleted = key(&format!("{} string", n * 11), Field::Unnamed);
        bench.write(vec![(deleted, Put::Tombstone)]);
    }
    let cleared = bench.next() - 60;
    bench.write(vec![(header_key("1 hash"), Put::Header { expire_at: 0, cleared })]);
    bench.write(vec![(header_key("2 hash"), Put::Header { expire_at: 550, cleared: 0 })]);
}

/// The digest of the whole store, read in pages of so many bytes.
fn digest(bench: &Bench, page_bytes: usize, now_ms: u64) -> BTreeMap<(u8, u8), u64> {
    let mut all: BTreeMap<(u8, u8), u64> = BTreeMap::new();
    for server in 0..bench.options.servers {
        let mut from = Vec::new();
        for pages in 0.. {
            let page = bench.store().digest_page(ServerIndex(server), &from, page_bytes, now_ms);
            let page = page.unwrap();
            for (bucket, sum) in page.buckets {
                let total = all.entry((server, bucket)).or_default();
                *total = total.wrapping_add(sum);
            }
            let Some(next) = page.next else { break };
            assert!(next >= from && pages < 2_000, "the pages come to an end");
            from = next;
        }
    }
    all
}

fn keys(bench: &Bench, server: u8, buckets: &[u8], max: usize, bytes: usize) -> Vec<DigestKey> {
    let (mut all, mut from) = (Vec::new(), Vec::new());
    loop {
        let server = ServerIndex(server);
        let page = bench.store().digest_keys(server, buckets, &from, max, bytes, 1).unwrap();
        assert!(page.keys.len() <= max);
        all.extend(page.keys);
        let Some(next) = page.next else { return all };
        from = next;
    }
}

#[test]
fn a_digest_depends_neither_on_layers_nor_on_pages_nor_on_reclaim() {
    let mut one = Bench::new(KEPT);
    let mut other = Bench::new(KEPT);
    fill(&mut one, 1_000);
    fill(&mut other, 17);
    for now in [1, 540, 560, 700] {
        let expected = digest(&one, usize::MAX, now);
        assert!(expected.len() > 60, "{} buckets", expected.len());
        for page_bytes in [0, 200, 5_000, usize::MAX] {
            assert_eq!(digest(&one, page_bytes, now), expected, "pages of {page_bytes} at {now}");
            assert_eq!(digest(&other, page_bytes, now), expected, "other layers at {now}");
        }
        other.reclaim_all(now);
        assert_eq!(digest(&other, 300, now), expected, "reclaimed at {now}");
        other.flush();
        other.reclaim_all(now);
        other.flush();
        assert_eq!(digest(&other, 300, now), expected, "reclaimed and flushed at {now}");
    }
}

#[test]
fn every_visible_difference_shows_and_no_invisible_one() {
    let mut plain = Bench::new(KEPT);
    fill(&mut plain, 90);
    let before = digest(&plain, 1_000, 1);
    let shows = |write: Vec<(Vec<u8>, Put)>| {
        let mut changed = Bench::new(KEPT);
        fill(&mut changed, 90);
        changed.write(write);
        digest(&changed, 1_000, 1) != before
    };
    let value = |expire_at, value: &str| Put::Value { expire_at, value: value.into() };
    assert!(shows(vec![(key("1 string", Field::Unnamed), value(0, "other"))]), "a value");
    assert!(shows(vec![(key("1 string", Field::Unnamed), value(0, "x"))]), "a version");
    assert!(shows(vec![(key("1 string", Field::Unnamed), Put::Tombstone)]), "a delete");
    assert!(shows(vec![(key("0 hash", Field::Named(b"field 7")), value(0, "w"))]), "a field");
    let expiring = Put::Header { expire_at: 900, cleared: 0 };
    assert!(shows(vec![(header_key("3 hash"), expiring.clone())]), "an object's expiry");
    assert!(shows(vec![(header_key("3 hash"), Put::Header { expire_at: 0, cleared: 99 })]));
    assert!(!shows(vec![(header_key("absent"), expiring.clone())]), "an expiry of nothing");
    assert!(!shows(vec![(header_key("1 string"), expiring)]), "a string has its own expiry");
    assert!(!shows(vec![(key("absent", Field::Unnamed), Put::Tombstone)]), "a tombstone");
    assert!(!shows(vec![(key("absent", Field::Unnamed), value(1, "expired"))]), "what expired");
}

#[test]
fn an_object_expiry_that_only_one_server_has_shows_in_newer_fields_as_well() {
    let [mut with, mut without] = [Bench::new(KEPT), Bench::new(KEPT)];
    let field = vec![(key("hash", Field::Named(b"f")), Put::value("v"))];
    let header = vec![(header_key("hash"), Put::Header { expire_at: 900, cleared: 0 })];
    with.apply(stream(), 1, 1, &header);
    for bench in [&mut with, &mut without] {
        bench.apply(stream(), 2, 2, &field);
    }
    assert_ne!(digest(&with, 1_000, 1), digest(&without, 1_000, 1));
    assert!(digest(&with, 1_000, 900).is_empty(), "expired");
}

#[test]
fn the_keys_of_buckets_add_up_to_their_digests() {
    let mut bench = Bench::new(KEPT);
    fill(&mut bench, 17);
    let digest = digest(&bench, 1_000, 1);
    for server in 0..2 {
        let buckets: Vec<u8> = (0..=255).filter(|bucket| bucket % 3 == 0).collect();
        let listed = keys(&bench, server, &buckets, 5, 2_000);
        assert_eq!(listed, keys(&bench, server, &buckets, 1_000, usize::MAX));
        assert!(listed.is_sorted_by(|a, b| a.key < b.key), "each once, in order");
        let mut sums: BTreeMap<(u8, u8), u64> = BTreeMap::new();
        for found in listed {
            let sum = sums.entry((server, bucket_of(&found.key))).or_default();
            *sum = sum.wrapping_add(found.hash);
        }
        let mut expected = digest.clone();
        expected.retain(|(of, bucket), _| *of == server && bucket % 3 == 0);
        assert_eq!(sums, expected);
        assert!(keys(&bench, server, &[], 5, 2_000).is_empty());
    }
    let object = usize::from(server_of(&prefix("2 hash"), 2).0);
    let field = key("2 hash", Field::Named(b"field 2"));
    let all = keys(&bench, u8::try_from(object).unwrap(), &[bucket_of(&field)], 1_000, 9_000);
    let found = all.iter().find(|found| found.key == field).expect("listed");
    assert_eq!(found.version.hlc.0, bench.next() - 1, "the header made the field's state");
}

#[test]
fn a_walk_does_not_begin_at_what_is_no_key() {
    let bench = Bench::new(KEPT);
    for from in [&b"\x05nonsense"[..], &prefix("cut")[..]] {
        let error = bench.store().digest_page(ServerIndex(0), from, 100, 1).unwrap_err();
        assert!(matches!(error, EngineError::Key(_)), "{error}");
    }
}

/// A page is to take milliseconds of the worker, however much is in memory.
#[test]
fn what_is_in_memory_is_put_in_order_over_several_pages() {
    let mut bench = Bench::new(StoreOptions { cache_bytes: 1 << 20, ..KEPT });
    for n in 0..500 {
        bench.set(&format!("{n} string"), 0, "v");
    }
    let covered = |bench: &Bench| bench.store().active.order.borrow().covered();
    let page = bench.store().digest_page(ServerIndex(0), &[], 10_000, 1).unwrap();
    assert_eq!((page.next, page.buckets.len()), (Some(Vec::new()), 0));
    assert_eq!(covered(&bench), 156, "a step is an object");
    let keys = bench.store().digest_keys(ServerIndex(0), &[1], b"", 10, 10_000, 1).unwrap();
    assert_eq!((keys.next, keys.keys.len()), (Some(Vec::new()), 0));
    assert_eq!(covered(&bench), 312);
    let paged = digest(&bench, 10_000, 1);
    bench.flush();
    assert_eq!(digest(&bench, usize::MAX, 1), paged);
}
