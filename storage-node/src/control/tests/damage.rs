//! A damaged control file is refused with its path: a voter must not come up having forgotten.

use std::fs;
use std::path::Path;

use common::ids::{Epoch, LogicGroup};
use redb::{Database, TableDefinition};

use super::support::{Bench, ballot, generation, identity, lane, register, set};
use crate::control::{Change, ControlError, ControlStore, Kept};
use crate::files::RealFs;
use crate::replication::register::voter::Slot;

const PAGE: usize = 4_096;
const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");

/// A file with so many groups that its trees have inner pages, as a crash leaves it.
fn image(bench: &Bench) -> (Vec<u8>, Kept) {
    let (mut store, _) = bench.create();
    let slot = |group| {
        let value = register(group, 3, 4);
        let accepted = Some((ballot(8), value.clone()));
        let slot = Slot { promised: ballot(9), accepted, chosen: Some(value) };
        Change::Slot(group, Box::new(slot))
    };
    let mut changes: Vec<_> = (0..64).map(|group| slot(LogicGroup(group))).collect();
    changes.extend((0..16).map(|server| Change::Promise(lane(server), Epoch(3))));
    changes.extend([Change::Voters(set(4)), Change::Admitted(generation(4))]);
    store.commit(&changes).unwrap();
    store.start_life("boot", [], 0).unwrap();
    store.commit(&[Change::Promise(lane(0), Epoch(4))]).unwrap();
    let bytes = fs::read(bench.path()).unwrap();
    drop(store);
    (bytes, bench.open().1)
}

/// Opens damaged bytes: what was read, or an error that names the file.
fn open(path: &Path, bytes: &[u8]) -> Option<Kept> {
    fs::write(path, bytes).unwrap();
    match ControlStore::open(&RealFs, path, &identity()) {
        Ok((_, kept)) => Some(kept),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("damaged.redb"), "{text}");
            None
        }
    }
}

#[test]
fn a_flipped_byte_is_refused_or_without_effect_and_never_a_panic() {
    let bench = Bench::new();
    let (whole, kept) = image(&bench);
    let damaged = bench.dir.path().join("damaged.redb");
    let used = |page: usize| whole[page * PAGE..][..PAGE].iter().any(|byte| *byte != 0);
    let pages: Vec<usize> = (1..whole.len() / PAGE).filter(|page| used(*page)).collect();
    let places = pages.iter().flat_map(|page| [3, 40, 700, 2_000].map(|at| page * PAGE + at));
    let flips = places.chain(0..320).map(|at| (at, 0x10));
    // Bit 0 of byte 9 names the commit in force: flipped, it names the one before, which is whole
    // too. The section on recovery in the document says so.
    let flips = flips.chain((1..8).map(|bit| (9, 1 << bit)));
    let mut refused = 0;
    for (at, bits) in flips {
        let mut bytes = whole.clone();
        bytes[at] ^= bits;
        match open(&damaged, &bytes) {
            Some(found) => assert_eq!(found, kept, "byte {at}, bits {bits:#x}"),
            None => refused += 1,
        }
    }
    assert!(refused > 40, "{refused} damaged files were noticed");
}

#[test]
fn a_cut_empty_or_foreign_file_is_refused_with_its_name() {
    let bench = Bench::new();
    let (whole, _) = image(&bench);
    let damaged = bench.dir.path().join("damaged.redb");
    for cut in [100, PAGE, whole.len() / 2, whole.len() - PAGE, whole.len() - 1] {
        assert_eq!(open(&damaged, &whole[..cut]), None, "cut at {cut}");
    }
    for content in [&b""[..], b"short", &[0; 8_192], &[0xff; 100_000]] {
        assert_eq!(open(&damaged, content), None);
    }
}

/// Changes the meta table behind the store's back.
fn rewrite(bench: &Bench, key: &str, value: Option<&[u8]>) -> ControlError {
    let database = Database::open(bench.path()).unwrap();
    let write = database.begin_write().unwrap();
    let mut meta = write.open_table(META).unwrap();
    match value {
        Some(value) => drop(meta.insert(key, value).unwrap()),
        None => drop(meta.remove(key).unwrap()),
    }
    drop(meta);
    write.commit().unwrap();
    drop(database);
    ControlStore::open(&RealFs, &bench.path(), &identity()).expect_err("refused")
}

#[test]
fn values_that_this_program_does_not_write_are_refused() {
    let bench = Bench::new();
    drop(bench.create());
    let error = rewrite(&bench, "format", Some(&9_u16.to_le_bytes()));
    assert!(matches!(error, ControlError::Format { found: 9, known: 1, .. }), "{error}");
    drop(rewrite(&bench, "format", Some(&[])));
    for (key, value, says) in [
        ("voters", Some(&[1][..]), "`voters` is unreadable"),
        ("life", None, "no value `life`"),
        ("identity", None, "no value `identity`"),
        ("format", None, "no value `format`"),
    ] {
        drop(fs::remove_file(bench.path()));
        drop(bench.create());
        let error = rewrite(&bench, key, value);
        assert!(matches!(error, ControlError::Damaged { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains(says) && error.contains("control.redb"), "{error}");
    }
}

#[test]
fn a_database_without_the_tables_is_refused() {
    let bench = Bench::new();
    drop(Database::create(bench.path()).unwrap());
    let error = ControlStore::open(&RealFs, &bench.path(), &identity()).expect_err("refused");
    assert!(matches!(error, ControlError::Damaged { .. }), "{error}");
}
