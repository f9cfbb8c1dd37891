//! When keys expire: the EXPIRE family, TTL and its relatives, PERSIST.

use common::address::Address;
use common::op::{Action, Describe, Expiry, ExpiryRule, Op, Want, Write};
use common::reply::{Described, ObjectKind, Reply};

use crate::front::call::{Answer, Progress, Submit};

use super::args::Args;
use super::call::{Kind, Simple, submit_one};
use super::command::{Outcome, is_word};
use super::encode;
use super::error::{self, CommandError, unexpected};
use super::kept::KeptAddress;
use super::number::parse_i64;
use super::session::{Context, object};

/// What a client counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
}

impl Unit {
    /// A time in this unit, in milliseconds, if there is one.
    pub(super) fn to_ms(self, time: i64) -> Option<i64> {
        match self {
            Self::Seconds => time.checked_mul(1_000),
            Self::Milliseconds => Some(time),
        }
    }

    /// Milliseconds in this unit, rounded as in Redis.
    fn of_ms(self, ms: i64) -> i64 {
        match self {
            Self::Seconds => ms.saturating_add(500) / 1_000,
            Self::Milliseconds => ms,
        }
    }
}

/// Where a client counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    Now,
    Epoch,
}

/// How a client wants to know a key's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeForm {
    unit: Unit,
    base: Base,
}

/// `EXPIRE key seconds [NX | XX | GT | LT]`
pub(super) fn expire(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    touch(ctx, args, Unit::Seconds, Base::Now)
}

/// `PEXPIRE key milliseconds [NX | XX | GT | LT]`
pub(super) fn pexpire(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    touch(ctx, args, Unit::Milliseconds, Base::Now)
}

/// `EXPIREAT key unix-seconds [NX | XX | GT | LT]`
pub(super) fn expireat(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    touch(ctx, args, Unit::Seconds, Base::Epoch)
}

/// `PEXPIREAT key unix-milliseconds [NX | XX | GT | LT]`
pub(super) fn pexpireat(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    touch(ctx, args, Unit::Milliseconds, Base::Epoch)
}

/// `TTL key`
pub(super) fn ttl(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    tell(ctx, args, TimeForm { unit: Unit::Seconds, base: Base::Now })
}

/// `PTTL key`
pub(super) fn pttl(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    tell(ctx, args, TimeForm { unit: Unit::Milliseconds, base: Base::Now })
}

/// `EXPIRETIME key`
pub(super) fn expiretime(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    tell(ctx, args, TimeForm { unit: Unit::Seconds, base: Base::Epoch })
}

/// `PEXPIRETIME key`
pub(super) fn pexpiretime(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    tell(ctx, args, TimeForm { unit: Unit::Milliseconds, base: Base::Epoch })
}

/// `PERSIST key`
pub(super) fn persist(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let at = object(ctx.session, args.get(1))?.unnamed();
    let action = Action::TouchObject { rule: ExpiryRule::IfExpiring };
    let write = Write { at, action, expiry: Expiry::Never, want: Want::Nothing };
    submit_one(ctx.submit, &Op::Write(write));
    ctx.wait(Kind::Simple(Simple::Applied))
}

fn tell(ctx: &mut Context<'_>, args: &Args<'_>, form: TimeForm) -> Outcome {
    let object = object(ctx.session, args.get(1))?;
    submit_one(ctx.submit, &Op::Describe(Describe { object, count: false }));
    ctx.wait(Kind::Simple(Simple::Time(form)))
}

