//! Commands on some fields of a hash.

use common::address::Address;
use common::op::{Action, AddStyle, Batch, Condition, Describe, Expiry, Op, Test, Want, Write};

use super::args::Args;
use super::call::{Kind, Simple, submit_one};
use super::command::Outcome;
use super::error::{CommandError, check_value};
use super::number::parse_i64;
use super::session::{Context, RespSession, object};
use super::tally::check_batch;
use super::value::{Value, bare, part_at};

/// The field with this name of the object with that one.
pub(super) fn field<'a>(
    session: &'a RespSession,
    name: &'a [u8],
    field: &'a [u8],
) -> Result<Address<'a>, CommandError> {
    let at = object(session, name)?.field(field);
    at.check()?;
    Ok(at)
}

/// `HGET key field`. Allocates as little as GET.
pub(super) fn hget(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let at = field(ctx.session, args.get(1), args.get(2))?;
    submit_one(ctx.submit, &part_at(at, 0));
    let value = Value::new(at);
    ctx.wait(Kind::Value(value))
}

/// `HEXISTS key field`
pub(super) fn hexists(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let at = field(ctx.session, args.get(1), args.get(2))?;
    submit_one(ctx.submit, &bare(at));
    ctx.wait(Kind::Simple(Simple::LookupFound))
}

/// `HLEN key`
pub(super) fn hlen(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let object = object(ctx.session, args.get(1))?;
    submit_one(ctx.submit, &Op::Describe(Describe { object, count: true }));
    ctx.wait(Kind::Simple(Simple::FieldCount))
}

/// `HINCRBY key field increment`
pub(super) fn hincrby(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let delta = parse_i64(args.get(3)).ok_or(CommandError::NotInteger)?;
    let at = field(ctx.session, args.get(1), args.get(2))?;
    let action = Action::Add { delta, style: AddStyle::Strict };
    let write = Write { at, action, expiry: Expiry::Keep, want: Want::Nothing };
    submit_one(ctx.submit, &Op::Write(write));
    ctx.wait(Kind::Simple(Simple::FieldNumber))
}

/// `HSET key field value [field value ...]`. One field is one write, which allocates nothing.
pub(super) fn hset(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    if args.len() != 4 {
        put_fields(ctx, args, Want::Existed)?;
        return ctx.wait(Kind::Simple(Simple::CreatedMany));
    }
    let write = put(ctx.session, args.get(1), args.get(2), args.get(3), Want::Existed)?;
    submit_one(ctx.submit, &Op::Write(write));
    ctx.wait(Kind::Simple(Simple::Created))
}

/// `HMSET key field value [field value ...]`
pub(super) fn hmset(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    put_fields(ctx, args, Want::Nothing)?;
    ctx.wait(Kind::Simple(Simple::OkOfBatch))
}

fn put_fields(ctx: &mut Context<'_>, args: &Args<'_>, want: Want) -> Result<(), CommandError> {
    if !args.len().is_multiple_of(2) {
        return Err(CommandError::Arity(ctx.name()));
    }
    let pairs = (2..args.len()).step_by(2);
    let write = |index| put(ctx.session, args.get(1), args.get(index), args.get(index + 1), want);
    let writes: Vec<_> = pairs.map(write).collect::<Result<_, _>>()?;
    check_batch(&[], &writes)?;
    submit_one(ctx.submit, &Op::Batch(Batch { conditions: Vec::new(), writes }));
    Ok(())
}

/// A put of one field that never expires.
pub(super) fn put<'a>(
    session: &'a RespSession,
    name: &'a [u8],
    field_name: &'a [u8],
    value: &'a [u8],
    want: Want,
) -> Result<Write<'a>, CommandError> {
    let at = field(session, name, field_name)?;
    check_value(value)?;
    Ok(Write { want, ..Write::put(at, value, false) })
}

/// `HDEL key field [field ...]`
pub(super) fn hdel(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let names = args.from(2);
    let write = |name| field(ctx.session, args.get(1), name).map(Write::delete);
    let writes: Vec<_> = names.iter().map(write).collect::<Result<_, _>>()?;
    let at = object(ctx.session, args.get(1))?.unnamed();
    let conditions = vec![Condition { at, test: Test::NotString }];
    check_batch(&conditions, &writes)?;
    submit_one(ctx.submit, &Op::Batch(Batch { conditions, writes }));
    ctx.wait(Kind::Simple(Simple::ExistedMany))
}

#[cfg(test)]
mod tests {
    use common::failure::FailureCode;
    use common::reply::{Existed, Lookup, ObjectKind, Reply};

    use super::super::harness::{Bench, batch, described, lookup, written};

    const WRONG_TYPE: &str =
        "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

