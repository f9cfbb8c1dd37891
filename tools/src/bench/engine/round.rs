//! One round of one side of a write case: how long, and what it showed.

use std::time::{Duration, Instant};

use rt::process::resident_bytes;

use super::times::Times;
use super::usage::{Spent, Usage};
use crate::bench::BenchError;

/// How often the process' memory is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// When a round ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// When so many memtables of each group were frozen and flushed: everything that was written in
    /// the round is in the file then, and no memtable was flushed before it was full.
    Flushes(u64),
    /// After so many operations.
    Ops(u64),
    /// After this time.
    Time(Duration),
}

/// What a round showed.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) ops: u64,
    pub(super) spent: Spent,
    /// How long the turns took, pauses included.
    pub(super) turns: Times,
    /// The longest pause of the back-pressure.
    pub(super) pause_max: Duration,
    /// Most resident memory of the process.
    pub(super) resident_max: u64,
    /// Memtables that were flushed.
    pub(super) flushes: u64,
    /// Entries in them.
    pub(super) flushed_entries: f64,
}

impl Round {
    /// Operations per second.
    pub(super) fn rate(&self) -> f64 {
        self.spent.rate(self.ops)
    }

    /// CPU of the process per operation, in microseconds.
    pub(super) fn cpu_us(&self) -> f64 {
        self.spent.cpu_us(self.ops)
    }

    /// Bytes given to `write` per operation.
    pub(super) fn written(&self) -> f64 {
        self.spent.written as f64 / self.ops.max(1) as f64
    }

    /// A quantile of the turns' times, in milliseconds.
    pub(super) fn turn_ms(&self, quantile: f64) -> f64 {
        self.turns.ms(quantile)
    }

    /// Entries that were flushed per operation: below 1 where overwrites met in a memtable.
    pub(super) fn flushed(&self) -> f64 {
        self.flushed_entries / self.ops.max(1) as f64
    }
}

/// Measures a round while it runs.
#[derive(Debug)]
pub(super) struct Meter {
    began: Usage,
    next_look: Instant,
    round: Round,
}

impl Meter {
    /// The round begins.
    pub(super) fn start(now: Instant) -> Result<Self, BenchError> {
        let round = Round {
            ops: 0,
            spent: Spent::default(),
            turns: Times::new(),
            pause_max: Duration::ZERO,
            resident_max: 0,
            flushes: 0,
            flushed_entries: 0.0,
        };
        Ok(Self { began: Usage::now()?, next_look: now, round })
    }

    /// A turn of `ops` operations took from `from` to `to`.
    pub(super) fn turn(&mut self, ops: u64, from: Instant, to: Instant, pause: Duration) {
        self.round.turns.note(to.duration_since(from));
        self.round.ops += ops;
        self.round.pause_max = self.round.pause_max.max(pause);
        if to >= self.next_look {
            self.next_look = to + LOOK_INTERVAL;
            self.round.resident_max = self.round.resident_max.max(resident_bytes());
        }
    }

    /// Another thread did one operation in each of these times.
    pub(super) fn add(&mut self, times: &Times) {
        self.round.ops += times.count();
        self.round.turns += times;
    }

    /// Operations so far.
    pub(super) fn ops(&self) -> u64 {
        self.round.ops
    }

    /// The round is over, with what was flushed in it.
    pub(super) fn end(self, flushes: u64, flushed_entries: f64) -> Result<Round, BenchError> {
        let spent = self.began.spent()?;
        Ok(Round { spent, flushes, flushed_entries, ..self.round })
    }
}
