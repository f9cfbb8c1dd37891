//! SET with its options, its older special cases, and GETEX, which shares them.

use common::op::{Action, Batch, Condition, Expiry, ExpiryRule, Op, Test, Want, Write};

use super::args::Args;
use super::call::{Kind, Simple, submit_one};
use super::command::{Outcome, is_word};
use super::error::{CommandError, check_value};
use super::expire::Unit;
use super::number::parse_i64;
use super::session::{Context, object};
use super::strings;

/// Which commands take an option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    Set,
    GetEx,
}

/// What SET requires of the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rule {
    #[default]
    Any,
    Absent,
    Present,
}

/// An expiry as the options have it. `None` leaves it to the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExpiryOption<'a> {
    Keep,
    Persist,
    After(Unit, &'a [u8]),
    At(Unit, &'a [u8]),
}

#[derive(Debug, Default)]
struct Options<'a> {
    rule: Rule,
    get: bool,
    expiry: Option<ExpiryOption<'a>>,
}

/// `SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`. Without options one
/// blind write: nothing is read, and nothing is allocated.
pub(super) fn set(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let options = parse(&args.from(3), For::Set)?;
    let expiry = match options.expiry {
        None => Expiry::Never,
        Some(option) => resolve(ctx, option)?,
    };
    let at = object(ctx.session, args.get(1))?.unnamed();
    let value = args.get(2);
    check_value(value)?;
    // With GET a hash is refused instead of replaced.
    let replace = !options.get;
    let want = if options.get { Want::Value } else { Want::Nothing };
    let write = Write { at, action: Action::Put { value, replace }, expiry, want };
    let test = match options.rule {
        Rule::Any => {
            submit_one(ctx.submit, &Op::Write(write));
            let simple = if options.get { Simple::Old } else { Simple::Ok };
            return ctx.wait(Kind::Simple(simple));
        }
        Rule::Absent => Test::ObjectAbsent,
        Rule::Present => Test::ObjectExists,
    };
    let kind = options.get.then_some(Condition { at, test: Test::NotHash });
    let conditions = kind.into_iter().chain([Condition { at, test }]).collect();
    submit_one(ctx.submit, &Op::Batch(Batch { conditions, writes: vec![write] }));
    ctx.wait(Kind::Simple(if options.get { Simple::OldOfBatch } else { Simple::OkOrNull }))
}

/// `SETNX key value`
pub(super) fn setnx(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let at = object(ctx.session, args.get(1))?.unnamed();
    check_value(args.get(2))?;
    let conditions = vec![Condition { at, test: Test::ObjectAbsent }];
    let writes = vec![Write::put(at, args.get(2), true)];
    submit_one(ctx.submit, &Op::Batch(Batch { conditions, writes }));
    ctx.wait(Kind::Simple(Simple::Flag))
}

/// `SETEX key seconds value`
pub(super) fn setex(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    set_after(ctx, args, Unit::Seconds)
}

/// `PSETEX key milliseconds value`
pub(super) fn psetex(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    set_after(ctx, args, Unit::Milliseconds)
}

fn set_after(ctx: &mut Context<'_>, args: &Args<'_>, unit: Unit) -> Outcome {
    let expiry = resolve(ctx, ExpiryOption::After(unit, args.get(2)))?;
    let at = object(ctx.session, args.get(1))?.unnamed();
    check_value(args.get(3))?;
    let write = Write { expiry, ..Write::put(at, args.get(3), true) };
    submit_one(ctx.submit, &Op::Write(write));
    ctx.wait(Kind::Simple(Simple::Ok))
}

/// `GETSET key value`
pub(super) fn getset(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let at = object(ctx.session, args.get(1))?.unnamed();
    check_value(args.get(2))?;
    let write = Write { want: Want::Value, ..Write::put(at, args.get(2), false) };
    submit_one(ctx.submit, &Op::Write(write));
    ctx.wait(Kind::Simple(Simple::Old))
}

