//! Conditions, atomicity and order of batches.

use common::limits::{BATCH_ITEMS_MAX, VALUE_BYTES_MAX};
use common::op::{AddStyle, Condition, Expiry, Test, Want};

use super::lane::*;

fn condition<'a>(path: &'a str, test: Test<'a>) -> Condition<'a> {
    Condition { at: at(path), test }
}

#[test]
fn conditions_see_what_a_reader_sees() {
    let mut lane = Lane::at(1_000);
    lane.write(put("s", "v"));
    let version_of_s = version(lane.ticks);
    lane.write(put("gone", "v").expiring(Expiry::At(1_000)));
    lane.write(put("h.a", "1"));
    lane.write(put("h.gone", "1").expiring(Expiry::At(1_000)));
    use Test::{
        Absent, Exists, NotHash, NotString, ObjectAbsent, ObjectExists, ValueIs, VersionIs,
    };
    let table = [
        (Exists, ["s", "h.a"].as_slice()),
        (Absent, &["x", "gone", "h", "h.x", "h.gone", "s.a"]),
        // An object test looks at the object only, whatever the field.
        (ObjectExists, &["s", "s.a", "h", "h.a", "h.x", "h.gone"]),
        (ObjectAbsent, &["x", "gone"]),
        (NotHash, &["s", "x", "gone", "s.a"]),
        (NotString, &["h", "h.a", "h.x", "h.gone", "x", "gone"]),
        (VersionIs(version_of_s), &["s"]),
        (ValueIs(b"1"), &["h.a"]),
    ];
    for (test, holding) in table {
        for path in ["s", "s.a", "h", "h.a", "h.x", "h.gone", "x", "gone"] {
            let expected = if holding.contains(&path) { "" } else { "refused by 0" };
            let answer = lane.batch(&[condition(path, test)], &[]);
            assert_eq!(answer, expected, "{path} {test:?}");
        }
    }
}

#[test]
fn the_first_condition_that_fails_is_named_and_the_present_is_told() {
    let mut lane = Lane::at(1_000);
    lane.write(put("s", "v").expiring(Expiry::At(5_000)));
    lane.write(put("h.a", "1"));
    lane.write(touch_object("h", Expiry::At(6_000)));
    let answer = lane.batch(
        &[condition("s", Test::Exists), condition("x", Test::Exists), condition("y", Test::Exists)],
        &[
            put("s", "new").wanting(Want::Value),
            put("s", "new"),
            put("x", "new").wanting(Want::Value),
            delete_object("h").wanting(Want::Value),
            put_same_kind("h", "x"),
            add("h.a", 1, AddStyle::Strict).wanting(Want::Value),
        ],
    );
    let expected = [
        "refused by 1",
        "not done old #1 @5000 =v",
        "not done old #1 @5000",
        "not done new #0 @0",
        "not done old #0 @6000",
        "not done new #0 @0",
        "not done old #1 @0 =1",
    ];
    assert_eq!(answer, expected.join(", "));
    assert_eq!(lane.get(at("s")), "=v #1 @5000");
    assert_eq!(lane.get(at("x")), "missing");
}

#[test]
fn later_writes_see_earlier_ones() {
    let mut lane = Lane::at(1_000);
    let answer = lane.batch(
        &[condition("n", Test::ObjectAbsent)],
        &[
            add("n", 1, AddStyle::Strict),
            add("n", 1, AddStyle::Strict),
            append("n", "0").wanting(Want::Existed),
            put("n", "x").wanting(Want::Value),
            delete("n").wanting(Want::Value),
            put_same_kind("n.f", "y").wanting(Want::Existed),
        ],
    );
    let expected = [
        "done new #1 @0 =1",
        "done old #1 @0 =2",
        "done old #2 @0",
        "done old #1 @0 =20",
        "done old #0 @0 =x",
        "done new #1 @0",
    ];
    assert_eq!(answer, expected.join(", "));
    assert_eq!(lane.describe(object("n")), "Hash @0 #1");
}

#[test]
fn a_refused_write_undoes_the_whole_batch() {
    let mut lane = Lane::at(1_000);
    lane.write(put("h.a", "x"));
    let before = lane.view.records.clone();
    let long = "x".repeat(9_000);
    for (bad, code) in [
        (put_same_kind("h", "v"), "WrongKind"),
        (add("h.a", 1, AddStyle::Strict), "NotInteger"),
        (put(&long, "v"), "OverLimit"),
    ] {
        let answer = lane.batch(&[], &[put("s", "v"), delete_object("h"), put("h.a", "x"), bad]);
        assert_eq!(answer, code);
        assert_eq!(lane.view.records, before);
    }
}

#[test]
fn deletes_and_touches_of_something_missing_do_not_fail_a_batch() {
    let mut lane = Lane::at(1_000);
    let answer = lane.batch(&[], &[delete("x"), touch("x.f", Expiry::Never), put("s", "v")]);
    assert_eq!(answer, "not done new #0 @0, not done new #0 @0, done blind #1 @0");
    assert_eq!(lane.batch(&[], &[]), "");
}

#[test]
fn a_batch_has_limits() {
    let mut lane = Lane::at(1_000);
    let many = vec![delete("x"); BATCH_ITEMS_MAX + 1];
    assert_eq!(lane.batch(&[], &many), "OverLimit");
    let value = "x".repeat(VALUE_BYTES_MAX);
    let big: Vec<_> = ["a", "b", "c"].map(|name| put(name, &value)).into();
    assert!(lane.batch(&[], &big).starts_with("done"));
    // Appending little to much changes much.
    let small: Vec<_> = ["a", "b", "c"].map(|name| put(name, value.split_at(9).1)).into();
    lane.batch(&[], &small);
    let appends: Vec<_> = ["a", "b", "c", "d"].map(|name| append(name, "x")).into();
    assert!(lane.batch(&[], &appends).starts_with("done"));
    let want: Vec<_> = appends.iter().map(|_| put("a", "v").wanting(Want::Value)).collect();
    assert!(lane.batch(&[], &want).starts_with("done"));
    lane.write(put("d", &value));
    let gets: Vec<_> =
        ["a", "b", "c", "d"].map(|name| touch(name, Expiry::Never).wanting(Want::Value)).into();
    assert_eq!(lane.batch(&[], &gets), "OverLimit");
}
