//! Creating, opening and refusing files.

use std::fs;
use std::sync::Arc;

use common::address::Field;
use common::ids::{ClusterId, LogicGroup, NodeId, ServerIndex, StoreId};
use common::key::UNNAMED_SUFFIX;
use common::stored::Body;
use redb::ReadableTable;

use super::support::{Bench, OPTIONS, identity, key, prefix, real};
use crate::engine::layout::{EXPIRY, META, META_FORMAT, RECORDS, expiry_key};
use crate::engine::{EngineError, Slice, Store, StoreIdentity, StoreOptions, View};
use crate::files::{Fs, MemFs};

#[test]
fn what_was_flushed_survives_and_what_was_not_is_replayed() {
    let mut bench = Bench::new(OPTIONS);
    bench.set("one", 0, "flushed");
    bench.flush();
    assert_eq!(bench.store().oldest_unflushed(), None);
    bench.set("two", 0, "in memory");
    assert_eq!(bench.store().oldest_unflushed(), Some((1, 2)));

    let store = bench.store();
    assert_eq!(store.checkpoint().log_mark, (1, 1));
    assert_eq!(store.applied().values().map(|lsn| lsn.0).collect::<Vec<_>>(), [2]);
    bench.reopen();
    for (name, value) in [("one", "flushed"), ("two", "in memory")] {
        let record = bench.store().record(&key(name, Field::Unnamed)).unwrap().expect("found");
        let expected = Body::Value { expire_at: 0, value: value.as_bytes() };
        assert_eq!(record.stored().body, expected);
    }
}

#[test]
fn an_existing_file_is_not_overwritten() {
    let bench = Bench::new(OPTIONS);
    let error = Store::create(&real(), &bench.path(), identity(), OPTIONS).err().expect("refused");
    assert!(matches!(error, EngineError::Exists { .. }));
    assert!(error.to_string().contains("3.redb"), "{error}");
}

#[test]
fn a_file_of_another_group_node_store_or_cluster_is_refused_and_both_are_named() {
    let bench = Bench::new(OPTIONS);
    let path = bench.path();
    let directory = bench.close();
    let right = identity();
    let wrong = [
        StoreIdentity { group: LogicGroup(4), ..right },
        StoreIdentity { node: NodeId::of_name("a2"), ..right },
        StoreIdentity { store: StoreId(8), ..right },
        StoreIdentity { cluster: ClusterId::of_name("other"), ..right },
    ];
    for expected in wrong {
        let error =
            Store::open(&real(), &path, expected, OPTIONS).err().expect("refused").to_string();
        for part in ["3.redb".into(), right.to_string(), expected.to_string()] {
            assert!(error.contains(&part), "{error} does not name {part}");
        }
    }
    let servers = StoreOptions { servers: 3, ..OPTIONS };
    let error = Store::open(&real(), &path, right, servers).err().expect("refused").to_string();
    assert!(error.contains("written for 2 servers") && error.contains("lists 3"), "{error}");
    assert!(Store::open(&real(), &path, right, OPTIONS).is_ok());
    drop(directory);
}

#[test]
fn a_missing_empty_or_foreign_file_is_refused_with_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("9.redb");
    let refused = || {
        let error =
            Store::open(&real(), &path, identity(), OPTIONS).err().expect("refused").to_string();
        assert!(error.contains("9.redb"), "{error}");
        error
    };
    assert!(refused().contains("cannot open"));
    for content in [&b""[..], b"short", &[0; 8_192], &[0xff; 100_000]] {
        fs::write(&path, content).unwrap();
        refused();
    }
}

const OBJECTS: u32 = 2_000;

fn object(number: u32) -> Vec<u8> {
    key(&format!("object {number}"), Field::Unnamed)
}

/// A store whose records are all in the file.
fn filled(disk: &MemFs) -> Bench {
    let mut bench = Bench::on_disk(disk, OPTIONS);
    for n in 0..OBJECTS {
        bench.set(&format!("object {n}"), 0, &format!("value of {n} ").repeat(12));
    }
    bench.flush();
    bench.reopen();
    bench
}

/// How many objects cannot be read. All others have to be there with their value.
fn unread(store: &Store) -> usize {
    let unread = (0..OBJECTS).filter(|n| match store.record(&object(*n)) {
        Ok(record) => {
            let record = record.expect("every object is there");
            let value = format!("value of {n} ").repeat(12);
            let expected = Body::Value { expire_at: 0, value: value.as_bytes() };
            assert_eq!(record.stored().body, expected);
            false
        }
        Err(error) => {
            assert!(error.to_string().contains("3.redb: damaged: "), "{error}");
            true
        }
    });
    unread.count()
}

#[test]
fn a_truncated_or_overwritten_file_is_refused_or_read_as_it_was() {
    let disk = MemFs::new();
    let path = filled(&disk).path();
    let whole = disk.bytes(&path);
    let mut refused = 0;
    let mut check = |content: &[u8]| {
        let disk = MemFs::new();
        disk.create(&path).unwrap().write_all_at(content, 0).unwrap();
        let fs: Arc<dyn Fs> = Arc::new(disk);
        match Store::open(&fs, &path, identity(), OPTIONS) {
            Ok(store) => drop(unread(&store)),
            Err(error) => {
                assert!(error.to_string().contains("3.redb: damaged: "), "{error}");
                refused += 1;
            }
        }
    };
    for cut in
        [1, 100, 4_096, 4_200, 5_000, 8_192, whole.len() / 2, whole.len() - 4_096, whole.len() - 1]
    {
        check(&whole[..cut]);
    }
    for page in (0..whole.len() / 4_096).step_by(7) {
        let mut content = whole.clone();
        content[page * 4_096..][..4_096].fill(0xa5);
        check(&content);
    }
    assert!(refused > 10, "{refused} damaged files were refused");
}