/// `GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]`
pub(super) fn getex(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let Some(option) = parse(&args.from(2), For::GetEx)?.expiry else {
        return strings::get(ctx, args);
    };
    let expiry = resolve(ctx, option)?;
    let at = object(ctx.session, args.get(1))?.unnamed();
    let action = Action::Touch { rule: ExpiryRule::Always };
    let writes = vec![Write { at, action, expiry, want: Want::Value }];
    let conditions = vec![Condition { at, test: Test::NotHash }];
    submit_one(ctx.submit, &Op::Batch(Batch { conditions, writes }));
    ctx.wait(Kind::Simple(Simple::OldOfBatch))
}

fn parse<'a>(args: &Args<'a>, command: For) -> Result<Options<'a>, CommandError> {
    let mut options = Options::default();
    let mut rest = args.iter();
    while let Some(word) = rest.next() {
        if command == For::Set {
            match rule(word) {
                Some(rule) if options.rule == Rule::Any || options.rule == rule => {
                    options.rule = rule;
                    continue;
                }
                Some(_) => return Err(CommandError::Syntax),
                None if is_word(word, "GET") => {
                    options.get = true;
                    continue;
                }
                None => {}
            }
        }
        let option = expiry_option(word, &mut rest, command).ok_or(CommandError::Syntax)?;
        // The same option may be repeated, as in Redis; two different ones may not.
        let same = |earlier: ExpiryOption<'_>| repeats(earlier, option);
        if !options.expiry.is_none_or(same) {
            return Err(CommandError::Syntax);
        }
        options.expiry = Some(option);
    }
    Ok(options)
}

fn rule(word: &[u8]) -> Option<Rule> {
    if is_word(word, "NX") {
        Some(Rule::Absent)
    } else if is_word(word, "XX") {
        Some(Rule::Present)
    } else {
        None
    }
}

fn expiry_option<'a>(
    word: &[u8],
    rest: &mut impl Iterator<Item = &'a [u8]>,
    command: For,
) -> Option<ExpiryOption<'a>> {
    match command {
        For::Set if is_word(word, "KEEPTTL") => return Some(ExpiryOption::Keep),
        For::GetEx if is_word(word, "PERSIST") => return Some(ExpiryOption::Persist),
        For::Set | For::GetEx => {}
    }
    let unit = if is_word(word, "EX") || is_word(word, "EXAT") {
        Unit::Seconds
    } else if is_word(word, "PX") || is_word(word, "PXAT") {
        Unit::Milliseconds
    } else {
        return None;
    };
    let time = rest.next()?;
    let is_relative = word.len() == 2;
    Some(if is_relative { ExpiryOption::After(unit, time) } else { ExpiryOption::At(unit, time) })
}

fn repeats(earlier: ExpiryOption<'_>, option: ExpiryOption<'_>) -> bool {
    match (earlier, option) {
        (ExpiryOption::After(one, _), ExpiryOption::After(other, _))
        | (ExpiryOption::At(one, _), ExpiryOption::At(other, _)) => one == other,
        (one, other) => one == other,
    }
}

/// The option as an absolute time. Relative times count from the proxy's now, so that a repetition
/// on the way to the node does not prolong them.
fn resolve(ctx: &Context<'_>, option: ExpiryOption<'_>) -> Result<Expiry, CommandError> {
    let (unit, text, base) = match option {
        ExpiryOption::Keep => return Ok(Expiry::Keep),
        ExpiryOption::Persist => return Ok(Expiry::Never),
        ExpiryOption::After(unit, text) => (unit, text, ctx.submit.now_ms()),
        ExpiryOption::At(unit, text) => (unit, text, 0),
    };
    let time = parse_i64(text).ok_or(CommandError::NotInteger)?;
    let ms = Some(time).filter(|&time| time > 0).and_then(|time| unit.to_ms(time));
    let at = ms.and_then(|ms| ms.checked_add_unsigned(base));
    let at = at.and_then(|at| u64::try_from(at).ok());
    Ok(Expiry::At(at.ok_or_else(|| CommandError::Expire(ctx.name()))?))
}

#[cfg(test)]
mod tests {
    use common::failure::FailureCode;
    use common::reply::Existed;

    use super::super::harness::{Bench, NOW_MS, batch, written};

