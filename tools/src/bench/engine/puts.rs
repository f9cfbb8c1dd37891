//! `puts` and `zipf`: writes past several flushes, beside plain redb.

use super::args::{Case, Distribution};
use super::draw::Draw;
use super::lab::Lab;
use super::report::{Figure, Section, Target, digits, mib};
use super::round::{Length, Round};
use super::sizes::{Budget, Sizes};
use crate::bench::BenchError;
use crate::bench::sample::median;
use crate::console;

/// Keys that are read on both sides at the end.
const CHECKED_READS: u64 = 1_000;

/// What distinguishes the two cases.
struct Kind {
    title: &'static str,
    distribution: Distribution,
    budget: Budget,
    seed: u64,
    /// Times plain redb, CPU us per operation, bytes per operation.
    targets: (f64, f64, Option<f64>),
}

/// Measures one of the cases.
pub(super) fn puts(lab: &mut Lab<'_>, case: Case) -> Result<Section, BenchError> {
    let sizes = lab.sizes;
    let kind = match case {
        Case::Zipf => Kind {
            title: "zipf: the same, zipfian keys, smaller memtable",
            distribution: Distribution::Zipfian,
            budget: sizes.budget_zipf,
            seed: 2,
            targets: (6.0, 4.0, None),
        },
        _ => Kind {
            title: "puts: blind writes",
            distribution: sizes.distribution,
            budget: sizes.budget,
            seed: 1,
            targets: (4.0, 10.0, Some(3_000.0)),
        },
    };
    let (node, plain) = lab.both()?;
    node.set_budget(kind.budget);
    let draw = |seed| Draw::new(kind.distribution, sizes.keys, sizes.mix, seed);
    let mut draws = (draw(kind.seed), draw(kind.seed + 100));
    let (mut engine, mut beside) = (Vec::new(), Vec::new());
    for round in 1..=sizes.rounds {
        console::warn(format!("{}: round {round} of {}", kind.title, sizes.rounds));
        engine.push(node.round(&mut draws.0, sizes.length)?);
        beside.push(plain.round(&mut draws.1, sizes.length_plain)?);
    }
    check_count("the engine", node.count()?, sizes.keys)?;
    check_count("plain redb", plain.count()?, sizes.keys)?;
    let mut draw = Draw::uniform(sizes.keys, 99);
    let mut reader = plain.reader()?;
    for number in (0..CHECKED_READS).map(|_| draw.key()) {
        node.check_read(number)?;
        reader.check_read(number)?;
    }
    Ok(section(sizes, &kind, &engine, &beside))
}

/// Compares a count with what must be there.
pub(super) fn check_count(side: &str, found: u64, expected: u64) -> Result<(), BenchError> {
    if found == expected {
        return Ok(());
    }
    Err(BenchError::Found(format!("{found} keys in {side}, not {expected}")))
}

fn section(sizes: &Sizes, kind: &Kind, engine: &[Round], beside: &[Round]) -> Section {
    let of_both = |of: fn(&Round) -> f64| (median(engine, of), median(beside, of));
    let (rate, rate_plain) = of_both(Round::rate);
    let (rate_min, cpu_max, written_max) = kind.targets;
    let figure = |what: &str, measured, target| Figure { what: what.into(), measured, target };
    let mut figures = vec![
        figure("operations/s, engine / plain redb", rate / rate_plain, Target::AtLeast(rate_min)),
        figure("CPU us per operation", median(engine, Round::cpu_us), Target::AtMost(cpu_max)),
    ];
    if let Some(max) = written_max {
        let measured = median(engine, Round::written);
        figures.push(figure("bytes written per operation", measured, Target::AtMost(max)));
    }
    let stall = median(engine, |round| round.turn_ms(0.999));
    figures.push(figure("turn p99.9 in ms", stall, Target::AtMost(100.0)));
    Section {
        title: kind.title,
        text: text(sizes, kind, engine),
        header: &[
            "side",
            "ops/s",
            "CPU us/op",
            "bytes written/op",
            "turn p50 ms",
            "p99",
            "p99.9",
            "max",
            "longest pause ms",
            "entries flushed/op",
            "resident MiB",
        ],
        rows: vec![
            cells("engine", engine, |round| digits(median(round, Round::flushed))),
            cells("plain redb", beside, |_| "-".to_owned()),
        ],
        figures,
        checked: format!(
            "{} keys counted on each side, {CHECKED_READS} reads on each found their own value",
            sizes.keys
        ),
    }
}

fn text(sizes: &Sizes, kind: &Kind, engine: &[Round]) -> String {
    let distribution = match kind.distribution {
        Distribution::Uniform => "uniform",
        Distribution::Zipfian => "zipfian (0.99)",
    };
    let end = match sizes.length {
        Length::Flushes(_) => "it ends with a flush, so all of it is in the file",
        Length::Ops(_) | Length::Time(_) => "what is in memory at its end is flushed in it",
    };
    let ops = median(engine, |round| round.ops as f64);
    let flushes = median(engine, |round| round.flushes as f64);
    format!(
        "{} of {} keys, {distribution}; flushes above {}. A round of the engine has {ops} \
         operations and {flushes} flushes; {end}. Plain redb: one durable commit per 1000 operations, \
         and a turn that ends with it takes as long. A turn's time has the pause behind it in it. \
         Resident: the process, both sides open.",
        sizes.mix.name(),
        sizes.keys,
        kind.budget.text(),
    )
}

fn cells(side: &str, rounds: &[Round], flushed: impl Fn(&[Round]) -> String) -> Vec<String> {
    let ms = |quantile| digits(median(rounds, |round| round.turn_ms(quantile)));
    let pause = median(rounds, |round| round.pause_max.as_secs_f64() * 1e3);
    let resident = rounds.iter().map(|round| round.resident_max).max();
    vec![
        side.to_owned(),
        digits(median(rounds, Round::rate)),
        digits(median(rounds, Round::cpu_us)),
        digits(median(rounds, Round::written)),
        ms(0.5),
        ms(0.99),
        ms(0.999),
        ms(1.0),
        digits(pause),
        flushed(rounds),
        mib(resident.unwrap_or_default()),
    ]
}
