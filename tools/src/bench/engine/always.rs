//! `always`: writers that wait until their own record is durable. Each is a worker with a store of its
//! own on the one log: append, ask for a sync, wait, apply, next.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::durability::Sync;
use common::ids::Lsn;
use common::version::{Hlc, HlcClock};
use storage_node::binlog::{Batch, Log, LogPosition};
use storage_node::engine::Store;

use super::bare::BareFile;
use super::keys::{Keys, Values};
use super::lab::Lab;
use super::node::{apply, encode_put, head, log, store};
use super::place::failed;
use super::report::{Figure, Section, Target, digits};
use super::round::{Meter, Round};
use super::sizes::Sizes;
use super::times::Times;
use super::usage::written;
use super::waiting::Waiting;
use crate::bench::BenchError;
use crate::bench::sample::median;
use crate::{clock, console};

const FOLDER: &str = "always";
/// Writers at the same time.
const MANY: u16 = 64;
/// Keys of a writer.
const KEYS: u64 = 10_000;
/// Page cache of a writer's store: nothing of it is flushed.
const CACHE_BYTES: usize = 1 << 20;
/// The sync thread has made the next segment when nothing was written for so long.
const QUIET: Duration = Duration::from_millis(300);

/// Everything of the measurement.
struct Bench {
    log: Log,
    waiting: std::sync::Arc<Waiting>,
    writers: Vec<Writer>,
}

/// One writer.
struct Writer {
    group: u16,
    store: Store,
    lsn: Lsn,
    hlc: HlcClock,
    next_key: u64,
    keys: Keys,
    values: Values,
    batch: Batch,
    answer: Vec<u8>,
}

/// What one side showed: rounds, and syncs of the log in each.
type Side = Vec<(Round, u64)>;

/// Measures one writer, many, and the bare file in turns.
pub(super) fn always(lab: &mut Lab<'_>) -> Result<Section, BenchError> {
    let sizes = lab.sizes;
    let dir = lab.place.folder(FOLDER)?;
    console::warn("always: preparing the log");
    let mut bench = Bench::new(&dir, sizes)?;
    let record = vec![b'r'; bench.record_bytes()?];
    let mut bare = BareFile::create(&dir.join("bare"), sizes.segment_bytes)?;
    let (mut one, mut many, mut alone) = (Side::new(), Side::new(), Side::new());
    for round in 1..=sizes.rounds {
        console::warn(format!("always: round {round} of {}", sizes.rounds));
        one.push(bench.round(1, sizes.always)?);
        many.push(bench.round(MANY, sizes.always)?);
        alone.push((bare.round(&record, sizes.always)?, 0));
    }
    bench.check()?;
    let records: u64 = bench.writers.iter().map(|writer| writer.lsn.0).sum();
    drop(bench);
    lab.place.clear(FOLDER)?;
    let rate = |side: &Side| median(side, |(round, _)| round.rate());
    let p50 = |side: &Side| median(side, |(round, _)| round.turn_ms(0.5));
    let figure = |what: &str, measured, target| Figure { what: what.into(), measured, target };
    Ok(Section {
        title: "always: waiting for durability",
        text: format!(
            "Every writer is a thread with a group of its own; it goes on when its record is durable \
             and applied. The bare file is made ahead and written before; {} bytes are appended and \
             synced at a time, as many as a record takes in the log.",
            record.len()
        ),
        header: &["side", "writes/s", "CPU us/write", "p50 ms", "p99 ms", "writes per sync"],
        rows: vec![
            cells("1 writer", &one),
            cells("64 writers", &many),
            cells("bare file: append and fdatasync", &alone),
        ],
        figures: vec![
            figure(
                "writes/s, 64 writers / 1 writer",
                rate(&many) / rate(&one),
                Target::AtLeast(10.0),
            ),
            figure(
                "mean time, 1 writer / bare file",
                rate(&alone) / rate(&one),
                Target::AtMost(1.3),
            ),
            // Less moved by what else the disk does.
            figure(
                "median time, 1 writer / bare file",
                p50(&one) / p50(&alone),
                Target::AtMost(1.3),
            ),
        ],
        checked: format!("all {records} records were durable and applied when they were counted"),
    })
}

fn cells(name: &str, side: &Side) -> Vec<String> {
    let ms = |quantile| digits(median(side, |(round, _)| round.turn_ms(quantile)));
    let per_sync = median(side, |(round, syncs)| round.ops as f64 / (*syncs).max(1) as f64);
    let has_log = side.iter().any(|(_, syncs)| *syncs > 0);
    vec![
        name.to_owned(),
        digits(median(side, |(round, _)| round.rate())),
        digits(median(side, |(round, _)| round.cpu_us())),
        ms(0.5),
        ms(0.99),
        if has_log { digits(per_sync) } else { "1".to_owned() },
    ]
}

impl Bench {
    fn new(dir: &Path, sizes: &Sizes) -> Result<Self, BenchError> {
        let log = log(dir, sizes.segment_bytes, Sync::Always)?;
        let waiting = Waiting::listen(&log);
        let writers = (0..MANY).map(|group| Writer::new(dir, group, sizes));
        let bench = Self { waiting, writers: writers.collect::<Result<_, _>>()?, log };
        bench.leave_first_segment(sizes)?;
        Ok(bench)
    }

