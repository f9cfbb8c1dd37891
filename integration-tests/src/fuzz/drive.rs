//! Runs a target over its corpus, cut in every way, and over random mutations of it.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::corpus::Seed;
use super::mutate::mutate;
use super::target::Target;
use crate::Random;

/// Files up to this length are tried in every truncation; of longer ones, a few are.
const SMALL_BYTES: usize = 1 << 10;
/// Truncations of a longer file.
const CUTS: usize = 64;

/// As much of a panic's text as is shown.
const TEXT_BYTES_MAX: usize = 1 << 10;

/// How to look for mistakes.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// The same seed makes the same inputs.
    pub seed: u64,
    /// How many times a target's usual rounds.
    pub times: u32,
    /// Bytes that the process has allocated so far, freed or not.
    pub allocated: fn() -> u64,
    /// An input that takes longer hangs the decoder.
    pub patience: Duration,
}

/// An input that breaks a rule.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The target's name.
    pub target: &'static str,
    /// What happened.
    pub what: String,
    /// Where the input is from.
    pub origin: String,
    /// The input.
    pub input: Vec<u8>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, what, origin, input } = self;
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        write!(f, "{target}: {what}\n  input: {origin}, {} bytes: {hex}", input.len())
    }
}

/// Where an input is from.
#[derive(Clone, Copy, Debug, Default)]
enum Origin {
    #[default]
    Whole,
    Cut(usize),
    Round(u64),
}

/// What is being tried.
#[derive(Debug, Default)]
struct Now {
    number: u64,
    file: usize,
    origin: Origin,
    input: Vec<u8>,
}

struct Worker {
    target: Target,
    corpus: Arc<[Seed]>,
    campaign: Campaign,
    now: Arc<Mutex<Now>>,
}

/// Tries the whole corpus; the number of inputs that were tried.
///
/// # Errors
/// The first input that breaks a rule.
///
/// # Panics
/// If there is no corpus.
pub fn drive(target: Target, corpus: Vec<Seed>, campaign: Campaign) -> Result<u64, Box<Finding>> {
    assert!(!corpus.is_empty(), "{} has no corpus", target.name);
    let (corpus, now): (Arc<[Seed]>, Arc<Mutex<Now>>) = (corpus.into(), Arc::default());
    let worker = Worker { target, corpus: Arc::clone(&corpus), campaign, now: Arc::clone(&now) };
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || drop(tell.send(worker.run())));
    let mut seen = 0;
    loop {
        match told.recv_timeout(campaign.patience) {
            Ok(result) => {
                drop(thread.join());
                return result;
            }
            Err(RecvTimeoutError::Disconnected) => panic!("the driver itself panicked"),
            Err(RecvTimeoutError::Timeout) => {
                let now = now.lock().unwrap_or_else(PoisonError::into_inner);
                if now.number == seen {
                    let what = format!("still running after {:?}", campaign.patience);
                    return Err(Box::new(now.finding(target, &corpus, campaign.seed, what)));
                }
                seen = now.number;
            }
        }
    }
}

impl Now {
    fn finding(&self, target: Target, corpus: &[Seed], seed: u64, what: String) -> Finding {
        let name = &corpus[self.file].name;
        let origin = match self.origin {
            Origin::Whole => name.clone(),
            Origin::Cut(length) => format!("{name} cut to {length} bytes"),
            Origin::Round(round) => format!("{name} changed, seed {seed}, round {round}"),
        };
        Finding { target: target.name, what, origin, input: self.input.clone() }
    }
}

impl Worker {
    fn run(&self) -> Result<u64, Box<Finding>> {
        // What is made only once is nobody's fault.
        drop(catch_unwind(AssertUnwindSafe(|| (self.target.run)(&[]))));
        for (file, seed) in self.corpus.iter().enumerate() {
            self.try_one(file, Origin::Whole, &seed.bytes)?;
            let step = if seed.bytes.len() <= SMALL_BYTES { 1 } else { seed.bytes.len() / CUTS };
            for length in (0..seed.bytes.len()).step_by(step) {
                self.try_one(file, Origin::Cut(length), &seed.bytes[..length])?;
            }
        }
        let mix = self.target.name.bytes().fold(self.campaign.seed, |mix, byte| {
            mix.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte)
        });
        let rounds = u64::from(self.target.rounds) * u64::from(self.campaign.times);
        for round in 0..rounds {
            let mut random = Random::new(Random::new(mix.wrapping_add(round)).draw());
            let file = random.below(self.corpus.len());
            let other = &self.corpus[random.below(self.corpus.len())].bytes;
            let input = mutate(&self.corpus[file].bytes, other, &mut random);
            self.try_one(file, Origin::Round(round), &input)?;
        }
        Ok(self.now().number)
    }

    fn now(&self) -> std::sync::MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_one(&self, file: usize, origin: Origin, input: &[u8]) -> Result<(), Box<Finding>> {
        {
            let mut now = self.now();
            now.number += 1;
            (now.file, now.origin) = (file, origin);
            now.input.clear();
            now.input.extend_from_slice(input);
        }
        let before = (self.campaign.allocated)();
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.target.run)(input)));
        let allocated = (self.campaign.allocated)() - before;
        let memory = self.target.memory;
        let what = match outcome {
            Err(panic) => format!("panicked: {}", text(&*panic)),
            Ok(()) if allocated > memory.flat + memory.per_byte * input.len() as u64 => {
                format!("allocated {allocated} bytes")
            }
            Ok(()) => return Ok(()),
        };
        let seed = self.campaign.seed;
        Err(Box::new(self.now().finding(self.target, &self.corpus, seed, what)))
    }
}

/// The text of a panic; of a long one, which shows whole values, the beginning.
fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("with no text");
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}
