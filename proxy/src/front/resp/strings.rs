//! Commands on one string.

use common::op::{Action, AddStyle, Batch, Condition, Expiry, Op, Test, Want, Write};

use super::args::Args;
use super::call::{Kind, Simple, submit_one};
use super::command::Outcome;
use super::error::{CommandError, check_value};
use super::number::parse_i64;
use super::session::{Context, object};
use super::value::{Value, bare, part_at};

/// `GET key`. Allocates nothing but for keys of unusual length and values that come in parts.
pub(super) fn get(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let at = object(ctx.session, args.get(1))?.unnamed();
    submit_one(ctx.submit, &part_at(at, 0));
    let value = Value::new(at);
    ctx.wait(Kind::Value(value))
}

/// `STRLEN key`
pub(super) fn strlen(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let at = object(ctx.session, args.get(1))?.unnamed();
    submit_one(ctx.submit, &bare(at));
    ctx.wait(Kind::Simple(Simple::LookupLength))
}

/// `APPEND key value`
pub(super) fn append(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let at = object(ctx.session, args.get(1))?.unnamed();
    let bytes = args.get(2);
    check_value(bytes)?;
    let action = Action::Append { bytes };
    let write = Write { at, action, expiry: Expiry::Keep, want: Want::Nothing };
    submit_one(ctx.submit, &Op::Write(write));
    ctx.wait(Kind::Simple(Simple::Length))
}

/// `GETDEL key`
pub(super) fn getdel(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let at = object(ctx.session, args.get(1))?.unnamed();
    let write = Write { at, action: Action::Delete, expiry: Expiry::Never, want: Want::Value };
    let conditions = vec![Condition { at, test: Test::NotHash }];
    submit_one(ctx.submit, &Op::Batch(Batch { conditions, writes: vec![write] }));
    ctx.wait(Kind::Simple(Simple::OldOfBatch))
}

/// `INCR key`
pub(super) fn incr(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    add(ctx, args, 1)
}

/// `DECR key`
pub(super) fn decr(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    add(ctx, args, -1)
}

/// `INCRBY key increment`
pub(super) fn incrby(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let delta = parse_i64(args.get(2)).ok_or(CommandError::NotInteger)?;
    add(ctx, args, delta)
}

/// `DECRBY key decrement`
pub(super) fn decrby(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let decrement = parse_i64(args.get(2)).ok_or(CommandError::NotInteger)?;
    let delta = decrement.checked_neg();
    add(ctx, args, delta.ok_or(CommandError::Fixed("decrement would overflow"))?)
}

fn add(ctx: &mut Context<'_>, args: &Args<'_>, delta: i64) -> Outcome {
    let at = object(ctx.session, args.get(1))?.unnamed();
    let action = Action::Add { delta, style: AddStyle::Strict };
    let write = Write { at, action, expiry: Expiry::Keep, want: Want::Nothing };
    submit_one(ctx.submit, &Op::Write(write));
    ctx.wait(Kind::Simple(Simple::Number))
}

#[cfg(test)]
mod tests {
    use common::failure::FailureCode;

    use super::super::harness::{Bench, batch, found, lookup, written};
    use common::reply::{Existed, Lookup, Reply};

    const WRONG_TYPE: &str =
        "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

    #[test]
    fn get_answers_the_value_or_nil() {
        let mut bench = Bench::new();
        assert_eq!(bench.ops(&["GET", "k"]), ["get /k 0+262144"]);
        assert_eq!(bench.answer(0, lookup(b"v", 1)), "$1\r\nv\r\n");
        bench.ops(&["get", "k"]);
        assert_eq!(bench.answer(0, Reply::Lookup(Lookup::Missing)), "$-1\r\n");
        bench.ops(&["get", "k"]);
        assert_eq!(bench.answer(0, Reply::Lookup(Lookup::WrongKind)), WRONG_TYPE);
        bench.ops(&["get", "k"]);
        let text = "-TRYAGAIN group 3 (a1): down\r\n";
        assert_eq!(bench.fail(0, FailureCode::NoServer, "group 3 (a1): down"), text);
        bench.ops(&["get", "k"]);
        let text = "-ERR internal: a node's reply does not fit the request\r\n";
        assert_eq!(bench.answer(0, Reply::Count(1)), text);
        assert_eq!(
            bench.run(&["GET", &"k".repeat(8193)]),
            "-ERR object has 8193 bytes, max 8192\r\n"
        );
    }