    #[test]
    fn single_fields() {
        let mut bench = Bench::new();
        assert_eq!(bench.ops(&["HGET", "h", "f"]), ["get /h#f 0+262144"]);
        assert_eq!(bench.answer(0, lookup(b"v", 1)), "$1\r\nv\r\n");
        assert_eq!(bench.ops(&["HGET", "h", ""]), ["get /h# 0+262144"]);
        assert_eq!(bench.answer(0, lookup(b"ab", 4)), "");
        assert_eq!(bench.take_ops(), ["get /h# 2+262144"]);
        assert_eq!(bench.answer(0, lookup(b"cd", 4)), "$4\r\nabcd\r\n");
        assert_eq!(bench.ops(&["HEXISTS", "h", "f"]), ["get /h#f 0+0"]);
        assert_eq!(bench.answer(0, lookup(b"", 1)), ":1\r\n");
        bench.ops(&["HEXISTS", "h", "f"]);
        assert_eq!(bench.answer(0, Reply::Lookup(Lookup::Missing)), ":0\r\n");
        bench.ops(&["HEXISTS", "h", "f"]);
        assert_eq!(bench.answer(0, Reply::Lookup(Lookup::WrongKind)), WRONG_TYPE);
        let long = "f".repeat(8193);
        for words in [&["HGET", "h", &long][..], &["HDEL", "h", &long], &["HMGET", "h", &long]] {
            assert_eq!(bench.run(words), "-ERR field has 8193 bytes, max 8192\r\n");
        }
    }

    #[test]
    fn lengths() {
        let mut bench = Bench::new();
        for (kind, size, answer) in [
            (ObjectKind::Hash, 12, ":12\r\n"),
            (ObjectKind::Missing, 0, ":0\r\n"),
            (ObjectKind::String, 5, WRONG_TYPE),
        ] {
            assert_eq!(bench.ops(&["HLEN", "h"]), ["describe /h count"]);
            assert_eq!(bench.answer(0, described(kind, 0, size)), answer);
        }
    }

    #[test]
    fn additions_have_their_own_error_text() {
        let mut bench = Bench::new();
        assert_eq!(bench.ops(&["HINCRBY", "h", "f", "-2"]), ["write add /h#f -2 keep nothing"]);
        assert_eq!(bench.answer(0, written(true, Existed::Yes, Some(b"-2"))), ":-2\r\n");
        bench.ops(&["HINCRBY", "h", "f", "1"]);
        assert_eq!(
            bench.fail(0, FailureCode::NotInteger, ""),
            "-ERR hash value is not an integer\r\n"
        );
        bench.ops(&["HINCRBY", "h", "f", "1"]);
        assert_eq!(
            bench.fail(0, FailureCode::Overflow, ""),
            "-ERR increment or decrement would overflow\r\n"
        );
        assert_eq!(
            bench.run(&["HINCRBY", "h", "f", "x"]),
            "-ERR value is not an integer or out of range\r\n"
        );
    }

    #[test]
    fn fields_are_put_alone_or_in_one_batch() {
        let mut bench = Bench::new();
        assert_eq!(bench.ops(&["HSET", "h", "f", "v"]), ["write put /h#f=v never existed"]);
        assert_eq!(bench.answer(0, written(true, Existed::No, None)), ":1\r\n");
        bench.ops(&["HSET", "h", "f", "v"]);
        assert_eq!(bench.fail(0, FailureCode::WrongKind, ""), WRONG_TYPE);
        assert_eq!(
            bench.ops(&["HSET", "h", "f", "v", "g", "w"]),
            ["batch [] [put /h#f=v never existed, put /h#g=w never existed]"]
        );
        let one_new = batch(None, &[(Existed::No, None), (Existed::Yes, None)]);
        assert_eq!(bench.answer(0, one_new), ":1\r\n");
        assert_eq!(bench.ops(&["HMSET", "h", "f", "v"]), ["batch [] [put /h#f=v never nothing]"]);
        assert_eq!(bench.answer(0, batch(None, &[(Existed::Unknown, None)])), "+OK\r\n");
        for word in ["HSET", "HMSET"] {
            let name = word.to_lowercase();
            assert_eq!(
                bench.run(&[word, "h", "f", "v", "g"]),
                format!("-ERR wrong number of arguments for '{name}' command\r\n")
            );
        }
    }

    #[test]
    fn deleted_fields_are_counted() {
        let mut bench = Bench::new();
        assert_eq!(
            bench.ops(&["HDEL", "h", "f", "g"]),
            ["batch [/h not-string] [delete /h#f never existed, delete /h#g never existed]"]
        );
        let one = batch(None, &[(Existed::Yes, None), (Existed::No, None)]);
        assert_eq!(bench.answer(0, one), ":1\r\n");
        bench.ops(&["HDEL", "h", "f"]);
        assert_eq!(bench.answer(0, batch(Some(0), &[(Existed::No, None)])), WRONG_TYPE);
    }
}
