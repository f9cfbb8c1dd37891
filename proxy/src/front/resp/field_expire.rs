//! When fields of a hash expire: the HEXPIRE family, HTTL and its relatives, HPERSIST. A field's
//! expiry is its own; that of its key, which EXPIRE sets, is kept and told apart from it.

use common::op::{Action, Batch, Condition, Expiry, ExpiryRule, Op, Test, Want, Write};

use super::args::Args;
use super::call::{Kind, Simple, submit_one};
use super::command::{Outcome, is_word};
use super::error::CommandError;
use super::expire::{Base, Unit};
use super::field_times::{FieldTimes, TimeForm};
use super::hashes::field;
use super::number::parse_i64;
use super::session::{Context, object};
use super::tally::check_batch;

/// What HEXPIRE says of a wrong number of fields.
const NOT_ABOVE_0: &str = "Parameter `numFields` should be greater than 0";
/// What HTTL and HPERSIST say of it.
const NOT_POSITIVE: &str = "Number of fields must be a positive integer";

/// `HEXPIRE key seconds [NX | XX | GT | LT] FIELDS n field [field ...]`
pub(super) fn hexpire(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    touch(ctx, args, Unit::Seconds, Base::Now)
}

/// `HPEXPIRE key milliseconds [NX | XX | GT | LT] FIELDS n field [field ...]`
pub(super) fn hpexpire(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    touch(ctx, args, Unit::Milliseconds, Base::Now)
}

/// `HEXPIREAT key unix-seconds [NX | XX | GT | LT] FIELDS n field [field ...]`
pub(super) fn hexpireat(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    touch(ctx, args, Unit::Seconds, Base::Epoch)
}

/// `HPEXPIREAT key unix-milliseconds [NX | XX | GT | LT] FIELDS n field [field ...]`
pub(super) fn hpexpireat(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    touch(ctx, args, Unit::Milliseconds, Base::Epoch)
}

/// `HTTL key FIELDS n field [field ...]`
pub(super) fn httl(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    tell(ctx, args, TimeForm { unit: Unit::Seconds, base: Base::Now })
}

/// `HPTTL key FIELDS n field [field ...]`
pub(super) fn hpttl(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    tell(ctx, args, TimeForm { unit: Unit::Milliseconds, base: Base::Now })
}

/// `HEXPIRETIME key FIELDS n field [field ...]`
pub(super) fn hexpiretime(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    tell(ctx, args, TimeForm { unit: Unit::Seconds, base: Base::Epoch })
}

/// `HPEXPIRETIME key FIELDS n field [field ...]`
pub(super) fn hpexpiretime(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    tell(ctx, args, TimeForm { unit: Unit::Milliseconds, base: Base::Epoch })
}

/// `HPERSIST key FIELDS n field [field ...]`
pub(super) fn hpersist(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let names = named_fields(args, 2, NOT_POSITIVE)?;
    submit_touch(ctx, args, &names, ExpiryRule::IfExpiring, Expiry::Never)?;
    ctx.wait(Kind::Simple(Simple::FieldsPersisted))
}

fn tell(ctx: &mut Context<'_>, args: &Args<'_>, form: TimeForm) -> Outcome {
    let names = named_fields(args, 2, NOT_POSITIVE)?;
    let object = object(ctx.session, args.get(1))?;
    names.iter().try_for_each(|name| field(ctx.session, args.get(1), name).map(drop))?;
    let times = FieldTimes::ask(object, names.iter(), form, ctx.submit);
    ctx.wait(Kind::FieldTimes(Box::new(times)))
}

fn touch(ctx: &mut Context<'_>, args: &Args<'_>, unit: Unit, base: Base) -> Outcome {
    let at_ms = field_time(ctx, args.get(2), unit, base)?;
    let rule = touch_rule(args.get(3));
    let names = named_fields(args, if rule.is_some() { 4 } else { 3 }, NOT_ABOVE_0)?;
    let rule = rule.unwrap_or(ExpiryRule::Always);
    submit_touch(ctx, args, &names, rule, Expiry::At(at_ms))?;
    let is_past = at_ms <= ctx.submit.now_ms();
    ctx.wait(Kind::Simple(Simple::FieldsTouched { is_past }))
}

