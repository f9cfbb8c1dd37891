//! The expiries of many fields of a hash, taken in answers of bounded size.

use common::address::{Address, Object};
use common::failure::{Failure, FailureCode};
use common::reply::{Lookup, Reply};

use crate::front::call::{Answer, Progress, Submit};

use super::encode;
use super::error::unexpected;
use super::expire::{Base, Unit};
use super::kept::{KeptAddress, KeptNames};
use super::parts::{Parts, PartsEnd};

/// How a client wants to know the expiry of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeForm {
    pub(super) unit: Unit,
    pub(super) base: Base,
}

impl TimeForm {
    /// What HTTL and its relatives answer for a field that exists: -1 for no expiry. Redis rounds
    /// seconds up here, other than for TTL.
    fn of(self, expire_at: u64, now_ms: u64) -> i64 {
        if expire_at == 0 {
            return -1;
        }
        let ms = match self.base {
            Base::Now => expire_at.saturating_sub(now_ms),
            Base::Epoch => expire_at,
        };
        let time = match self.unit {
            Unit::Seconds => ms.div_ceil(1_000),
            Unit::Milliseconds => ms,
        };
        i64::try_from(time).unwrap_or(i64::MAX)
    }
}

/// Gathers the times.
pub(super) struct FieldTimes {
    at: KeptAddress,
    names: KeptNames,
    form: TimeForm,
    times: Vec<i64>,
    parts: Parts,
}

impl FieldTimes {
    /// Asks for the expiries of the fields `names` of `object`.
    pub(super) fn ask<'a>(
        object: Object<'a>,
        names: impl Iterator<Item = &'a [u8]>,
        form: TimeForm,
        submit: &mut dyn Submit,
    ) -> Self {
        let names: KeptNames = names.collect();
        let times = Self {
            at: KeptAddress::new(object.unnamed()),
            times: vec![0; names.len()],
            parts: Parts::of_lanes(std::iter::once((0..names.len()).collect())),
            names,
            form,
        };
        times.parts.ask_all(|index| times.address(index), submit);
        times
    }

    fn address(&self, index: usize) -> Address<'_> {
        self.at.object().field(self.names.get(index))
    }

    pub(super) fn on_answer(
        &mut self,
        number: u32,
        answer: Answer<'_>,
        submit: &mut dyn Submit,
        out: &mut Vec<u8>,
    ) -> Progress {
        let number = number as usize;
        let taken = match answer {
            Ok(Reply::Lookups(lookups)) => self.on_lookups(number, &lookups, submit),
            Ok(_) => Err(unexpected()),
            Err(failure) => Err(failure),
        };
        match self.parts.on_part(taken, out) {
            PartsEnd::Waiting => return Progress::Waiting,
            PartsEnd::Failed => {}
            PartsEnd::Complete => {
                encode::array(out, self.times.len());
                self.times.iter().for_each(|&time| encode::integer(out, time));
            }
        }
        Progress::Done
    }

    /// Takes the first ones of what a part was asked for, and asks for the others: the values come
    /// with the expiries, and may not fit all together.
    fn on_lookups(
        &mut self,
        number: usize,
        lookups: &[Lookup<'_>],
        submit: &mut dyn Submit,
    ) -> Result<Progress, Failure> {
        let now_ms = submit.now_ms();
        if lookups.is_empty() {
            return Err(unexpected());
        }
        for lookup in lookups {
            let index = self.parts.next(number)?;
            self.parts.advance(number);
            let time = match lookup {
                Lookup::Found(found) => self.form.of(found.expire_at, now_ms),
                Lookup::Missing => -2,
                Lookup::WrongKind => {
                    return Err(Failure::new(FailureCode::WrongKind, "not a hash"));
                }
            };
            *self.times.get_mut(index).ok_or_else(unexpected)? = time;
        }
        self.parts.go_on(number, |index| self.address(index), submit)
    }
}

#[cfg(test)]
mod tests {
    use common::failure::FailureCode;
    use common::reply::{Found, Lookup, Reply};