    /// Fills the log's first segment: those behind it are written with zeros ahead, like the segments
    /// of a node that has run for a while.
    fn leave_first_segment(&self, sizes: &Sizes) -> Result<(), BenchError> {
        let mut filler = Batch::new();
        let body = vec![b'f'; 64 << 10];
        let pushed = filler.push(|out| out.extend_from_slice(&body));
        pushed.map_err(|e| failed("make a log record", e))?;
        let mut rested = false;
        while self.log.appended().segment < 2 {
            self.log.append(&mut filler).map_err(|e| failed("append", e))?;
            if !rested && self.log.appended().offset > sizes.segment_bytes * 3 / 4 {
                self.waiting.sync(&self.log, self.log.appended())?;
                wait_quiet()?;
                rested = true;
            }
        }
        self.waiting.sync(&self.log, self.log.appended())
    }

    /// Bytes that a record takes in the log, with what the log writes beside it.
    fn record_bytes(&mut self) -> Result<usize, BenchError> {
        let mut from = LogPosition::default();
        let mut to = from;
        for _ in 0..3 {
            from = self.log.appended();
            self.writers[0].write(&self.log, &self.waiting)?;
            to = self.log.appended();
        }
        let bytes = to.offset.saturating_sub(from.offset);
        usize::try_from(bytes).map_err(|e| failed("measure a record", e))
    }

    /// Lets the first `count` writers write for some time.
    fn round(&mut self, count: u16, time: Duration) -> Result<(Round, u64), BenchError> {
        let syncs = self.log.stats().syncs;
        let began = clock::now();
        let mut meter = Meter::start(began)?;
        let (log, waiting, stop) = (&self.log, &*self.waiting, &AtomicBool::new(false));
        let writers = self.writers.iter_mut().take(usize::from(count));
        let parts = thread::scope(|scope| {
            let threads: Vec<_> =
                writers.map(|writer| scope.spawn(move || writer.run(log, waiting, stop))).collect();
            clock::pause(time);
            stop.store(true, Ordering::Relaxed);
            let parts = threads.into_iter().map(|t| t.join().expect("no writer panics"));
            parts.collect::<Result<Vec<Times>, BenchError>>()
        })?;
        parts.iter().for_each(|part| meter.add(part));
        Ok((meter.end(0, 0.0)?, self.log.stats().syncs - syncs))
    }

    /// Every record is applied, so every writer's latest key is there.
    fn check(&self) -> Result<(), BenchError> {
        for writer in &self.writers {
            let applied = writer.store.applied().values().next().copied().unwrap_or_default();
            if applied != writer.lsn {
                let text = format!("{applied} applied of a writer that wrote {}", writer.lsn);
                return Err(BenchError::Found(text));
            }
        }
        Ok(())
    }
}

/// Waits until this process writes nothing more by itself.
fn wait_quiet() -> Result<(), BenchError> {
    let mut before = written()?;
    loop {
        clock::pause(QUIET);
        let now = written()?;
        if now == before {
            return Ok(());
        }
        before = now;
    }
}

impl Writer {
    fn new(dir: &Path, group: u16, sizes: &Sizes) -> Result<Self, BenchError> {
        Ok(Self {
            group,
            store: store(dir, group, CACHE_BYTES)?,
            lsn: Lsn(0),
            hlc: HlcClock::starting_after(Hlc::from_ms(1)),
            next_key: 0,
            keys: Keys::default(),
            values: Values::new(sizes.value_bytes),
            batch: Batch::new(),
            answer: Vec::new(),
        })
    }

    /// Writes until `stop`. Returns how long each write took.
    fn run(
        &mut self,
        log: &Log,
        waiting: &Waiting,
        stop: &AtomicBool,
    ) -> Result<Times, BenchError> {
        let mut times = Times::new();
        let mut from = clock::now();
        while !stop.load(Ordering::Relaxed) {
            self.write(log, waiting)?;
            let to = clock::now();
            times.note(to.duration_since(from));
            from = to;
        }
        Ok(times)
    }

    fn write(&mut self, log: &Log, waiting: &Waiting) -> Result<(), BenchError> {
        let number = self.next_key % KEYS;
        self.next_key += 1;
        let lsn = self.lsn.next();
        let head = head(self.group, lsn, self.hlc.tick(1), u128::from(self.next_key));
        let record = (self.keys.physical(number, 1).1, self.values.of(number));
        let answer = &mut self.answer;
        self.batch.clear();
        let pushed = self.batch.push(|out| encode_put(out, &head, record, 0, answer));
        pushed.map_err(|e| failed("make a log record", e))?;
        let receipt = log.append(&mut self.batch).map_err(|e| failed("append", e))?;
        waiting.sync(log, receipt.end)?;
        apply(&mut self.store, self.batch.body(0), receipt.first)?;
        self.lsn = lsn;
        Ok(())
    }
}
