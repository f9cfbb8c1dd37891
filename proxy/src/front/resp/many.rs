//! MGET and HMGET: many values, asked of each lane together, taken in answers of bounded size.

use common::address::{Address, Object};
use common::failure::{Failure, FailureCode};
use common::reply::{Lookup, Reply};

use crate::front::call::{Answer, Durability, Progress, Submit};

use super::args::Args;
use super::call::Kind;
use super::command::Outcome;
use super::encode::{self, Proto};
use super::error::unexpected;
use super::hashes::field;
use super::kept::KeptNames;
use super::keys::check_names;
use super::parts::{Parts, PartsEnd};
use super::session::{Context, object};
use super::tally::{by_lane, part_number};
use super::value::{Partial, Step, part_at};

/// Most value bytes that one command gathers.
pub(super) const GATHERED_BYTES_MAX: usize = 64 << 20;

/// `MGET key [key ...]`
pub(super) fn mget(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let names = args.from(1);
    check_names(ctx.session, names.iter())?;
    let namespace = ctx.session.namespace.clone();
    let objects = names.iter().map(|name| Object { namespace: &namespace, name });
    let order = by_lane(ctx.submit, objects);
    let lanes = order.chunk_by(|one, other| one.0 == other.0);
    let parts = Parts::of_lanes(lanes.map(|lane| lane.iter().map(|&(_, index)| index).collect()));
    let whose = Whose::Keys { namespace };
    start(ctx, Many::new(whose, names.iter().collect(), parts))
}

/// `HMGET key field [field ...]`
pub(super) fn hmget(ctx: &mut Context<'_>, args: &Args<'_>) -> Outcome {
    let object = object(ctx.session, args.get(1))?;
    let names = args.from(2);
    names.iter().try_for_each(|name| field(ctx.session, args.get(1), name).map(drop))?;
    let whose =
        Whose::Fields { namespace: object.namespace.to_vec(), object: object.name.to_vec() };
    let parts = Parts::of_lanes(std::iter::once((0..names.len()).collect()));
    start(ctx, Many::new(whose, names.iter().collect(), parts))
}

fn start(ctx: &mut Context<'_>, many: Many) -> Outcome {
    many.parts.ask_all(|index| many.names.address(index), ctx.submit);
    ctx.wait(Kind::Many(Box::new(many)))
}

/// Whose names they are.
enum Whose {
    Keys { namespace: Vec<u8> },
    Fields { namespace: Vec<u8>, object: Vec<u8> },
}

/// The names that are asked for.
struct Names {
    whose: Whose,
    names: KeptNames,
}

impl Names {
    fn address(&self, index: usize) -> Address<'_> {
        let name = self.names.get(index);
        match &self.whose {
            Whose::Keys { namespace } => Object { namespace, name }.unnamed(),
            Whose::Fields { namespace, object } => Object { namespace, name: object }.field(name),
        }
    }

    /// To MGET a hash is no value; HMGET on a string is an error.
    fn of_wrong_kind(&self) -> Result<Option<Vec<u8>>, Failure> {
        match self.whose {
            Whose::Keys { .. } => Ok(None),
            Whose::Fields { .. } => Err(Failure::new(FailureCode::WrongKind, "not a hash")),
        }
    }
}

/// Gathers the values.
pub(super) struct Many {
    names: Names,
    values: Vec<Option<Vec<u8>>>,
    parts: Parts,
    /// For each part the value that is being fetched in pieces.
    partials: Vec<Option<Partial>>,
    bytes: usize,
}

impl Many {
    fn new(whose: Whose, names: KeptNames, parts: Parts) -> Self {
        let values = std::iter::repeat_with(|| None).take(names.len()).collect();
        let partials = std::iter::repeat_with(|| None).take(parts.len()).collect();
        Self { names: Names { whose, names }, values, parts, partials, bytes: 0 }
    }

