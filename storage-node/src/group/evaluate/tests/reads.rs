//! Gets, multi-gets, pages and descriptions.

use common::op::{Expiry, Get, GetMany, Op, Part, Range};
use common::reply::Reply;
use common::wire::response;

use super::lane::*;

fn fixture() -> Lane {
    let mut lane = Lane::at(1_000);
    lane.write(put("s", "hello"));
    for (path, value) in [("h.", "0"), ("h.a", "11"), ("h.b", "222"), ("h.c", "3333")] {
        lane.write(put(path, value));
    }
    lane.write(put("h.aa", "gone").expiring(Expiry::At(1_000)));
    lane.write(put("h.z", "gone"));
    lane.write(delete("h.z"));
    lane
}

#[test]
fn a_get_answers_the_part_that_was_asked_for_and_the_whole_length() {
    let mut lane = fixture();
    let table = [
        (0, u32::MAX, "=hello #5 @0"),
        (0, 2, "=he #5 @0"),
        (1, 3, "=ell #5 @0"),
        (4, u32::MAX, "=o #5 @0"),
        (5, 1, "= #5 @0"),
        (u32::MAX, u32::MAX, "= #5 @0"),
        (0, 0, "= #5 @0"),
    ];
    for (offset, limit, expected) in table {
        let get = Op::Get(Get { at: at("s"), part: Part { offset, limit } });
        assert_eq!(words(&lane.run(&get)), expected);
    }
    assert_eq!(lane.get(at("h")), "wrong kind");
    assert_eq!(lane.get(at("s.a")), "wrong kind");
    assert_eq!(lane.get(at("h.")), "=0 #1 @0");
    assert_eq!(lane.get(at("h.aa")), "missing");
    assert_eq!(lane.get(at("x")), "missing");
    assert_eq!(lane.get(at(&"x".repeat(9_000))), "OverLimit");
}

#[test]
fn a_found_record_has_its_version() {
    let mut lane = Lane::at(1_000);
    lane.write(put("s", "v"));
    let part = Part { offset: 0, limit: 9 };
    let body = lane.run(&Op::Get(Get { at: at("s"), part }));
    let Ok(Ok(Reply::Lookup(common::reply::Lookup::Found(found)))) = response::decode(&body) else {
        panic!("{body:?}")
    };
    assert_eq!(found.version, version(lane.ticks));
}

#[test]
fn a_multi_get_answers_the_first_ones_that_fit() {
    let mut lane = fixture();
    let mut many = |paths: &[&'static str], bytes_max| {
        let at = paths.iter().map(|path| at(path)).collect();
        words(&lane.run(&Op::GetMany(GetMany { at, bytes_max })))
    };
    assert_eq!(many(&["s", "x", "h", "h.a"], 7), "=hello #5 @0, missing, wrong kind, =11 #2 @0");
    assert_eq!(many(&["s", "x", "h.a", "x"], 6), "=hello #5 @0, missing");
    assert_eq!(many(&["s", "x"], 2), "=he #5 @0");
    assert_eq!(many(&["x", "s"], 2), "missing");
    assert_eq!(many(&["x", "s", "x"], 0), "missing");
    assert_eq!(many(&["s", "h.a"], 0), "= #5 @0");
    assert_eq!(many(&[], 0), "");
}

#[test]
fn pages_are_ordered_bounded_and_say_exactly_whether_more_follows() {
    let mut lane = fixture();
    let mut page = |name, after: Option<&'static str>, count_max, bytes_max, values| {
        let (object, after) = (object(name), after.map(str::as_bytes));
        words(&lane.run(&Op::Range(Range { object, after, count_max, bytes_max, values })))
    };
    let all = "Hash @0,  =0 #1 @0, a =11 #2 @0, b =222 #3 @0, c =3333 #4 @0";
    assert_eq!(page("h", None, 9, 999, true), all);
    assert_eq!(page("h", None, 4, 999, true), all);
    assert_eq!(page("h", None, 4, 13, true), all);
    let three = "Hash @0,  =0 #1 @0, a =11 #2 @0, b =222 #3 @0, more";
    assert_eq!(page("h", None, 3, 999, true), three);
    assert_eq!(page("h", None, 9, 12, true), three);
    assert_eq!(page("h", Some("b"), 1, 5, true), "Hash @0, c =3333 #4 @0");
    assert_eq!(page("h", Some("b"), 1, 4, true), "Hash @0, c =333 #4 @0");
    assert_eq!(page("h", Some("a"), 9, 3, true), "Hash @0, b =22 #3 @0, more");
    assert_eq!(page("h", Some("a"), 0, 0, true), "Hash @0, b = #3 @0, more");
    assert_eq!(page("h", Some("c"), 9, 999, true), "Hash @0");
    assert_eq!(page("h", Some(""), 1, 999, false), "Hash @0, a = #2 @0, more");
    assert_eq!(page("h", Some("a\0"), 9, 2, false), "Hash @0, b = #3 @0, c = #4 @0");
    assert_eq!(page("s", None, 9, 999, true), "String @0");
    assert_eq!(page("x", None, 9, 999, true), "Missing @0");
}

#[test]
fn descriptions_count_only_when_asked() {
    let mut lane = fixture();
    assert_eq!(lane.describe(object("h")), "Hash @0 #4");
    assert_eq!(lane.describe(object("s")), "String @0 #5");
    assert_eq!(lane.describe(object("x")), "Missing @0 #0");
    let describe = common::op::Describe { object: object("h"), count: false };
    assert_eq!(words(&lane.run(&Op::Describe(describe))), "Hash @0 #0");
}

#[test]
fn operations_of_other_evaluators_are_refused() {
    let mut lane = fixture();
    assert_eq!(words(&lane.run(&Op::Count { namespace: b"" })), "Malformed");
}
