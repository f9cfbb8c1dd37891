//! Each action on each state of its target.

use common::limits::{OBJECT_BYTES_MAX, VALUE_BYTES_MAX};
use common::op::{Action, AddStyle, Expiry, ExpiryRule, Want, Write};

use super::lane::*;

/// Runs `write` on a lane where `s` is a string that holds 10, `e` one that expires at 2000, `h` a
/// hash with the fields `a` and `e` (expiring at 2000), `o` a hash that expires at 3000.
fn on_fixture(write: Write<'_>) -> (String, Lane) {
    let mut lane = Lane::at(1_500);
    for write in [
        put("s", "10"),
        put("e", "20").expiring(Expiry::At(2_000)),
        put("h.a", "1"),
        put("h.e", "2").expiring(Expiry::At(2_000)),
        put("o.a", "3"),
        touch_object("o", Expiry::At(3_000)),
    ] {
        lane.write(write);
    }
    (lane.write(write), lane)
}

fn check(table: &[(Write<'_>, &str)]) {
    for (write, expected) in table {
        assert_eq!(on_fixture(*write).0, *expected, "{write:?}");
    }
}

#[test]
fn put_tells_what_was_asked_for() {
    let value = Want::Value;
    check(&[
        (put("s", "new").wanting(value), "done old #3 @0 =10"),
        (put("s", "new").wanting(Want::Existed), "done old #3 @0"),
        (put("x", "new").wanting(value), "done new #3 @0"),
        (put("x", "").wanting(Want::Existed), "done new #0 @0"),
        (put("e", "v").wanting(value).expiring(Expiry::Keep), "done old #1 @2000 =20"),
        (put("e", "v").expiring(Expiry::Keep), "done old #1 @2000"),
        (put("x", "v").expiring(Expiry::Keep), "done new #1 @0"),
        (put("x", "v").wanting(value).expiring(Expiry::After(7)), "done new #1 @1507"),
        (put("x", "v").wanting(value).expiring(Expiry::AfterSeconds(2)), "done new #1 @3000"),
        (put("x", "v").wanting(value).expiring(Expiry::AfterSeconds(-9)), "done new #1 @1"),
        (put("h.a", "v").wanting(value), "done old #1 @0 =1"),
        (put("h.b", "v").wanting(value), "done new #1 @0"),
        (put("h.b", "v"), "done blind #1 @0"),
        (put("h.", "v").wanting(value), "done new #1 @0"),
    ]);
}

#[test]
fn put_on_the_other_kind_replaces_or_is_refused() {
    check(&[
        (put_same_kind("h", "v"), "WrongKind"),
        (put_same_kind("s", "v").wanting(Want::Value), "done old #1 @0 =10"),
        (put_same_kind("x", "v").wanting(Want::Value), "done new #1 @0"),
        (put_same_kind("s.a", "v"), "WrongKind"),
        (put("h", "v").wanting(Want::Value), "done new #1 @0"),
    ]);
    let (_, mut lane) = on_fixture(put("o", "v"));
    assert_eq!(lane.describe(object("o")), "String @0 #1");
    let (_, mut lane) = on_fixture(Write::put(at("s.f"), b"v", true));
    assert_eq!(lane.describe(object("s")), "Hash @0 #1");
    assert_eq!(lane.get(at("s.f")), "=v #1 @0");
}

#[test]
fn delete_reports_what_it_deleted() {
    check(&[
        (delete("s"), "done old #0 @0"),
        (delete("s").wanting(Want::Value), "done old #0 @0 =10"),
        (delete("x"), "not done new #0 @0"),
        (delete("h"), "WrongKind"),
        (delete("h.a").wanting(Want::Value), "done old #0 @0 =1"),
        (delete("h.b"), "not done new #0 @0"),
        (delete("s.a"), "WrongKind"),
        (delete("x.a"), "not done new #0 @0"),
        (delete_object("s").wanting(Want::Value), "done old #0 @0 =10"),
        (delete_object("h").wanting(Want::Value), "done old #0 @0"),
        (delete_object("x"), "not done new #0 @0"),
    ]);
}

#[test]
fn add_counts_from_what_stands() {
    use AddStyle::{Lenient, Strict};
    check(&[
        (add("s", 5, Strict), "done old #2 @0 =15"),
        (add("s", -11, Strict), "done old #2 @0 =-1"),
        (add("e", 1, Strict), "done old #2 @2000 =21"),
        (add("e", 1, Lenient).expiring(Expiry::Never), "done old #2 @0 =21"),
        (add("x", 7, Strict), "done new #1 @0 =7"),
        (add("x.f", 7, Lenient).expiring(Expiry::After(1)), "done new #1 @1501 =7"),
        (add("h.a", 7, Strict), "done old #1 @0 =8"),
        (add("h", 7, Strict), "WrongKind"),
        (add("s.a", 7, Lenient), "WrongKind"),
        (add("s", i64::MAX, Strict), "Overflow"),
        (add("s", i64::MAX, Lenient), "done old #20 @0 =-9223372036854775799"),
    ]);
    for field in ["t", "h.t"] {
        let mut lane = Lane::at(1);
        lane.write(put(field, "12abc"));
        assert_eq!(lane.write(add(field, 1, Strict)), "NotInteger");
        assert_eq!(lane.get(at(field)), "=12abc #5 @0");
        assert_eq!(lane.write(add(field, 1, Lenient)), "done old #2 @0 =13");
    }
}

#[test]
fn append_reports_the_new_length() {
    check(&[
        (append("s", "ab"), "done old #4 @0"),
        (append("e", "ab"), "done old #4 @2000"),
        (append("x", "ab"), "done new #2 @0"),
        (append("x", ""), "done new #0 @0"),
        (append("h.a", "bc"), "done old #3 @0"),
        (append("h", "x"), "WrongKind"),
    ]);
    let (_, mut lane) = on_fixture(append("s", "ab"));
    assert_eq!(lane.get(at("s")), "=10ab #4 @0");
}

#[test]
fn touch_changes_the_expiry_of_what_exists() {
    let touch_if = |path, rule| Write {
        action: Action::Touch { rule },
        ..touch(path, Expiry::At(1_999)).wanting(Want::Value)
    };
    let persist = |name| Write {
        action: Action::TouchObject { rule: ExpiryRule::IfExpiring },
        ..touch_object(name, Expiry::Never)
    };
    check(&[
        (touch("s", Expiry::At(1_999)).wanting(Want::Value), "done old #2 @1999 =10"),
        (touch("s", Expiry::At(5)), "done old #2 @5"),
        (touch("h.a", Expiry::After(1)), "done old #1 @1501"),
        (touch("x", Expiry::Never), "not done new #0 @0"),
        (touch("h.b", Expiry::Never), "not done new #0 @0"),
        (touch("h", Expiry::Never), "WrongKind"),
        (touch_if("e", ExpiryRule::IfLater), "not done old #2 @2000 =20"),
        (touch_if("e", ExpiryRule::IfEarlier), "done old #2 @1999 =20"),
        (touch_if("e", ExpiryRule::IfNever), "not done old #2 @2000 =20"),
        (touch_object("s", Expiry::At(1_999)), "done old #2 @1999"),
        (touch_object("h", Expiry::At(1_999)), "done old #0 @1999"),
        (touch_object("x", Expiry::At(1_999)), "not done new #0 @0"),
        (persist("e"), "done old #2 @0"),
        (persist("s"), "not done old #2 @0"),
        (persist("h"), "not done old #0 @0"),
        (persist("o"), "done old #0 @0"),
    ]);
    let (_, mut lane) = on_fixture(persist("o"));
    lane.now_ms = 3_000;
    assert_eq!(lane.describe(object("o")), "Hash @0 #1");
    let (_, mut lane) = on_fixture(touch("h.a", Expiry::At(1_500)));
    assert_eq!(lane.get(at("h.a")), "missing");
    assert_eq!(lane.get(at("h.e")), "=2 #1 @2000");
}

#[test]
fn names_and_values_have_limits() {
    let long = "x".repeat(OBJECT_BYTES_MAX + 1);
    assert_eq!(on_fixture(put(&long, "v")).0, "OverLimit");
    assert_eq!(on_fixture(put(&format!("h.{long}"), "v")).0, "OverLimit");
    assert_eq!(on_fixture(delete_object(&long)).0, "OverLimit");
    let big = "x".repeat(VALUE_BYTES_MAX);
    assert_eq!(on_fixture(put("s", &format!("{big}x"))).0, "OverLimit");
    assert_eq!(on_fixture(append("s", &big)).0, "OverLimit");
    let expected = format!("done blind #{VALUE_BYTES_MAX} @0");
    assert_eq!(on_fixture(put_named(&big)).0, expected);
}

fn put_named(value: &str) -> Write<'_> {
    put("h.big", value)
}

#[test]
fn a_blind_set_reads_nothing_until_an_object_may_have_a_header() {
    let mut lane = Lane::at(1);
    assert_eq!(lane.write(put("s", "v")), "done blind #1 @0");
    assert_eq!(lane.write(put("s", "w").expiring(Expiry::After(9))), "done blind #1 @10");
    assert_eq!(lane.view.reads.get(), 0);
    lane.write(put("h.a", "v"));
    lane.write(touch_object("h", Expiry::After(9)));
    let before = lane.view.reads.get();
    lane.write(put("s", "x"));
    assert_eq!(lane.view.reads.get() - before, 1);
}