fn touch_rule(word: &[u8]) -> Option<ExpiryRule> {
    match () {
        () if is_word(word, "NX") => Some(ExpiryRule::IfNever),
        () if is_word(word, "XX") => Some(ExpiryRule::IfExpiring),
        () if is_word(word, "GT") => Some(ExpiryRule::IfLater),
        () if is_word(word, "LT") => Some(ExpiryRule::IfEarlier),
        () => None,
    }
}

/// The fields behind `FIELDS n`, which stands at `index`.
fn named_fields<'a>(
    args: &Args<'a>,
    index: usize,
    not_positive: &'static str,
) -> Result<Args<'a>, CommandError> {
    if !is_word(args.get(index), "FIELDS") {
        return Err(CommandError::Fixed(
            "Mandatory argument FIELDS is missing or not at the right position",
        ));
    }
    let number = parse_i64(args.get(index + 1)).filter(|&number| number > 0);
    let number = number.ok_or(CommandError::Fixed(not_positive))?;
    let names = args.from(index + 2);
    if usize::try_from(number) != Ok(names.len()) {
        return Err(CommandError::Fixed(
            "The `numfields` parameter must match the number of arguments",
        ));
    }
    Ok(names)
}

/// A time as a client counts it, as milliseconds since 1970. Relative times count from the proxy's
/// now, so that a repetition on the way to the node does not prolong them.
pub(super) fn field_time(
    ctx: &Context<'_>,
    text: &[u8],
    unit: Unit,
    base: Base,
) -> Result<u64, CommandError> {
    let time = parse_i64(text).ok_or(CommandError::NotInteger)?;
    if time < 0 {
        return Err(CommandError::Fixed("invalid expire time, must be >= 0"));
    }
    let base = match base {
        Base::Now => ctx.submit.now_ms(),
        Base::Epoch => 0,
    };
    let at_ms = unit.to_ms(time).and_then(|ms| ms.checked_add_unsigned(base));
    let at_ms = at_ms.and_then(|at_ms| u64::try_from(at_ms).ok());
    // 0 would mean never; the first millisecond is as past.
    Ok(at_ms.ok_or_else(|| CommandError::Expire(ctx.name()))?.max(1))
}

