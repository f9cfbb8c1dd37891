//! Creating, opening and refusing files.

use std::fs;

use common::address::Field;
use common::ids::{ClusterId, LogicGroup, NodeId, ServerIndex, StoreId};
use common::key::UNNAMED_SUFFIX;
use common::stored::Body;

use super::support::{Bench, OPTIONS, identity, key, prefix, real};
use crate::engine::layout::{META, META_FORMAT, expiry_key};
use crate::engine::{EngineError, Slice, Store, StoreIdentity, StoreOptions, View};
use crate::files::MemFs;

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

#[test]
fn a_truncated_or_overwritten_file_is_an_error_and_no_panic() {
    let mut bench = Bench::new(OPTIONS);
    for n in 0..2_000 {
        bench.set(&format!("object {n}"), 0, &"value ".repeat(20));
    }
    bench.flush();
    let path = bench.path();
    let directory = bench.close();
    let whole = fs::read(&path).unwrap();
    let damaged = directory.path().join("damaged.redb");
    let mut refused = 0;
    let mut check = |content: &[u8]| {
        fs::write(&damaged, content).unwrap();
        let read = Store::open(&real(), &damaged, identity(), OPTIONS).and_then(|store| {
            for n in 0..2_000 {
                store.record(&key(&format!("object {n}"), Field::Unnamed))?;
            }
            Ok(())
        });
        if let Err(error) = read {
            assert!(error.to_string().contains("damaged.redb"), "{error}");
            refused += 1;
        }
    };
    for cut in [100, 4_096, 8_192, whole.len() / 2, whole.len() - 4_096, whole.len() - 1] {
        check(&whole[..cut]);
    }
    for page in (0..whole.len() / 4_096).step_by(7) {
        let mut content = whole.clone();
        content[page * 4_096..][..4_096].fill(0xa5);
        check(&content);
    }
    assert!(refused > 10, "{refused} damaged files were noticed");
}

/// Keys of the indexes have no checksum of their own.
#[test]
fn a_changed_byte_in_a_key_of_an_index_is_damage_and_no_panic() {
    let disk = MemFs::new();
    let mut bench = Bench::on_disk(&disk, OPTIONS);
    // With a longer namespace the key still has all its parts.
    let name = "\0".repeat(200);
    bench.set(&name, 100, "v");
    bench.flush();
    bench.reopen();
    assert_eq!((bench.count(99), bench.count(100)), (1, 0));
    let index_key = expiry_key(100, &prefix(&name), UNNAMED_SUFFIX);
    let whole = disk.bytes(&bench.path());
    let mut found = 0;
    for at in (0..whole.len()).filter(|at| whole[*at..].starts_with(&index_key)) {
        disk.flip(&bench.path(), (at + 8) as u64, 0x40);
        found += 1;
    }
    assert!(found > 0);
    bench.reopen();
    let now = |_| 100;
    let errors = [
        bench.store().count(b"ns", ServerIndex(0), 100, &mut Slice::unbounded()).err(),
        bench.store_mut().reclaim(now, &mut Slice::unbounded()).err(),
    ];
    for error in errors {
        let error = error.expect("it is damaged").to_string();
        assert!(error.starts_with("/3.redb: damaged: a key of an index"), "{error}");
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
fn a_file_of_format_1_is_refused_with_both_formats() {
    let bench = Bench::new(OPTIONS);
    let path = bench.path();
    let directory = bench.close();
    let database = redb::Database::open(&path).unwrap();
    let write = database.begin_write().unwrap();
    let format = &b"\x01\x00"[..];
    write.open_table(META).unwrap().insert(META_FORMAT, format).unwrap();
    write.commit().unwrap();
    drop(database);
    let error =
        Store::open(&real(), &path, identity(), OPTIONS).err().expect("refused").to_string();
    assert!(error.contains("3.redb: written in format 1"), "{error}");
    assert!(error.contains("reads format 2"), "{error}");
    drop(directory);
}