    #[test]
    fn a_long_value_is_fetched_in_parts_and_again_when_it_changes() {
        let mut bench = Bench::new();
        bench.ops(&["GET", "k"]);
        assert_eq!(bench.answer(0, lookup(b"abc", 6)), "");
        assert_eq!(bench.take_ops(), ["get /k 3+262144"]);
        let changed = Reply::Lookup(Lookup::Found(found(b"zz", 5, 2)));
        assert_eq!(bench.answer(0, changed), "");
        assert_eq!(bench.take_ops(), ["get /k 0+262144"]);
        assert_eq!(bench.answer(0, Reply::Lookup(Lookup::Found(found(b"xyz", 5, 2)))), "");
        assert_eq!(bench.take_ops(), ["get /k 3+262144"]);
        let rest = Reply::Lookup(Lookup::Found(found(b"zz", 5, 2)));
        assert_eq!(bench.answer(0, rest), "$5\r\nxyzzz\r\n");
    }

    #[test]
    fn a_value_that_never_stands_still_is_given_up() {
        let mut bench = Bench::new();
        bench.ops(&["GET", "k"]);
        for version in 0..100 {
            let part = Reply::Lookup(Lookup::Found(found(b"a", 2, version)));
            let answer = bench.answer(0, part);
            if !answer.is_empty() {
                assert!(answer.starts_with("-TRYAGAIN the value keeps changing"), "{answer}");
                return;
            }
        }
        panic!("no end");
    }

    #[test]
    fn additions_are_strict() {
        let mut bench = Bench::new();
        assert_eq!(bench.ops(&["INCR", "k"]), ["write add /k 1 keep nothing"]);
        assert_eq!(bench.answer(0, written(true, Existed::No, Some(b"1"))), ":1\r\n");
        assert_eq!(bench.ops(&["DECR", "k"]), ["write add /k -1 keep nothing"]);
        assert_eq!(bench.fail(0, FailureCode::WrongKind, ""), WRONG_TYPE);
        assert_eq!(bench.ops(&["INCRBY", "k", "-7"]), ["write add /k -7 keep nothing"]);
        assert_eq!(
            bench.fail(0, FailureCode::NotInteger, ""),
            "-ERR value is not an integer or out of range\r\n"
        );
        assert_eq!(bench.ops(&["DECRBY", "k", "7"]), ["write add /k -7 keep nothing"]);
        assert_eq!(
            bench.fail(0, FailureCode::Overflow, ""),
            "-ERR increment or decrement would overflow\r\n"
        );
        assert_eq!(
            bench.run(&["INCRBY", "k", "1.5"]),
            "-ERR value is not an integer or out of range\r\n"
        );
        assert_eq!(
            bench.run(&["DECRBY", "k", "x"]),
            "-ERR value is not an integer or out of range\r\n"
        );
        assert_eq!(
            bench.run(&["DECRBY", "k", "-9223372036854775808"]),
            "-ERR decrement would overflow\r\n"
        );
    }

    #[test]
    fn lengths_and_getdel() {
        let mut bench = Bench::new();
        assert_eq!(bench.ops(&["STRLEN", "k"]), ["get /k 0+0"]);
        assert_eq!(bench.answer(0, lookup(b"", 12)), ":12\r\n");
        bench.ops(&["STRLEN", "k"]);
        assert_eq!(bench.answer(0, Reply::Lookup(Lookup::Missing)), ":0\r\n");
        assert_eq!(bench.ops(&["APPEND", "k", "ab"]), ["write append /k=ab keep nothing"]);
        assert_eq!(bench.answer(0, written(true, Existed::Yes, None)), ":7\r\n");
        assert_eq!(bench.ops(&["GETDEL", "k"]), ["batch [/k not-hash] [delete /k never value]"]);
        assert_eq!(bench.answer(0, batch(None, &[(Existed::Yes, Some(b"v"))])), "$1\r\nv\r\n");
        bench.ops(&["GETDEL", "k"]);
        assert_eq!(bench.answer(0, batch(None, &[(Existed::No, None)])), "$-1\r\n");
        bench.ops(&["GETDEL", "k"]);
        assert_eq!(bench.answer(0, batch(Some(0), &[(Existed::No, None)])), WRONG_TYPE);
    }
}