fn submit_touch(
    ctx: &mut Context<'_>,
    args: &Args<'_>,
    names: &Args<'_>,
    rule: ExpiryRule,
    expiry: Expiry,
) -> Result<(), CommandError> {
    let action = Action::Touch { rule };
    let write = |name| {
        let at = field(ctx.session, args.get(1), name)?;
        Ok(Write { at, action, expiry, want: Want::Nothing })
    };
    let writes: Vec<_> = names.iter().map(write).collect::<Result<_, CommandError>>()?;
    let at = object(ctx.session, args.get(1))?.unnamed();
    let conditions = vec![Condition { at, test: Test::NotString }];
    check_batch(&conditions, &writes)?;
    submit_one(ctx.submit, &Op::Batch(Batch { conditions, writes }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use common::reply::{BatchReply, Existed, Reply, Written};

    use super::super::harness::{Bench, NOW_MS, batch, version};

    const WRONG_TYPE: &str =
        "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

    /// What a batch of touches did: whether each was applied, and to something that existed.
    fn touched(writes: &[(bool, Existed)]) -> Reply<'static> {
        let one = |&(applied, existed): &(bool, Existed)| {
            let version = version(1);
            Written { applied, existed, version, expire_at: 0, total: 1, value: None }
        };
        Reply::Batch(BatchReply { refused: None, written: writes.iter().map(one).collect() })
    }

    #[test]
    fn times_become_absolute_and_rules_are_passed_on() {
        let mut bench = Bench::new();
        for (words, rule, ms) in [
            (&["HEXPIRE", "h", "10"][..], "Always", NOW_MS + 10_000),
            (&["HPEXPIRE", "h", "10", "nx"], "IfNever", NOW_MS + 10),
            (&["HEXPIREAT", "h", "1700000001", "XX"], "IfExpiring", 1_700_000_001_000),
            (&["HPEXPIREAT", "h", "1700000000124", "GT"], "IfLater", 1_700_000_000_124),
            (&["HPEXPIREAT", "h", "1700000000124", "Lt"], "IfEarlier", 1_700_000_000_124),
        ] {
            let words = [words, &["fields", "2", "f", "g"]].concat();
            let touch = |name: &str| format!("touch /h#{name} {rule} at({ms}) nothing");
            assert_eq!(
                bench.ops(&words),
                [format!("batch [/h not-string] [{}, {}]", touch("f"), touch("g"))]
            );
            let first_only = touched(&[(true, Existed::Yes), (false, Existed::Yes)]);
            assert_eq!(bench.answer(0, first_only), "*2\r\n:1\r\n:0\r\n");
        }
    }

    #[test]
    fn fields_that_expire_at_once_are_told_apart_from_missing_ones() {
        let mut bench = Bench::new();
        let now = NOW_MS.to_string();
        for words in [
            ["HEXPIRE", "h", "0", "FIELDS", "3", "a", "b", "c"],
            ["HPEXPIREAT", "h", "0", "FIELDS", "3", "a", "b", "c"],
            ["HPEXPIREAT", "h", &now, "FIELDS", "3", "a", "b", "c"],
        ] {
            bench.ops(&words);
            let reply =
                touched(&[(true, Existed::Yes), (false, Existed::No), (false, Existed::Yes)]);
            assert_eq!(bench.answer(0, reply), "*3\r\n:2\r\n:-2\r\n:0\r\n");
        }
    }

    #[test]
    fn persisting_answers_by_field() {
        let mut bench = Bench::new();
        assert_eq!(
            bench.ops(&["HPERSIST", "h", "FIELDS", "1", "f"]),
            ["batch [/h not-string] [touch /h#f IfExpiring never nothing]"]
        );
        assert_eq!(bench.answer(0, touched(&[(true, Existed::Yes)])), "*1\r\n:1\r\n");
        bench.ops(&["HPERSIST", "h", "FIELDS", "2", "f", "g"]);
        let reply = touched(&[(false, Existed::Yes), (false, Existed::No)]);
        assert_eq!(bench.answer(0, reply), "*2\r\n:-1\r\n:-2\r\n");
        bench.ops(&["HPERSIST", "s", "FIELDS", "1", "f"]);
        assert_eq!(bench.answer(0, batch(Some(0), &[(Existed::No, None)])), WRONG_TYPE);
    }

    #[test]
    fn errors_are_those_of_redis() {
        let mut bench = Bench::new();
        let max = i64::MAX.to_string();
        for (words, text) in [
            (
                &["HEXPIRE", "h", "x", "FIELDS", "1", "f"][..],
                "value is not an integer or out of range",
            ),
            (&["HEXPIRE", "h", "-1", "FIELDS", "1", "f"], "invalid expire time, must be >= 0"),
            (
                &["HEXPIRE", "h", &max, "FIELDS", "1", "f"],
                "invalid expire time in 'hexpire' command",
            ),
            (
                &["HPEXPIRE", "h", &max, "FIELDS", "1", "f"],
                "invalid expire time in 'hpexpire' command",
            ),
            (
                &["HEXPIRE", "h", "1", "NX", "XX", "FIELDS", "1", "f"],
                "Mandatory argument FIELDS is missing or not at the right position",
            ),
            (
                &["HTTL", "h", "FIELD", "1", "f"],
                "Mandatory argument FIELDS is missing or not at the right position",
            ),
            (
                &["HEXPIRE", "h", "1", "FIELDS", "0", "f"],
                "Parameter `numFields` should be greater than 0",
            ),
            (
                &["HEXPIRE", "h", "1", "FIELDS", "f", "f"],
                "Parameter `numFields` should be greater than 0",
            ),
            (&["HTTL", "h", "FIELDS", "0", "f"], "Number of fields must be a positive integer"),
            (
                &["HPERSIST", "h", "FIELDS", "-1", "f"],
                "Number of fields must be a positive integer",
            ),
            (
                &["HPTTL", "h", "FIELDS", "2", "f"],
                "The `numfields` parameter must match the number of arguments",
            ),
            (
                &["HEXPIRE", "h", "1", "NX", "FIELDS", "1"],
                "The `numfields` parameter must match the number of arguments",
            ),
        ] {
            assert_eq!(bench.run(words), format!("-ERR {text}\r\n"), "{words:?}");
        }
        let long = "f".repeat(8193);
        for words in
            [&["HEXPIRE", "h", "1", "FIELDS", "1", &long][..], &["HTTL", "h", "FIELDS", "1", &long]]
        {
            assert_eq!(bench.run(words), "-ERR field has 8193 bytes, max 8192\r\n");
        }
    }
}
