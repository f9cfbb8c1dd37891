//! Pending records: what is evaluated on them, which reads wait for them.

use common::op::{AddStyle, Batch, Get, GetMany, Op, Part, Range, Scan};

use super::super::KeyBuffer;
use super::lane::*;
use crate::engine::view::View;

fn pending_lane() -> Lane {
    let mut lane = Lane::at(1_000);
    lane.write(put("h.a", "1"));
    lane.write(put("h.c", "3"));
    lane.pending = true;
    lane
}

#[test]
fn evaluation_sees_pending_records_until_they_are_official_and_after() {
    let mut lane = pending_lane();
    for path in ["n", "h.b"] {
        assert_eq!(lane.write(add(path, 1, AddStyle::Strict)), "done new #1 @0 =1");
        let first = lane.ticks;
        assert_eq!(lane.write(add(path, 1, AddStyle::Strict)), "done old #1 @0 =2");
        lane.settle(first);
        assert!(!lane.overlay.is_empty());
        assert_eq!(lane.get(at(path)), "=2 #1 @0");
        lane.settle_all();
        assert_eq!(lane.get(at(path)), "=2 #1 @0");
        assert_eq!(lane.overlay.bytes(), 0);
    }
}

#[test]
fn pending_fields_are_visited_in_order_among_the_stored_ones() {
    let mut lane = pending_lane();
    lane.batch(&[], &[put("h.b", "2"), put("h.d", "4"), delete("h.c"), put("h.", "0")]);
    let page = |after: Option<&'static [u8]>, count_max| {
        let object = object("h");
        Op::Range(Range { object, after, count_max, bytes_max: 99, values: true })
    };
    let all = "Hash @0,  =0 #1 @0, a =1 #1 @0, b =2 #1 @0, d =4 #1 @0";
    assert_eq!(words(&lane.run(&page(None, 9))), all);
    assert_eq!(words(&lane.run(&page(Some(b"a"), 1))), "Hash @0, b =2 #1 @0, more");
    assert_eq!(words(&lane.run(&page(Some(b"b"), 9))), "Hash @0, d =4 #1 @0");
}

#[test]
fn a_pending_header_counts_although_the_store_has_none() {
    let mut lane = pending_lane();
    lane.write(delete_object("h"));
    assert!(!lane.view.may_have_headers());
    assert!(lane.overlay.over(&lane.view).may_have_headers());
    assert_eq!(lane.get(at("h.a")), "missing");
}

#[test]
fn a_read_waits_only_for_what_it_looks_at() {
    let mut lane = pending_lane();
    lane.batch(&[], &[put("h.b", "2"), put("n", "5")]);
    let part = Part { offset: 0, limit: 9 };
    let get = |path| Op::Get(Get { at: at(path), part });
    let many = |path| Op::GetMany(GetMany { at: vec![at("x"), at(path)], bytes_max: 9 });
    let batch = |path| Op::Batch(Batch { conditions: vec![], writes: vec![delete(path)] });
    let scan = |namespace, from| Op::Scan(Scan { namespace, from, count_max: 9 });
    let count = |namespace| Op::Count { namespace };
    let highest = (1 << 48) - 1;
    let waiting: &[Op<'_>] = &[
        get("n"),
        get("n.f"),
        get("h"),
        get("h.b"),
        many("h.b"),
        batch("h.a"),
        Op::Write(delete("h.a")),
        scan(b"", 0),
        count(b""),
    ];
    let going_on: &[Op<'_>] = &[
        get("x"),
        get("h.a"),
        many("h.a"),
        batch("x"),
        Op::Write(delete("x")),
        scan(b"other", 0),
        scan(b"", highest),
        count(b"other"),
    ];
    let mut keys = KeyBuffer::default();
    for op in waiting {
        assert!(lane.overlay.touches(op, &mut keys), "{op:?}");
    }
    for op in going_on {
        assert!(!lane.overlay.touches(op, &mut keys), "{op:?}");
    }
    lane.settle_all();
    for op in waiting {
        assert!(!lane.overlay.touches(op, &mut keys), "{op:?}");
    }
}
