//! `expiry`: requests for other keys while many records that expired at one moment are reclaimed.

use std::time::Duration;

use super::args::Distribution;
use super::draw::Draw;
use super::lab::Lab;
use super::node::Node;
use super::puts::check_count;
use super::report::{Figure, Section, Target, digits};
use super::round::{Meter, Round};
use super::sizes::{Budget, Sizes};
use crate::bench::BenchError;
use crate::bench::sample::median;
use crate::bench::workload::Mix;
use crate::{clock, console};

const FOLDER: &str = "expiry";
/// How far ahead the records expire: longer than all that is done before. Then the engine's time is
/// moved by it.
const AHEAD_MS: u64 = 3_600_000;

/// Where the records are when they expire, in the order of the table.
const PLACES: [&str; 2] = ["memtable", "file"];

/// What one moment of expiry showed.
struct Wave {
    before: Round,
    during: Round,
    /// CPU in the slices.
    cpu: Duration,
}

/// Measures.
pub(super) fn expiry(lab: &mut Lab<'_>) -> Result<Section, BenchError> {
    let (place, sizes) = (lab.place, lab.sizes);
    let records = sizes.expiring;
    console::warn(format!("loading {records} keys into an engine of their own"));
    let mut node = Node::load(&place.folder(FOLDER)?, sizes, records)?;
    node.set_budget(Budget::None);
    let mut draw = Draw::new(Distribution::Uniform, records, Mix::HALF, 41);
    let mut waves: [Vec<Wave>; 2] = Default::default();
    for round in 1..=sizes.rounds {
        for (name, waves) in PLACES.iter().zip(&mut waves) {
            console::warn(format!("expiry: round {round} of {}, {name}", sizes.rounds));
            waves.push(wave(&mut node, &mut draw, sizes, *name == PLACES[1])?);
        }
    }
    drop(node);
    place.clear(FOLDER)?;
    Ok(section(sizes, &waves))
}

/// Puts the records, watches requests, lets the records expire, watches requests until all are gone.
fn wave(
    node: &mut Node,
    draw: &mut Draw,
    sizes: &Sizes,
    in_file: bool,
) -> Result<Wave, BenchError> {
    let (others, all) = (sizes.expiring, sizes.expiring * 2);
    let expire_at = node.now_ms() + AHEAD_MS;
    for number in (others..all).step_by(usize::from(sizes.turn)) {
        node.write_turn(number..all.min(number + u64::from(sizes.turn)), expire_at)?;
        node.duties()?;
    }
    if in_file {
        node.settle()?;
    }
    // Settles the counts of blind puts, too: what is measured then is nothing but reclaim.
    check_count("the engine before the expiry", node.count()?, all)?;
    let end = clock::now() + sizes.calm;
    let before = watch(node, draw, sizes, |_| clock::now() >= end)?;
    node.ahead_ms += AHEAD_MS;
    node.reclaim.is_done = false;
    let cpu = node.reclaim.cpu;
    let during = watch(node, draw, sizes, |node| node.reclaim.is_done)?;
    let cpu = node.reclaim.cpu.saturating_sub(cpu);
    check_count("the engine behind the expiry", node.count()?, others)?;
    (others..all).try_for_each(|number| node.check_gone(number))?;
    node.settle()?;
    check_count("the engine behind the flush", node.count()?, others)?;
    Ok(Wave { before, during, cpu })
}

/// Turns of requests for the keys that stay.
fn watch(
    node: &mut Node,
    draw: &mut Draw,
    sizes: &Sizes,
    over: impl Fn(&Node) -> bool,
) -> Result<Round, BenchError> {
    let mut from = clock::now();
    let mut meter = Meter::start(from)?;
    while !over(node) {
        node.turn(draw, u64::from(sizes.turn))?;
        let pause = node.duties()?;
        let to = clock::now();
        meter.turn(u64::from(sizes.turn), from, to, pause);
        from = to;
    }
    meter.end(0, 0.0)
}

fn section(sizes: &Sizes, waves: &[Vec<Wave>; 2]) -> Section {
    let records = sizes.expiring;
    let p99 = |wave: &Wave| wave.during.turn_ms(0.99) / wave.before.turn_ms(0.99);
    let figures = PLACES.iter().zip(waves).map(|(place, waves)| Figure {
        what: format!("requests' p99, while / before, records in the {place}"),
        measured: median(waves, p99),
        target: Target::AtMost(2.0),
    });
    Section {
        title: "expiry: requests while many records that expired at one moment are reclaimed",
        text: format!(
            "{records} records with the same expiry, {records} keys without one. As many clients as a \
             turn has operations read and write, half of each, the keys that stay; each sends its \
             next request when it has the answer. So a request's time is that of a turn, with the slice \
             of reclaim before it. The engine's time is moved to the expiry. No flush runs meanwhile."
        ),
        header: &[
            "records, requests",
            "requests/s",
            "p50 ms",
            "p99",
            "p99.9",
            "max",
            "all gone after s",
            "CPU us/record reclaimed",
        ],
        rows: PLACES
            .iter()
            .zip(waves)
            .flat_map(|(place, waves)| rows(place, waves, records))
            .collect(),
        figures: figures.collect(),
        checked: format!(
            "{} objects counted before the expiry, {records} when the reclaim and when a flush behind \
             it had ended; {records} look-ups found no record that expired",
            records * 2
        ),
    }
}

fn rows(place: &str, waves: &[Wave], records: u64) -> [Vec<String>; 2] {
    let row = |when: &str, of: fn(&Wave) -> &Round, gone: String, cpu: String| {
        let rate = digits(median(waves, |wave| of(wave).rate()));
        let mut cells = vec![format!("{place}, {when}"), rate];
        let ms = |quantile| digits(median(waves, |wave| of(wave).turn_ms(quantile)));
        cells.extend([0.5, 0.99, 0.999, 1.0].map(ms));
        cells.extend([gone, cpu]);
        cells
    };
    let gone = digits(median(waves, |wave| wave.during.spent.time.as_secs_f64()));
    let us = |wave: &Wave| wave.cpu.as_secs_f64() * 1e6 / records.max(1) as f64;
    let none = || "-".to_owned();
    [
        row("before", |wave| &wave.before, none(), none()),
        row("while", |wave| &wave.during, gone, digits(median(waves, us))),
    ]
}
