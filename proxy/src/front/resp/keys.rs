//! Commands on keys of any kind, one or many.

use common::address::{NameTooLong, Object};
use common::op::{Batch, Describe, Op, Write};

use crate::front::call::Durability;

use super::args::Args;
use super::call::{Kind, Simple, submit_one};
use super::command::Outcome;
use super::error::{CommandError, check_value};
use super::session::{Context, RespSession, object};
use super::tally::{ADDRESSES_MAX, Tally, Total, by_lane, check_batch, part_number};

/// `TYPE key`
pub(super) fn kind(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let object = object(ctx.session, args.get(1))?;
    submit_one(ctx.submit, &Op::Describe(Describe { object, count: false }));
    ctx.wait(Kind::Simple(Simple::KindName))
}

/// `DEL key [key ...]` and UNLINK, which is the same: an object of any size is deleted by one record.
pub(super) fn del(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    if args.len() == 2 {
        let object = object(ctx.session, args.get(1))?;
        submit_one(ctx.submit, &Op::Write(Write::delete_object(object)));
        return ctx.wait(Kind::Simple(Simple::Existed));
    }
    let keys = args.from(1);
    check_names(ctx.session, keys.iter())?;
    let write = |name| Write::delete_object(known(ctx.session, name));
    let order = by_lane(ctx.submit, keys.iter().map(|name| known(ctx.session, name)));
    let lanes = order.chunk_by(|one, other| one.0 == other.0);
    let mut parts = 0;
    for chunk in lanes.flat_map(|lane| lane.chunks(ADDRESSES_MAX)) {
        let writes = chunk.iter().map(|&(_, index)| write(keys.get(index))).collect();
        let op = Op::Batch(Batch { conditions: Vec::new(), writes });
        ctx.submit.submit(part_number(parts), &op, Durability::default());
        parts += 1;
    }
    ctx.wait(Kind::Tally(Box::new(Tally::of_batches(parts, Total::Existed))))
}

/// `EXISTS key [key ...]`
pub(super) fn exists(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    if args.len() == 2 {
        let object = object(ctx.session, args.get(1))?;
        submit_one(ctx.submit, &Op::Describe(Describe { object, count: false }));
        return ctx.wait(Kind::Simple(Simple::ObjectFound));
    }
    let keys = args.from(1);
    check_names(ctx.session, keys.iter())?;
    let tally = Tally::of_existence(&ctx.session.namespace, keys.iter(), ctx.submit);
    let asking = tally.is_asking();
    let kind = Kind::Tally(Box::new(tally));
    if asking { ctx.wait_alone(kind) } else { ctx.wait(kind) }
}

/// `MSET key value [key value ...]`. Atomic for the keys of one lane.
pub(super) fn mset(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    if args.len().is_multiple_of(2) {
        return Err(CommandError::Arity(ctx.name()));
    }
    let pairs = args.from(1);
    let names = pairs.iter().step_by(2);
    check_names(ctx.session, names.clone())?;
    pairs.iter().skip(1).step_by(2).try_for_each(check_value)?;
    let write = |index: usize| {
        let at = known(ctx.session, pairs.get(2 * index)).unnamed();
        Write::put(at, pairs.get(2 * index + 1), true)
    };
    let order = by_lane(ctx.submit, names.map(|name| known(ctx.session, name)));
    let lanes = order.chunk_by(|one, other| one.0 == other.0);
    let batches: Vec<Vec<Write<'_>>> =
        lanes.map(|lane| lane.iter().map(|&(_, index)| write(index)).collect()).collect();
    // All or nothing is checked first: no lane is written when another one's part is too large.
    batches.iter().try_for_each(|writes| check_batch(&[], writes))?;
    let parts = batches.len();
    for (part, writes) in batches.into_iter().enumerate() {
        let op = Op::Batch(Batch { conditions: Vec::new(), writes });
        ctx.submit.submit(part_number(part), &op, Durability::default());
    }
    ctx.wait(Kind::Tally(Box::new(Tally::of_batches(parts, Total::Ok))))
}

/// Refuses names that no node would store.
pub(super) fn check_names<'a>(
    session: &'a RespSession,
    mut names: impl Iterator<Item = &'a [u8]>,
) -> Result<(), NameTooLong> {
    names.try_for_each(|name| object(session, name).map(drop))
}

/// The object with a name that was checked.
fn known<'a>(session: &'a RespSession, name: &'a [u8]) -> Object<'a> {
    Object { namespace: &session.namespace, name }
}

#[cfg(test)]
mod tests {
    use common::failure::FailureCode;
    use common::reply::{Existed, ObjectKind};

    use super::super::harness::{Bench, batch, described, written};