    pub(super) fn on_answer(
        &mut self,
        number: u32,
        answer: Answer<'_>,
        proto: Proto,
        submit: &mut dyn Submit,
        out: &mut Vec<u8>,
    ) -> Progress {
        let number = number as usize;
        let taken = match answer {
            Ok(Reply::Lookups(lookups)) => self.on_lookups(number, &lookups, submit),
            Ok(Reply::Lookup(lookup)) => self.on_part(number, &lookup, submit),
            Ok(_) => Err(unexpected()),
            Err(failure) => Err(failure),
        };
        match self.parts.on_part(taken, out) {
            PartsEnd::Waiting => return Progress::Waiting,
            PartsEnd::Failed => {}
            PartsEnd::Complete => self.write(proto, out),
        }
        Progress::Done
    }

    fn write(&self, proto: Proto, out: &mut Vec<u8>) {
        encode::array(out, self.values.len());
        for value in &self.values {
            encode::bulk_or_null(out, proto, value.as_deref());
        }
    }

    /// Takes the first ones of what a part was asked for, and asks for the others.
    fn on_lookups(
        &mut self,
        number: usize,
        lookups: &[Lookup<'_>],
        submit: &mut dyn Submit,
    ) -> Result<Progress, Failure> {
        if lookups.is_empty() {
            return Err(unexpected());
        }
        for lookup in lookups {
            let index = self.parts.next(number)?;
            if let Lookup::Found(found) = lookup
                && (found.value.len() as u64) < u64::from(found.total)
            {
                *self.partials.get_mut(number).ok_or_else(unexpected)? = Some(Partial::default());
                return self.on_part(number, lookup, submit);
            }
            self.parts.advance(number);
            let value = match lookup {
                Lookup::Found(found) => Some(found.value.to_vec()),
                Lookup::Missing => None,
                Lookup::WrongKind => self.names.of_wrong_kind()?,
            };
            self.store(index, value)?;
        }
        self.parts.go_on(number, |index| self.names.address(index), submit)
    }

    /// Takes the next part of a value that did not fit into an answer.
    fn on_part(
        &mut self,
        number: usize,
        lookup: &Lookup<'_>,
        submit: &mut dyn Submit,
    ) -> Result<Progress, Failure> {
        let index = self.parts.next(number)?;
        let partial = self.partials.get_mut(number).and_then(Option::as_mut);
        let partial = partial.ok_or_else(unexpected)?;
        let value = match partial.on_part(lookup) {
            Step::More(offset) => {
                self.check_bytes()?;
                let op = part_at(self.names.address(index), offset);
                submit.submit(part_number(number), &op, Durability::default());
                return Ok(Progress::Waiting);
            }
            Step::Failed(failure) => return Err(failure),
            Step::Complete(value) => Some(value),
            Step::Missing => None,
            Step::WrongKind => self.names.of_wrong_kind()?,
        };
        *self.partials.get_mut(number).ok_or_else(unexpected)? = None;
        self.parts.advance(number);
        self.store(index, value)?;
        self.parts.go_on(number, |index| self.names.address(index), submit)
    }

    fn store(&mut self, index: usize, value: Option<Vec<u8>>) -> Result<(), Failure> {
        self.bytes += value.as_ref().map_or(0, Vec::len);
        *self.values.get_mut(index).ok_or_else(unexpected)? = value;
        self.check_bytes()
    }

    /// Bounds what is gathered, values that are not complete included.
    fn check_bytes(&self) -> Result<(), Failure> {
        let partials = self.partials.iter().flatten();
        if self.bytes + partials.map(Partial::len).sum::<usize>() > GATHERED_BYTES_MAX {
            return Err(too_much());
        }
        Ok(())
    }
}

/// The failure of an answer that would take too much memory.
pub(super) fn too_much() -> Failure {
    let text =
        format!("the answer is longer than {GATHERED_BYTES_MAX} bytes; ask for less at once");
    Failure::new(FailureCode::OverLimit, text)
}

#[cfg(test)]
mod tests {
    use common::failure::FailureCode;
    use common::reply::{Lookup, Reply};

