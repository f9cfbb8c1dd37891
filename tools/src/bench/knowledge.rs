//! What one connection knows of a key that only it uses: which answers are right. Pure.
//!
//! A request that may or may not have been applied widens what is right; the next answer narrows it
//! again. Upholds I7 (counters count exactly once) and I8 (reads never go back).

use std::collections::BTreeSet;

use crate::resp::Reply;

/// Bytes of a value.
const VALUE_BYTES: usize = 100;

/// The requests on a key, in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Write the next value.
    Set,
    /// Read it.
    Get,
    /// Count.
    Incr,
    /// Read the counter; only at the end.
    Count,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// With an answer.
    Done(Reply),
    /// With an error that says it was not applied.
    NotApplied,
    /// It may have been applied or not.
    Unknown,
}

/// A key for values and one for a count.
#[derive(Debug)]
pub(super) struct Key {
    name: String,
    written: u64,
    /// What a read may find; 0 stands for nothing.
    values: BTreeSet<u64>,
    count: i64,
    /// Increments that may have been applied since.
    unknown: i64,
}

impl Key {
    /// A key of this name, which nobody has written yet.
    pub(super) fn new(name: String) -> Self {
        Self { name, written: 0, values: BTreeSet::from([0]), count: 0, unknown: 0 }
    }

    /// The command of a step. A SET is a new value each time.
    pub(super) fn command(&mut self, step: Step) -> Vec<Vec<u8>> {
        let value = format!("value:{}", self.name).into_bytes();
        let count = format!("count:{}", self.name).into_bytes();
        match step {
            Step::Set => {
                self.written += 1;
                let mut text = format!("{}:", self.written).into_bytes();
                text.resize(VALUE_BYTES, b'x');
                vec![b"SET".to_vec(), value, text]
            }
            Step::Get => vec![b"GET".to_vec(), value],
            Step::Incr => vec![b"INCR".to_vec(), count],
            Step::Count => vec![b"GET".to_vec(), count],
        }
    }

    /// Takes the end of a step; says what is wrong with the answer. A wrong answer is believed from
    /// then on, so that one loss counts once.
    pub(super) fn take(&mut self, step: Step, ending: Ending) -> Result<(), String> {
        match (step, ending) {
            (_, Ending::NotApplied) | (Step::Get | Step::Count, Ending::Unknown) => Ok(()),
            (Step::Set, Ending::Done(Reply::Simple(ok))) if ok == b"OK" => {
                self.values = BTreeSet::from([self.written]);
                Ok(())
            }
            (Step::Set, Ending::Unknown) => {
                self.values.insert(self.written);
                Ok(())
            }
            (Step::Get, Ending::Done(reply)) => self.read(&reply),
            (Step::Incr, Ending::Unknown) => {
                self.unknown += 1;
                Ok(())
            }
            (Step::Incr, Ending::Done(Reply::Int(told))) => self.counted(told, self.count + 1),
            (Step::Count, Ending::Done(reply)) => {
                let found = number(&reply).and_then(|n| i64::try_from(n).ok());
                let found = found.ok_or_else(|| self.strange("GET", &reply))?;
                self.counted(found, self.count)
            }
            (Step::Set, Ending::Done(reply)) => Err(self.strange("SET", &reply)),
            (Step::Incr, Ending::Done(reply)) => Err(self.strange("INCR", &reply)),
        }
    }

    fn read(&mut self, reply: &Reply) -> Result<(), String> {
        let found = number(reply).ok_or_else(|| self.strange("GET", reply))?;
        let may = std::mem::replace(&mut self.values, BTreeSet::from([found]));
        if may.contains(&found) {
            return Ok(());
        }
        Err(format!("value:{}: read {found}, which is none of {may:?} (0 is nothing)", self.name))
    }

    fn counted(&mut self, found: i64, least: i64) -> Result<(), String> {
        let right = least..=least + self.unknown;
        (self.count, self.unknown) = (found, 0);
        if right.contains(&found) {
            return Ok(());
        }
        Err(format!("count:{}: {found} is not in {right:?}", self.name))
    }

    fn strange(&self, command: &str, reply: &Reply) -> String {
        format!("{command} of {}: unexpected answer {reply:?}", self.name)
    }
}

/// The number in front of a value; 0 for no value.
fn number(reply: &Reply) -> Option<u64> {
    match reply {
        Reply::Nil => Some(0),
        Reply::Bulk(bytes) => {
            let digits = bytes.split(|byte| *byte == b':').next()?;
            std::str::from_utf8(digits).ok()?.parse().ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok() -> Ending {
        Ending::Done(Reply::Simple(b"OK".to_vec()))
    }

    fn value(number: u64) -> Ending {
        Ending::Done(Reply::Bulk(format!("{number}:xxx").into_bytes()))
    }

    fn int(number: i64) -> Ending {
        Ending::Done(Reply::Int(number))
    }

    fn set(key: &mut Key, ending: Ending) {
        let command = key.command(Step::Set);
        assert_eq!((command.len(), command[2].len()), (3, VALUE_BYTES));
        key.take(Step::Set, ending).unwrap();
    }

    #[test]
    fn a_read_that_goes_back_or_finds_nothing_is_wrong_once() {
        let mut key = Key::new("k".to_owned());
        key.take(Step::Get, Ending::Done(Reply::Nil)).unwrap();
        set(&mut key, ok());
        set(&mut key, ok());
        key.take(Step::Get, value(2)).unwrap();
        let wrong = key.take(Step::Get, value(1)).unwrap_err();
        assert!(wrong.contains("value:k: read 1"), "{wrong}");
        key.take(Step::Get, value(1)).unwrap();
        key.take(Step::Get, Ending::Done(Reply::Nil)).unwrap_err();
        key.take(Step::Get, int(3)).unwrap_err();
    }

    #[test]
    fn an_unknown_write_may_be_found_or_not_until_a_read_decides() {
        for found in [1, 2] {
            let mut key = Key::new("k".to_owned());
            set(&mut key, ok());
            set(&mut key, Ending::Unknown);
            set(&mut key, Ending::NotApplied);
            key.take(Step::Get, Ending::Unknown).unwrap();
            key.take(Step::Get, value(found)).unwrap();
            key.take(Step::Get, value(3 - found)).unwrap_err();
        }
    }

    #[test]
    fn a_counter_skips_only_what_is_unknown_and_never_repeats() {
        let mut key = Key::new("k".to_owned());
        key.take(Step::Incr, int(1)).unwrap();
        key.take(Step::Incr, Ending::Unknown).unwrap();
        key.take(Step::Incr, Ending::NotApplied).unwrap();
        key.take(Step::Incr, int(3)).unwrap();
        key.take(Step::Incr, int(3)).unwrap_err();
        key.take(Step::Incr, int(5)).unwrap_err();
        key.take(Step::Count, Ending::Done(Reply::Bulk(b"5".to_vec()))).unwrap();
        key.take(Step::Count, Ending::Done(Reply::Bulk(b"4".to_vec()))).unwrap_err();
        key.take(Step::Count, Ending::Done(Reply::Bulk(b"x".to_vec()))).unwrap_err();
    }
}