    const SYNTAX: &str = "-ERR syntax error\r\n";
    const NOT_INTEGER: &str = "-ERR value is not an integer or out of range\r\n";

    #[test]
    fn a_plain_set_is_a_blind_write() {
        let mut bench = Bench::new();
        assert_eq!(bench.ops(&["SET", "k", "v"]), ["write put /k=v replace never nothing"]);
        assert!(!bench.alone);
        assert_eq!(bench.answer(0, written(true, Existed::Unknown, None)), "+OK\r\n");
        bench.ops(&["SET", "k", "v"]);
        assert_eq!(
            bench.fail(0, FailureCode::DiskFull, "group 1 (a1): disk full"),
            "-MISCONF group 1 (a1): disk full\r\n"
        );
    }

    #[test]
    fn expiries_are_absolute_milliseconds() {
        let mut bench = Bench::new();
        let at = |ms: u64| format!("write put /k=v replace at({ms}) nothing");
        for (words, expected) in [
            (["SET", "k", "v", "EX", "10"], NOW_MS + 10_000),
            (["SET", "k", "v", "px", "10"], NOW_MS + 10),
            (["SET", "k", "v", "EXAT", "10"], 10_000),
            (["SET", "k", "v", "PXAT", "10"], 10),
        ] {
            assert_eq!(bench.ops(&words), [at(expected)]);
            assert_eq!(bench.answer(0, written(true, Existed::Unknown, None)), "+OK\r\n");
        }
        assert_eq!(bench.ops(&["SETEX", "k", "2", "v"]), [at(NOW_MS + 2_000)]);
        bench.answer(0, written(true, Existed::Unknown, None));
        assert_eq!(bench.ops(&["PSETEX", "k", "2", "v"]), [at(NOW_MS + 2)]);
        bench.answer(0, written(true, Existed::Unknown, None));
        assert_eq!(
            bench.ops(&["SET", "k", "v", "KEEPTTL"]),
            ["write put /k=v replace keep nothing"]
        );
    }

    #[test]
    fn refused_expiries_name_the_command() {
        let mut bench = Bench::new();
        let invalid = |name| format!("-ERR invalid expire time in '{name}' command\r\n");
        let max = i64::MAX.to_string();
        for time in ["0", "-1", &max, "9223372036854775"] {
            assert_eq!(bench.run(&["SET", "k", "v", "EX", time]), invalid("set"), "{time}");
        }
        assert_eq!(bench.run(&["SET", "k", "v", "PX", &max]), invalid("set"));
        assert_eq!(bench.run(&["SETEX", "k", "0", "v"]), invalid("setex"));
        assert_eq!(bench.run(&["PSETEX", "k", "-5", "v"]), invalid("psetex"));
        assert_eq!(bench.run(&["GETEX", "k", "EX", "0"]), invalid("getex"));
        assert_eq!(bench.run(&["SET", "k", "v", "EX", "ten"]), NOT_INTEGER);
        assert_eq!(bench.run(&["SETEX", "k", "1.5", "v"]), NOT_INTEGER);
    }

    #[test]
    fn options_exclude_each_other_as_in_redis() {
        let mut bench = Bench::new();
        for options in [
            &["NX", "XX"][..],
            &["EX"],
            &["EX", "1", "PX", "1"],
            &["EX", "1", "EXAT", "1"],
            &["KEEPTTL", "EX", "1"],
            &["EX", "1", "KEEPTTL"],
            &["PERSIST"],
            &["IFEQ", "x"],
            &["EXX", "1"],
            &[""],
        ] {
            let words: Vec<_> = ["SET", "k", "v"].iter().chain(options).copied().collect();
            assert_eq!(bench.run(&words), SYNTAX, "{options:?}");
        }
        for options in [&["NX"][..], &["KEEPTTL"], &["GET"], &["EX"], &["PERSIST", "EX", "1"]] {
            let words: Vec<_> = ["GETEX", "k"].iter().chain(options).copied().collect();
            assert_eq!(bench.run(&words), SYNTAX, "{options:?}");
        }
        assert_eq!(bench.ops(&["SET", "k", "v", "EX", "1", "ex", "2", "NX", "nx"]).len(), 1);
    }