    use super::super::harness::{Bench, found, lookup};

    fn all<'a>(values: &[&'a str]) -> Reply<'a> {
        let one = |value: &&'a str| match *value {
            "-" => Lookup::Missing,
            "#" => Lookup::WrongKind,
            value => {
                let total = u32::try_from(value.len()).unwrap();
                Lookup::Found(found(value.as_bytes(), total, 1))
            }
        };
        Reply::Lookups(values.iter().map(one).collect())
    }

    #[test]
    fn values_come_in_the_order_asked_whichever_lane_answers_first() {
        let mut bench = Bench::new();
        let ops = {
            assert_eq!(bench.run(&["MGET", "{a}1", "b", "{a}2", "{a}3"]), "");
            bench.sent.take()
        };
        assert!(!bench.alone);
        let (part_a, text) = ops.iter().find(|(_, text)| text.contains("{a}")).unwrap();
        assert_eq!(text, "get-many /{a}1 /{a}2 /{a}3 max 262144");
        let (part_b, text) = ops.iter().find(|(_, text)| text.contains("/b")).unwrap();
        assert_eq!(text, "get-many /b max 262144");
        assert_eq!(bench.answer(*part_b, all(&["B"])), "");
        // Only the first two fitted.
        assert_eq!(bench.answer(*part_a, all(&["A1", "#"])), "");
        assert_eq!(bench.take_ops(), ["get-many /{a}3 max 262144"]);
        assert_eq!(
            bench.answer(*part_a, all(&["-"])),
            "*4\r\n$2\r\nA1\r\n$1\r\nB\r\n$-1\r\n$-1\r\n"
        );
    }

    #[test]
    fn a_value_that_is_cut_is_completed_before_the_rest_is_asked_for() {
        let mut bench = Bench::new();
        assert_eq!(bench.ops(&["HMGET", "h", "f", "g"]), ["get-many /h#f /h#g max 262144"]);
        let cut = Reply::Lookups(vec![Lookup::Found(found(b"ab", 4, 1))]);
        assert_eq!(bench.answer(0, cut), "");
        assert_eq!(bench.take_ops(), ["get /h#f 2+262144"]);
        assert_eq!(bench.answer(0, lookup(b"cd", 4)), "");
        assert_eq!(bench.take_ops(), ["get-many /h#g max 262144"]);
        assert_eq!(bench.answer(0, all(&["x"])), "*2\r\n$4\r\nabcd\r\n$1\r\nx\r\n");
    }

    #[test]
    fn failures_and_wrong_kinds() {
        let mut bench = Bench::new();
        bench.ops(&["HMGET", "s", "f"]);
        assert!(bench.answer(0, all(&["#"])).starts_with("-WRONGTYPE "));
        bench.ops(&["MGET", "a", "b"]);
        assert_eq!(bench.fail(1, FailureCode::NoServer, "group 4 (b1): down"), "");
        assert_eq!(bench.answer(0, all(&["x"])), "-TRYAGAIN group 4 (b1): down\r\n");
        bench.ops(&["MGET", "a"]);
        assert!(bench.answer(0, Reply::Lookups(Vec::new())).starts_with("-ERR internal: "));
        bench.ops(&["MGET", "a"]);
        assert!(bench.answer(0, all(&["x", "y"])).starts_with("-ERR internal: "));
    }

    #[test]
    fn what_is_gathered_is_bounded() {
        let mut bench = Bench::new();
        let value = vec![b'v'; 16 << 20];
        let total = 16 << 20;
        bench.ops(&["HMGET", "h", "1", "2", "3", "4", "5"]);
        for _ in 0..4 {
            let one = Reply::Lookups(vec![Lookup::Found(found(&value, total, 1))]);
            assert_eq!(bench.answer(0, one), "");
        }
        let one = Reply::Lookups(vec![Lookup::Found(found(&value, total, 1))]);
        assert!(bench.answer(0, one).starts_with("-ERR the answer is longer than 67108864 bytes"));
    }
}
