//! HSETEX: fields of a hash together with their expiry.

use common::op::{Batch, Condition, Expiry, Op, Test, Want, Write};

use super::args::Args;
use super::call::{Kind, Simple, submit_one};
use super::command::{Outcome, is_word};
use super::error::CommandError;
use super::expire::{Base, Unit};
use super::field_expire::field_time;
use super::hashes::put;
use super::number::parse_i64;
use super::session::{Context, object};
use super::tally::check_batch;

struct Options<'a> {
    /// What must be true of every field.
    test: Option<Test<'a>>,
    expiry: Expiry,
    /// Fields and values in turn.
    pairs: Args<'a>,
}

/// `HSETEX key [FNX | FXX] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL] FIELDS n field value
/// [field value ...]`
pub(super) fn hsetex(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let Options { test, expiry, pairs } = parse(ctx, args)?;
    let write = |index| {
        let (name, value) = (pairs.get(index), pairs.get(index + 1));
        let write = put(ctx.session, args.get(1), name, value, Want::Nothing)?;
        Ok(Write { expiry, ..write })
    };
    let indexes = (0..pairs.len()).step_by(2);
    let writes: Vec<_> = indexes.map(write).collect::<Result<_, CommandError>>()?;
    let mut conditions = Vec::new();
    if let Some(test) = test {
        // Without it no field of a string would count as existing.
        let at = object(ctx.session, args.get(1))?.unnamed();
        conditions.push(Condition { at, test: Test::NotString });
        conditions.extend(writes.iter().map(|write| Condition { at: write.at, test }));
    }
    check_batch(&conditions, &writes)?;
    submit_one(ctx.submit, &Op::Batch(Batch { conditions, writes }));
    ctx.wait(Kind::Simple(Simple::FieldsPut))
}

fn parse<'a>(ctx: &Context<'_>, args: &Args<'a>) -> Result<Options<'a>, CommandError> {
    let (mut test, mut expiry) = (None, None);
    let mut index = 2;
    while !is_word(args.get(index), "FIELDS") {
        let word = args.get(index);
        index += 1;
        if let Some(wanted) = field_test(word) {
            if test.replace(wanted).is_some() {
                return Err(CommandError::Fixed(
                    "Only one of FXX or FNX arguments can be specified",
                ));
            }
            continue;
        }
        let keep = is_word(word, "KEEPTTL");
        let form = time_form(word);
        if (keep || form.is_some()) && expiry.is_some() {
            return Err(CommandError::Fixed(
                "Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
            ));
        }
        expiry = Some(match form {
            Some((unit, base)) => {
                index += 1;
                Expiry::At(field_time(ctx, args.get(index - 1), unit, base)?)
            }
            None if keep => Expiry::Keep,
            None => {
                let word = String::from_utf8_lossy(word);
                return Err(CommandError::Text(format!("unknown argument: {word}")));
            }
        });
    }
    let pairs = pairs(ctx, &args.from(index + 1))?;
    Ok(Options { test, expiry: expiry.unwrap_or(Expiry::Never), pairs })
}

fn field_test(word: &[u8]) -> Option<Test<'static>> {
    if is_word(word, "FNX") {
        Some(Test::Absent)
    } else if is_word(word, "FXX") {
        Some(Test::Exists)
    } else {
        None
    }
}

fn time_form(word: &[u8]) -> Option<(Unit, Base)> {
    match () {
        () if is_word(word, "EX") => Some((Unit::Seconds, Base::Now)),
        () if is_word(word, "PX") => Some((Unit::Milliseconds, Base::Now)),
        () if is_word(word, "EXAT") => Some((Unit::Seconds, Base::Epoch)),
        () if is_word(word, "PXAT") => Some((Unit::Milliseconds, Base::Epoch)),
        () => None,
    }
}