/// What TTL and its relatives answer: -2 for no key, -1 for no expiry.
pub(super) fn time_left(described: &Described, form: TimeForm, now_ms: u64) -> i64 {
    if described.kind == ObjectKind::Missing {
        return -2;
    }
    if described.expire_at == 0 {
        return -1;
    }
    let ms = match form.base {
        Base::Now => described.expire_at.saturating_sub(now_ms),
        Base::Epoch => described.expire_at,
    };
    form.unit.of_ms(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// What the options NX, XX, GT and LT of EXPIRE amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TouchRule {
    /// A rule that nodes know.
    One(ExpiryRule),
    /// XX with LT, which they do not. XX with GT is GT: nothing is later than never.
    ExpiringAndEarlier,
}

fn touch(ctx: &mut Context<'_>, args: &Args<'_>, unit: Unit, base: Base) -> Outcome {
    let rule = touch_rule(&args.from(3))?;
    let time = parse_i64(args.get(2)).ok_or(CommandError::NotInteger)?;
    let base = match base {
        Base::Now => ctx.submit.now_ms(),
        Base::Epoch => 0,
    };
    let at_ms = unit.to_ms(time).and_then(|ms| ms.checked_add_unsigned(base));
    let at_ms = at_ms.ok_or_else(|| CommandError::Expire(ctx.name()))?;
    // Times before 1970 are as past as its first millisecond; 0 would mean never.
    let at_ms = u64::try_from(at_ms).unwrap_or_default().max(1);
    let object = object(ctx.session, args.get(1))?;
    match rule {
        TouchRule::One(rule) => {
            submit_one(ctx.submit, &Op::Write(touch_write(object.unnamed(), rule, at_ms)));
            ctx.wait(Kind::Simple(Simple::Applied))
        }
        TouchRule::ExpiringAndEarlier => {
            submit_one(ctx.submit, &Op::Describe(Describe { object, count: false }));
            let touch = TouchEarlier { at: KeptAddress::new(object.unnamed()), at_ms };
            ctx.wait_alone(Kind::TouchEarlier(Box::new(touch)))
        }
    }
}

fn touch_write(at: Address<'_>, rule: ExpiryRule, at_ms: u64) -> Write<'_> {
    let action = Action::TouchObject { rule };
    Write { at, action, expiry: Expiry::At(at_ms), want: Want::Nothing }
}

fn touch_rule(options: &Args<'_>) -> Result<TouchRule, CommandError> {
    let (mut nx, mut xx, mut gt, mut lt) = (false, false, false, false);
    for option in options.iter() {
        match () {
            () if is_word(option, "NX") => nx = true,
            () if is_word(option, "XX") => xx = true,
            () if is_word(option, "GT") => gt = true,
            () if is_word(option, "LT") => lt = true,
            () => {
                let option = String::from_utf8_lossy(option);
                return Err(CommandError::Text(format!("Unsupported option {option}")));
            }
        }
    }
    if nx && (xx || gt || lt) {
        return Err(CommandError::Fixed(
            "NX and XX, GT or LT options at the same time are not compatible",
        ));
    }
    if gt && lt {
        return Err(CommandError::Fixed("GT and LT options at the same time are not compatible"));
    }
    Ok(TouchRule::One(match (nx, xx, gt, lt) {
        (true, ..) => ExpiryRule::IfNever,
        (_, _, true, _) => ExpiryRule::IfLater,
        (_, true, _, true) => return Ok(TouchRule::ExpiringAndEarlier),
        (_, _, _, true) => ExpiryRule::IfEarlier,
        (_, true, ..) => ExpiryRule::IfExpiring,
        _ => ExpiryRule::Always,
    }))
}

/// EXPIRE with XX and LT: looks whether the key expires, then moves that time forward. A PERSIST by
/// another client between the two is overruled.
pub(super) struct TouchEarlier {
    at: KeptAddress,
    at_ms: u64,
}

impl TouchEarlier {
    pub(super) fn on_answer(
        &mut self,
        answer: Answer<'_>,
        submit: &mut dyn Submit,
        out: &mut Vec<u8>,
    ) -> Progress {
        match answer {
            Ok(Reply::Described(described)) if described.expire_at != 0 => {
                let write = touch_write(self.at.address(), ExpiryRule::IfEarlier, self.at_ms);
                submit_one(submit, &Op::Write(write));
                return Progress::Waiting;
            }
            Ok(Reply::Described(_)) => encode::integer(out, 0),
            Ok(Reply::Written(written)) => encode::integer(out, i64::from(written.applied)),
            Ok(_) => error::failure(out, &unexpected()),
            Err(failure) => error::failure(out, &failure),
        }
        Progress::Done
    }
}

#[cfg(test)]
mod tests {
    use common::reply::{Existed, ObjectKind};

    use super::super::harness::{Bench, NOW_MS, described, written};

    #[test]
    fn times_become_absolute_and_rules_are_passed_on() {
        let mut bench = Bench::new();
        let touch = |rule, ms: u64| [format!("write touch-object /k {rule} at({ms}) nothing")];
        for (words, rule, ms) in [
            (&["EXPIRE", "k", "10"][..], "Always", NOW_MS + 10_000),
            (&["PEXPIRE", "k", "10", "nx"], "IfNever", NOW_MS + 10),
            (&["EXPIREAT", "k", "10", "XX"], "IfExpiring", 10_000),
            (&["PEXPIREAT", "k", "10", "GT"], "IfLater", 10),
            (&["PEXPIREAT", "k", "10", "GT", "XX"], "IfLater", 10),
            (&["PEXPIREAT", "k", "10", "LT"], "IfEarlier", 10),
            (&["EXPIRE", "k", "-1"], "Always", NOW_MS - 1_000),
            (&["PEXPIREAT", "k", "-5"], "Always", 1),
            (&["PEXPIREAT", "k", "0"], "Always", 1),
        ] {
            assert_eq!(bench.ops(words), touch(rule, ms), "{words:?}");
            assert_eq!(bench.answer(0, written(true, Existed::Yes, None)), ":1\r\n");
        }
        bench.ops(&["EXPIRE", "k", "10"]);
        assert_eq!(bench.answer(0, written(false, Existed::No, None)), ":0\r\n");
        let persist = ["write touch-object /k IfExpiring never nothing"];
        assert_eq!(bench.ops(&["PERSIST", "k"]), persist);
        assert_eq!(bench.answer(0, written(true, Existed::Yes, None)), ":1\r\n");
    }

    #[test]
    fn xx_with_lt_looks_first() {
        let mut bench = Bench::new();
        let words = ["PEXPIREAT", "k", "9", "XX", "LT"];
        assert_eq!(bench.ops(&words), ["describe /k"]);
        assert!(bench.alone);
        assert_eq!(bench.answer(0, described(ObjectKind::String, 0, 0)), ":0\r\n");
        bench.ops(&words);
        assert_eq!(bench.answer(0, described(ObjectKind::Hash, 50, 0)), "");
        assert_eq!(bench.take_ops(), ["write touch-object /k IfEarlier at(9) nothing"]);
        assert_eq!(bench.answer(0, written(true, Existed::Yes, None)), ":1\r\n");
    }

    #[test]
    fn errors_are_those_of_redis() {
        let mut bench = Bench::new();
        assert_eq!(bench.run(&["EXPIRE", "k", "1", "YY"]), "-ERR Unsupported option YY\r\n");
        for options in [["NX", "XX"], ["GT", "NX"], ["NX", "LT"]] {
            assert_eq!(
                bench.run(&["EXPIRE", "k", "1", options[0], options[1]]),
                "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n"
            );
        }
        assert_eq!(
            bench.run(&["EXPIRE", "k", "1", "GT", "LT"]),
            "-ERR GT and LT options at the same time are not compatible\r\n"
        );
        assert_eq!(
            bench.run(&["EXPIRE", "k", "1s"]),
            "-ERR value is not an integer or out of range\r\n"
        );
        let max = i64::MAX.to_string();
        for (name, time) in [("EXPIRE", "9223372036854775"), ("EXPIREAT", &max), ("PEXPIRE", &max)]
        {
            let name_lower = name.to_lowercase();
            assert_eq!(
                bench.run(&[name, "k", time]),
                format!("-ERR invalid expire time in '{name_lower}' command\r\n")
            );
        }
        assert_eq!(bench.ops(&["PEXPIREAT", "k", &max]).len(), 1);
    }

    #[test]
    fn the_time_left_is_rounded_as_in_redis() {
        let mut bench = Bench::new();
        let mut time = |word, kind, expire_at| {
            assert_eq!(bench.ops(&[word, "k"]), ["describe /k"]);
            bench.answer(0, described(kind, expire_at, 0))
        };
        assert_eq!(time("TTL", ObjectKind::Missing, 0), ":-2\r\n");
        assert_eq!(time("TTL", ObjectKind::Hash, 0), ":-1\r\n");
        assert_eq!(time("TTL", ObjectKind::String, NOW_MS + 1_499), ":1\r\n");
        assert_eq!(time("TTL", ObjectKind::String, NOW_MS + 1_500), ":2\r\n");
        assert_eq!(time("TTL", ObjectKind::String, NOW_MS - 5), ":0\r\n");
        assert_eq!(time("PTTL", ObjectKind::String, NOW_MS + 1_499), ":1499\r\n");
        assert_eq!(time("EXPIRETIME", ObjectKind::String, 1_500), ":2\r\n");
        assert_eq!(time("PEXPIRETIME", ObjectKind::String, 1_500), ":1500\r\n");
        assert_eq!(time("PEXPIRETIME", ObjectKind::Missing, 0), ":-2\r\n");
    }
}