    #[test]
    fn one_key_is_one_operation() {
        let mut bench = Bench::new();
        for word in ["DEL", "UNLINK"] {
            assert_eq!(bench.ops(&[word, "k"]), ["write delete-object /k never existed"]);
            assert_eq!(bench.answer(0, written(true, Existed::Yes, None)), ":1\r\n");
        }
        assert_eq!(bench.ops(&["EXISTS", "k"]), ["describe /k"]);
        assert_eq!(bench.answer(0, described(ObjectKind::Hash, 0, 0)), ":1\r\n");
        for (kind, name) in [
            (ObjectKind::Missing, "+none\r\n"),
            (ObjectKind::String, "+string\r\n"),
            (ObjectKind::Hash, "+hash\r\n"),
        ] {
            assert_eq!(bench.ops(&["TYPE", "k"]), ["describe /k"]);
            assert_eq!(bench.answer(0, described(kind, 0, 0)), name);
        }
    }

    #[test]
    fn many_keys_are_one_batch_a_lane_and_repetitions_stay_in_order() {
        let mut bench = Bench::new();
        let ops = bench.ops(&["DEL", "{a}1", "b", "{a}2", "{a}1"]);
        let delete = |key: &str| format!("delete-object /{key} never existed");
        assert_eq!(ops.len(), 2);
        let lane_a = [delete("{a}1"), delete("{a}2"), delete("{a}1")].join(", ");
        assert!(ops.contains(&format!("batch [] [{lane_a}]")), "{ops:?}");
        assert!(!bench.alone);
        let one = batch(None, &[(Existed::Yes, None), (Existed::Yes, None), (Existed::No, None)]);
        assert_eq!(bench.answer(1, one), "");
        assert_eq!(bench.answer(0, batch(None, &[(Existed::Yes, None)])), ":3\r\n");
    }

    #[test]
    fn the_gravest_failure_is_the_answer_once_all_lanes_answered() {
        let mut bench = Bench::new();
        let ops = bench.ops(&["MSET", "a", "1", "b", "2", "c", "3"]);
        assert!(ops.iter().all(|op| op.contains("replace never nothing")), "{ops:?}");
        assert_eq!(ops.len(), 3);
        assert_eq!(bench.fail(0, FailureCode::NoServer, "group 1 (a1): down"), "");
        assert_eq!(bench.fail(1, FailureCode::Unknown, "group 2 (a2): lost"), "");
        assert_eq!(
            bench.answer(2, batch(None, &[(Existed::Unknown, None)])),
            "-UNKNOWN request may have been applied: group 2 (a2): lost\r\n"
        );
        bench.ops(&["MSET", "a", "1", "b", "2"]);
        bench.answer(0, batch(None, &[(Existed::Unknown, None)]));
        assert_eq!(bench.answer(1, batch(None, &[(Existed::Unknown, None)])), "+OK\r\n");
    }

    #[test]
    fn mset_refuses_halves_and_oversized_parts_before_it_writes_anything() {
        let mut bench = Bench::new();
        assert_eq!(
            bench.run(&["MSET", "a", "1", "b"]),
            "-ERR wrong number of arguments for 'mset' command\r\n"
        );
        let value = vec![b'v'; 16 << 20];
        let mut words: Vec<&[u8]> = vec![b"MSET", b"b", b""];
        for name in [b"{a}1", b"{a}2", b"{a}3", b"{a}4"] {
            words.extend([&name[..], &value]);
        }
        bench.bytes_max = 128 << 20;
        let text = String::from_utf8(bench.run_bytes(&words)).unwrap();
        assert_eq!(text, "-ERR batch has 67109648 bytes, max 66060288\r\n");
        assert!(bench.take_ops().is_empty());
    }

    #[test]
    fn long_names_are_refused_before_anything_is_sent() {
        let mut bench = Bench::new();
        let long = "k".repeat(8193);
        for words in [&["DEL", "a", &long][..], &["EXISTS", "a", &long], &["MGET", "a", &long]] {
            assert_eq!(bench.run(words), "-ERR object has 8193 bytes, max 8192\r\n");
        }
        let text = "-ERR object has 8193 bytes, max 8192\r\n";
        assert_eq!(bench.run(&["MSET", "a", "1", &long, "2"]), text);
        assert!(bench.take_ops().is_empty());
    }

    #[test]
    fn exists_counts_repetitions_and_asks_about_very_many_keys_in_a_window() {
        let mut bench = Bench::new();
        assert_eq!(bench.ops(&["EXISTS", "a", "a"]), ["describe /a", "describe /a"]);
        assert!(!bench.alone);
        bench.answer(0, described(ObjectKind::String, 0, 0));
        assert_eq!(bench.answer(1, described(ObjectKind::String, 0, 0)), ":2\r\n");
        let names: Vec<String> = (0..5_000).map(|number| format!("k{number}")).collect();
        let words: Vec<&str> =
            std::iter::once("EXISTS").chain(names.iter().map(String::as_str)).collect();
        assert_eq!(bench.ops(&words).len(), 4_096);
        assert!(bench.alone);
        for part in 0..4_999 {
            assert_eq!(bench.answer(part, described(ObjectKind::String, 0, 0)), "");
            assert_eq!(bench.sent.take().len(), usize::from(part < 904));
        }
        let none = described(ObjectKind::Missing, 0, 0);
        assert_eq!(bench.answer(4_999, none), ":4999\r\n");
    }
}
