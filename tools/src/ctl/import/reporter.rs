//! What the threads of an import share, and the thread that shows and remembers it.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::checkpoint::Checkpoint;
use super::error::ImportError;
use super::prefix::Prefix;
use crate::clock;

/// How often the bar moves.
const SHOW_EVERY: Duration = Duration::from_millis(100);
/// How often the checkpoint is written.
const REMEMBER_EVERY: Duration = Duration::from_secs(1);

/// Counts and flags of a running import.
#[derive(Debug)]
pub(super) struct Shared {
    prefix: Mutex<Prefix>,
    acknowledged: AtomicU64,
    /// Input bytes read so far.
    pub(super) bytes: AtomicU64,
    stopped: AtomicBool,
    finished: AtomicBool,
}

impl Shared {
    /// Counts for an import that goes on behind `skip` records.
    pub(super) fn new(skip: u64) -> Self {
        Self {
            prefix: Mutex::new(Prefix::starting_at(skip)),
            acknowledged: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            finished: AtomicBool::new(false),
        }
    }

    /// These records are acknowledged.
    pub(super) fn acknowledge(&self, numbers: impl ExactSizeIterator<Item = u64>) {
        self.acknowledged.fetch_add(numbers.len() as u64, Ordering::Relaxed);
        let mut prefix = self.prefix();
        numbers.for_each(|number| prefix.mark(number));
    }

    /// Records acknowledged by this import.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Records from the beginning of the input that are all acknowledged.
    pub(super) fn done(&self) -> u64 {
        self.prefix().done()
    }

    fn prefix(&self) -> std::sync::MutexGuard<'_, Prefix> {
        self.prefix.lock().expect("no thread panics while it holds this lock")
    }

    /// Something failed: nobody needs to go on.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether somebody called [`Self::stop`].
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Everything is delivered or given up: the reporter ends when it is unparked next.
    pub(super) fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
    }
}

/// Shows progress and writes the checkpoint until the import is finished. `bytes` is the length of
/// the input where it is known.
pub(super) fn report(
    shared: &Shared,
    checkpoint: Option<&Checkpoint>,
    bytes: Option<u64>,
) -> Result<(), ImportError> {
    let bar = progress_bar(bytes);
    let began = clock::now();
    let mut remembered_at = began;
    while !shared.finished.load(Ordering::Relaxed) {
        thread::park_timeout(SHOW_EVERY);
        show(&bar, shared, began);
        let now = clock::now();
        if let Some(checkpoint) = checkpoint
            && now.duration_since(remembered_at) >= REMEMBER_EVERY
        {
            remembered_at = now;
            checkpoint.store(shared.done()).inspect_err(|_| shared.stop())?;
        }
    }
    bar.finish_and_clear();
    checkpoint.map_or(Ok(()), |checkpoint| checkpoint.store(shared.done()))
}

fn show(bar: &ProgressBar, shared: &Shared, began: Instant) {
    let count = shared.acknowledged();
    let rate = rate(count, clock::now().duration_since(began));
    if bar.length().is_some() {
        bar.set_position(shared.bytes.load(Ordering::Relaxed));
    }
    bar.set_message(format!("{count} records, {rate:.0}/s"));
    bar.tick();
}

/// Records per second.
#[expect(clippy::cast_precision_loss, reason = "a rate is shown without decimals")]
pub(super) fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(0.001)
}

fn progress_bar(bytes: Option<u64>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match bytes {
        Some(bytes) => (ProgressBar::new(bytes), "{bar:30} {percent:>3}% {msg}, {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {msg}"),
    };
    bar.with_style(ProgressStyle::with_template(template).expect("the template is constant"))
}
