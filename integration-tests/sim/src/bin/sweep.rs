//! `sweep SEEDS [--from N] [--mutant NAME] [--trace]`: runs seeds and prints one line for each that
//! fails, which replays it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use storage_node::replication::rules::Rules;

struct Options {
    seeds: u64,
    from: u64,
    mutant: Option<String>,
    trace: bool,
}

fn options() -> Option<Options> {
    let mut found = Options { seeds: 1_000, from: 0, mutant: None, trace: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--from" => found.from = arguments.next()?.parse().ok()?,
            "--mutant" => found.mutant = Some(arguments.next()?),
            "--trace" => found.trace = true,
            seeds => found.seeds = seeds.parse().ok()?,
        }
    }
    Some(found)
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("usage: sweep SEEDS [--from N] [--mutant NAME] [--trace]");
        return ExitCode::from(2);
    };
    let rules = match &options.mutant {
        None => Some(Rules::default()),
        Some(name) => Rules::without(name),
    };
    let Some(rules) = rules else {
        eprintln!("no such mutant; there are {}", Rules::MUTANTS.join(", "));
        return ExitCode::from(2);
    };
    let mutant = options.mutant.map(|name| format!(" --mutant {name}")).unwrap_or_default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(options.from);
    let all = Mutex::new(Totals::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= options.from + options.seeds {
                return;
            }
            let report = sim::run(seed, rules, options.trace);
            if let Some(failure) = &report.failure {
                println!("sweep 1 --from {seed}{mutant}    # {failure}");
            }
            all.lock().expect("no thread panics with it").add(&report);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let totals = all.into_inner().expect("no thread panics with it");
    let Totals { failing, events, sum } = totals;
    let sim::Report {
        acked, reads, leaders, changes, voter_sets, strangers, reseeds, lost, ..
    } = sum;
    println!(
        "{failing} failing of {}: {events} events, {acked} writes, {reads} reads, {leaders} \
         leaderships, {changes} register changes, {voter_sets} voter sets replaced, {strangers} \
         blank disks, {reseeds} lanes to be seeded anew, {lost} writes lost with the power of all",
        options.seeds
    );
    if failing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Default)]
struct Totals {
    failing: u64,
    events: u64,
    sum: sim::Report,
}

impl Totals {
    fn add(&mut self, report: &sim::Report) {
        self.failing += u64::from(report.failure.is_some());
        self.events += report.events;
        self.sum.acked += report.acked;
        self.sum.reads += report.reads;
        self.sum.leaders += report.leaders;
        self.sum.changes += report.changes;
        self.sum.voter_sets += report.voter_sets;
        self.sum.strangers += report.strangers;
        self.sum.reseeds += report.reseeds;
        self.sum.lost += report.lost;
    }
}