/// Before a file is opened, redb itself reads all of it where its debug assertions are on.
#[test]
fn a_bit_that_flips_in_a_file_that_is_open_is_an_error_or_without_effect() {
    let disk = MemFs::new();
    let whole = filled(&disk);
    let bytes = disk.bytes(&whole.path());
    let mut noticed = 0;
    for (turn, page) in bytes.chunks_exact(4_096).enumerate().skip(1).step_by(5) {
        let disk = disk.after_kill();
        let bench = whole.beside(&disk);
        // In another part of each page.
        let used = page.iter().rposition(|byte| *byte != 0).unwrap_or_default() + 1;
        disk.flip(&bench.path(), (turn * 4_096 + turn * 31 % used) as u64, 1 << (turn % 8));
        noticed += usize::from(unread(bench.store()) > 0);
    }
    assert!(noticed > 10, "{noticed} flips were noticed");
}

/// Keys of the indexes have no checksum of their own.
#[test]
fn a_key_of_an_index_that_is_none_is_damage_and_no_panic() {
    let mut bench = Bench::new(OPTIONS);
    let name = "\0".repeat(200);
    bench.set(&name, 100, "v");
    bench.flush();
    bench.reopen();
    assert_eq!((bench.count(99), bench.count(100)), (1, 0));
    let good = expiry_key(100, &prefix(&name), UNNAMED_SUFFIX);
    let mut bad = good.clone();
    // With a longer namespace the key still has all its parts.
    bad[8] ^= 0x40;
    bench.tamper(|write| {
        let mut expiry = write.open_table(EXPIRY).unwrap();
        assert!(expiry.remove(good.as_slice()).unwrap().is_some());
        expiry.insert(bad.as_slice(), ()).unwrap();
    });
    bench.reopen();
    let now = |_| 100;
    let errors = [
        bench.store().count(b"ns", ServerIndex(0), 100, &mut Slice::unbounded()).err(),
        bench.store_mut().reclaim(now, &mut Slice::unbounded()).err(),
    ];
    for error in errors {
        let error = error.expect("it is damaged").to_string();
        assert!(error.contains("/3.redb: damaged: a key of an index"), "{error}");
    }
}

#[test]
fn a_key_that_is_no_key_is_refused_before_anything_changes() {
    let mut bench = Bench::new(OPTIONS);
    bench.set("one", 0, "v");
    let head = common::log_record::LogHead {
        stream: super::support::stream(),
        lsn: common::ids::Lsn(2),
        hlc: common::version::Hlc(2),
        node: NodeId(1),
        request: common::ids::RequestId(1),
        open: 0,
    };
    let stored = common::stored::Stored { version: head.version(), body: Body::Tombstone };
    let mutation = common::log_record::Mutation { key: b"\x05nonsense", stored };
    assert!(bench.store_mut().apply(&head, &[mutation], (1, 2)).is_err());
    assert_eq!(bench.store().applied().values().map(|lsn| lsn.0).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_value_that_belongs_to_another_key_is_never_read() {
    let mut bench = Bench::new(OPTIONS);
    bench.set("one", 0, "of one");
    bench.set("two", 0, "of two");
    bench.flush();
    bench.tamper(|write| {
        let mut records = write.open_table(RECORDS).unwrap();
        let of_two = records.get(key("two", Field::Unnamed).as_slice()).unwrap();
        let of_two = of_two.expect("flushed").value().to_vec();
        records.insert(key("one", Field::Unnamed).as_slice(), of_two.as_slice()).unwrap();
    });
    bench.reopen();
    let error = bench.store().record(&key("one", Field::Unnamed)).err().expect("damaged");
    assert!(error.to_string().contains("its checksum does not match"), "{error}");
}

#[test]
fn a_file_of_another_format_is_refused_with_both_formats() {
    let mut bench = Bench::new(OPTIONS);
    bench.tamper(|write| {
        let mut meta = write.open_table(META).unwrap();
        meta.insert(META_FORMAT, [4, 0].as_slice()).unwrap();
    });
    let path = bench.path();
    let directory = bench.close();
    let refused = |says: &str| {
        let error = Store::open(&real(), &path, identity(), OPTIONS).err().expect("refused");
        assert!(error.to_string().contains(says), "{error}");
        assert!(error.to_string().contains("reads format 3"), "{error}");
    };
    refused("3.redb: written in format 4");
    // What formats 1 and 2 were.
    fs::remove_file(&path).unwrap();
    drop(redb::Database::create(&path).unwrap());
    refused("3.redb: written in format 2");
    fs::write(&path, b"FDG5 and what nobody knows yet").unwrap();
    refused("3.redb: written in format 5");
    drop(directory);
}