/// What stands behind the number of fields, which stands behind FIELDS.
fn pairs<'a>(ctx: &Context<'_>, args: &Args<'a>) -> Result<Args<'a>, CommandError> {
    let pairs = args.from(1);
    if pairs.len() < 2 {
        return Err(CommandError::Arity(ctx.name()));
    }
    let number = parse_i64(args.get(0)).filter(|&number| number > 0);
    let number = number.ok_or(CommandError::Fixed("invalid number of fields"))?;
    if !pairs.len().is_multiple_of(2) || usize::try_from(number) != Ok(pairs.len() / 2) {
        return Err(CommandError::Arity(ctx.name()));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use common::failure::FailureCode;
    use common::reply::Existed;

    use super::super::harness::{Bench, NOW_MS, batch};

    const WRONG_TYPE: &str =
        "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

    #[test]
    fn expiries_are_absolute_milliseconds() {
        let mut bench = Bench::new();
        for (options, expiry) in [
            (&[][..], "never".to_owned()),
            (&["EX", "10"], format!("at({})", NOW_MS + 10_000)),
            (&["px", "10"], format!("at({})", NOW_MS + 10)),
            (&["EXAT", "10"], "at(10000)".to_owned()),
            (&["PXAT", "10"], "at(10)".to_owned()),
            (&["PXAT", "0"], "at(1)".to_owned()),
            (&["KEEPTTL"], "keep".to_owned()),
        ] {
            let words = [&["HSETEX", "h"], options, &["fields", "1", "f", "v"]].concat();
            assert_eq!(bench.ops(&words), [format!("batch [] [put /h#f=v {expiry} nothing]")]);
            assert_eq!(bench.answer(0, batch(None, &[(Existed::Unknown, None)])), ":1\r\n");
        }
    }

    #[test]
    fn conditions_hold_for_every_field_or_nothing_is_set() {
        let mut bench = Bench::new();
        for (word, test) in [("FNX", "absent"), ("fxx", "exists")] {
            let words = ["HSETEX", "h", "PX", "1", word, "FIELDS", "2", "f", "v", "g", "w"];
            let (at, put) = (NOW_MS + 1, |pair| format!("put /h#{pair} at"));
            assert_eq!(
                bench.ops(&words),
                [format!(
                    "batch [/h not-string, /h#f {test}, /h#g {test}] [{}({at}) nothing, {}({at}) \
                     nothing]",
                    put("f=v"),
                    put("g=w")
                )]
            );
            let two = [(Existed::Unknown, None); 2];
            assert_eq!(bench.answer(0, batch(None, &two)), ":1\r\n");
            for (refused, answer) in [(0, WRONG_TYPE), (1, ":0\r\n"), (2, ":0\r\n")] {
                bench.ops(&words);
                assert_eq!(bench.answer(0, batch(Some(refused), &two)), answer);
            }
        }
        bench.ops(&["HSETEX", "s", "FIELDS", "1", "f", "v"]);
        assert_eq!(bench.fail(0, FailureCode::WrongKind, ""), WRONG_TYPE);
    }

    #[test]
    fn errors_are_those_of_redis() {
        const ARITY: &str = "wrong number of arguments for 'hsetex' command";
        const ONE_EXPIRY: &str =
            "Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified";
        let mut bench = Bench::new();
        for (words, text) in [
            ("EX 1 PX 1 FIELDS 1 f v", ONE_EXPIRY),
            ("KEEPTTL EXAT 1 FIELDS 1 f v", ONE_EXPIRY),
            ("EX 1 KEEPTTL FIELDS 1 f v", ONE_EXPIRY),
            ("FNX FXX FIELDS 1 f v", "Only one of FXX or FNX arguments can be specified"),
            ("FNX NX FIELDS 1 f v", "unknown argument: NX"),
            ("FNX EX 5 PERSIST", "unknown argument: PERSIST"),
            ("KEEPTTL FNX f EX", "unknown argument: f"),
            ("EX x FIELDS 1 f v", "value is not an integer or out of range"),
            ("EX -1 FIELDS 1 f v", "invalid expire time, must be >= 0"),
            ("EX 9223372036854775 FIELDS 1 f v", "invalid expire time in 'hsetex' command"),
            ("FNX KEEPTTL FIELDS 1 f", ARITY),
            ("FIELDS 2 f v", ARITY),
            ("FIELDS 1 f v g", ARITY),
            ("FIELDS 0 f v", "invalid number of fields"),
            ("FIELDS f f v", "invalid number of fields"),
        ] {
            let words: Vec<_> = ["HSETEX", "h"].into_iter().chain(words.split(' ')).collect();
            assert_eq!(bench.run(&words), format!("-ERR {text}\r\n"), "{words:?}");
        }
    }
}