    use super::super::harness::{Bench, NOW_MS, found};
    use super::super::tally::ADDRESSES_MAX;

    fn expiring(expire_at: u64) -> Lookup<'static> {
        Lookup::Found(Found { expire_at, ..found(b"v", 1, 1) })
    }

    #[test]
    fn times_are_told_as_asked_for() {
        let mut bench = Bench::new();
        let mut time = |word, lookup| {
            let asked = ["get-many /h#f max 262144"];
            assert_eq!(bench.ops(&[word, "h", "FIELDS", "1", "f"]), asked);
            assert!(!bench.alone);
            bench.answer(0, Reply::Lookups(vec![lookup]))
        };
        assert_eq!(time("HTTL", Lookup::Missing), "*1\r\n:-2\r\n");
        assert_eq!(time("HTTL", expiring(0)), "*1\r\n:-1\r\n");
        assert_eq!(time("HTTL", expiring(NOW_MS + 1_001)), "*1\r\n:2\r\n");
        assert_eq!(time("HTTL", expiring(NOW_MS - 5)), "*1\r\n:0\r\n");
        assert_eq!(time("HPTTL", expiring(NOW_MS + 1_001)), "*1\r\n:1001\r\n");
        assert_eq!(time("HEXPIRETIME", expiring(1_001)), "*1\r\n:2\r\n");
        assert_eq!(time("HPEXPIRETIME", expiring(1_001)), "*1\r\n:1001\r\n");
        assert_eq!(time("HPEXPIRETIME", expiring(0)), "*1\r\n:-1\r\n");
        assert!(time("HTTL", Lookup::WrongKind).starts_with("-WRONGTYPE "));
    }

    #[test]
    fn the_rest_of_a_part_is_asked_for_again() {
        let mut bench = Bench::new();
        bench.ops(&["HPEXPIRETIME", "h", "FIELDS", "3", "f", "g", "i"]);
        // Whether the value came whole is of no interest.
        let cut = Lookup::Found(Found { expire_at: 7, ..found(b"v", 300_000, 1) });
        assert_eq!(bench.answer(0, Reply::Lookups(vec![cut])), "");
        assert_eq!(bench.take_ops(), ["get-many /h#g /h#i max 262144"]);
        let rest = Reply::Lookups(vec![Lookup::Missing, expiring(9)]);
        assert_eq!(bench.answer(0, rest), "*3\r\n:7\r\n:-2\r\n:9\r\n");
    }

    #[test]
    fn many_fields_are_asked_for_in_parts_which_come_in_any_order() {
        let mut bench = Bench::new();
        let count = (ADDRESSES_MAX + 1).to_string();
        let mut words = vec!["HPEXPIRETIME", "h", "FIELDS", &count];
        words.resize(4 + ADDRESSES_MAX + 1, "f");
        assert_eq!(bench.ops(&words).len(), 2);
        assert_eq!(bench.answer(1, Reply::Lookups(vec![expiring(9)])), "");
        let first = Reply::Lookups(vec![expiring(7); ADDRESSES_MAX]);
        let answer = bench.answer(0, first);
        assert!(answer.starts_with("*2049\r\n:7\r\n") && answer.ends_with(":7\r\n:9\r\n"));
        bench.ops(&words);
        let text = "group 4 (b1): down";
        assert_eq!(bench.fail(1, FailureCode::NoServer, text), "");
        let first = Reply::Lookups(vec![expiring(7)]);
        assert_eq!(bench.answer(0, first), format!("-TRYAGAIN {text}\r\n"));
    }

    #[test]
    fn answers_that_do_not_fit_are_refused() {
        let mut bench = Bench::new();
        for lookups in [Vec::new(), vec![expiring(1), expiring(2)]] {
            bench.ops(&["HTTL", "h", "FIELDS", "1", "f"]);
            assert!(bench.answer(0, Reply::Lookups(lookups)).starts_with("-ERR internal: "));
        }
    }
}
