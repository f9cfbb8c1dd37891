//! `sweep SEEDS [--from N] [--mutant NAME] [--trace]`: runs seeds and prints one line for each that
//! fails, which replays it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

use std::process::ExitCode;

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
    let (mut failing, mut acked, mut reads, mut events, mut leaders, mut changes) =
        (0, 0, 0, 0, 0, 0);
    for seed in options.from..options.from + options.seeds {
        let report = sim::run(seed, rules, options.trace);
        acked += report.acked;
        reads += report.reads;
        events += report.events;
        leaders += report.leaders;
        changes += report.changes;
        if let Some(failure) = report.failure {
            failing += 1;
            println!("sweep 1 --from {seed}{mutant}    # {failure}");
        }
    }
    println!(
        "{failing} failing of {}: {events} events, {acked} writes, {reads} reads, {leaders} \
         leaderships, {changes} register changes",
        options.seeds
    );
    if failing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
