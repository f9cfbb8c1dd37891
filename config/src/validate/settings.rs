//! `write` and `moves`.

use std::str::FromStr;

use common::durability::UnknownLevel;

use crate::field::At;
use crate::model::{MovesModel, WriteModel};
use crate::problem::{Problems, quoted};
use crate::topology::{Moves, WriteOptions};
use crate::units::{SIZE_EXAMPLE, parse_size};

/// Most moves at once.
const PARALLEL_MAX: u16 = 64;
/// Lowest and highest rate of moves, in bytes per second. Below the lowest a move hardly ends.
const RATE_MIN: u64 = 64 << 10;
const RATE_MAX: u64 = 1 << 40;

/// Checks write options; what is not given comes from `defaults`.
pub(super) fn write(
    model: &WriteModel,
    defaults: WriteOptions,
    problems: &mut Problems,
) -> WriteOptions {
    WriteOptions {
        acks: level(model.acks.as_ref(), problems).unwrap_or(defaults.acks),
        sync: level(model.sync.as_ref(), problems).unwrap_or(defaults.sync),
    }
}

fn level<T: FromStr<Err = UnknownLevel>>(
    word: Option<&At<String>>,
    problems: &mut Problems,
) -> Option<T> {
    let word = word?;
    match word.value.parse() {
        Ok(level) => Some(level),
        Err(UnknownLevel { allowed, .. }) => {
            let text = format!("{} is not a level; write one of: {allowed}", quoted(&word.value));
            problems.push(&word.place, text);
            None
        }
    }
}

/// Checks `moves`.
pub(super) fn moves(model: &MovesModel, problems: &mut Problems) -> Moves {
    let parallel = model.parallel.as_ref().and_then(|at| {
        let checked = u16::try_from(at.value).ok().filter(|n| (1..=PARALLEL_MAX).contains(n));
        if checked.is_none() {
            let text = format!(
                "{} moves at once; write a number from 1 to {PARALLEL_MAX}, \
                 or `paused: true` for none",
                at.value
            );
            problems.push(&at.place, text);
        }
        checked
    });
    let rate = model.rate.as_ref().and_then(|at| {
        let shown = quoted(&at.value);
        let Some(bytes) = parse_size(&at.value) else {
            problems.push(&at.place, format!("{shown} is not a size; {SIZE_EXAMPLE}"));
            return None;
        };
        if !(RATE_MIN..=RATE_MAX).contains(&bytes) {
            let text = format!("the rate {shown} is out of range; write 64KiB to 1TiB");
            problems.push(&at.place, text);
            return None;
        }
        Some(bytes)
    });
    Moves {
        paused: model.paused.as_ref().map_or(Moves::DEFAULT.paused, |at| at.value),
        parallel: parallel.unwrap_or(Moves::DEFAULT.parallel),
        rate: rate.unwrap_or(Moves::DEFAULT.rate),
    }
}