    #[test]
    fn conditions_become_batches() {
        let mut bench = Bench::new();
        let write = "[put /k=v replace never nothing]";
        assert_eq!(
            bench.ops(&["SET", "k", "v", "NX"]),
            [format!("batch [/k object-absent] {write}")]
        );
        assert_eq!(bench.answer(0, batch(Some(0), &[(Existed::Yes, None)])), "$-1\r\n");
        assert_eq!(
            bench.ops(&["SET", "k", "v", "XX"]),
            [format!("batch [/k object-exists] {write}")]
        );
        assert_eq!(bench.answer(0, batch(None, &[(Existed::Yes, None)])), "+OK\r\n");
        assert_eq!(bench.ops(&["SETNX", "k", "v"]), [format!("batch [/k object-absent] {write}")]);
        assert_eq!(bench.answer(0, batch(Some(0), &[(Existed::Yes, None)])), ":0\r\n");
        bench.ops(&["SETNX", "k", "v"]);
        assert_eq!(bench.answer(0, batch(None, &[(Existed::No, None)])), ":1\r\n");
    }

    #[test]
    fn get_tells_the_old_value_whether_or_not_it_was_replaced() {
        let mut bench = Bench::new();
        for words in [&["SET", "k", "v", "GET"][..], &["GETSET", "k", "v"]] {
            assert_eq!(bench.ops(words), ["write put /k=v never value"]);
            assert_eq!(bench.answer(0, written(true, Existed::Yes, Some(b"old"))), "$3\r\nold\r\n");
            bench.ops(words);
            assert_eq!(bench.answer(0, written(true, Existed::No, None)), "$-1\r\n");
            bench.ops(words);
            assert!(bench.fail(0, FailureCode::WrongKind, "").starts_with("-WRONGTYPE "));
        }
        assert_eq!(
            bench.ops(&["SET", "k", "v", "NX", "GET"]),
            ["batch [/k not-hash, /k object-absent] [put /k=v never value]"]
        );
        let old: &[u8] = b"old";
        let refused = batch(Some(1), &[(Existed::Yes, Some(old))]);
        assert_eq!(bench.answer(0, refused), "$3\r\nold\r\n");
        bench.ops(&["SET", "k", "v", "XX", "GET"]);
        assert_eq!(bench.answer(0, batch(Some(1), &[(Existed::No, None)])), "$-1\r\n");
        bench.ops(&["SET", "k", "v", "XX", "GET"]);
        let wrong = bench.answer(0, batch(Some(0), &[(Existed::No, None)]));
        assert!(wrong.starts_with("-WRONGTYPE "));
    }

    #[test]
    fn getex_touches_and_reads_at_once() {
        let mut bench = Bench::new();
        assert_eq!(bench.ops(&["GETEX", "k"]), ["get /k 0+262144"]);
        bench.fail(0, FailureCode::NoServer, "");
        assert_eq!(
            bench.ops(&["GETEX", "k", "PERSIST"]),
            ["batch [/k not-hash] [touch /k Always never value]"]
        );
        assert_eq!(bench.answer(0, batch(None, &[(Existed::Yes, Some(b"v"))])), "$1\r\nv\r\n");
        assert_eq!(
            bench.ops(&["GETEX", "k", "PXAT", "5"]),
            ["batch [/k not-hash] [touch /k Always at(5) value]"]
        );
    }

    #[test]
    fn values_over_the_limit_are_not_sent() {
        let mut bench = Bench::new();
        let value = vec![b'v'; (16 << 20) + 1];
        for words in [
            &[&b"SET"[..], b"k", &value][..],
            &[b"SETNX", b"k", &value],
            &[b"SETEX", b"k", b"1", &value],
            &[b"GETSET", b"k", &value],
            &[b"APPEND", b"k", &value],
            &[b"MSET", b"k", &value],
            &[b"HSET", b"k", b"f", &value],
        ] {
            assert_eq!(bench.run_bytes(words), b"-ERR value has 16777217 bytes, max 16777216\r\n");
        }
        assert!(bench.take_ops().is_empty());
    }
}
