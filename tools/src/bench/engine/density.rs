//! `density`: what a write costs among few keys and among many, the memtable in proportion.

use super::args::Distribution;
use super::draw::Draw;
use super::lab::Lab;
use super::node::Node;
use super::puts::check_count;
use super::report::{Figure, Section, Target, digits};
use super::round::Round;
use crate::bench::BenchError;
use crate::bench::sample::median;
use crate::console;

const FOLDER: &str = "density";

/// Measures both sizes in turns.
pub(super) fn density(lab: &mut Lab<'_>) -> Result<Section, BenchError> {
    let (place, sizes) = (lab.place, lab.sizes);
    let fewer = (sizes.keys / sizes.density).max(1);
    console::warn(format!("loading {fewer} keys into a second engine"));
    let mut small = Node::load(&place.folder(FOLDER)?, sizes, fewer)?;
    small.set_budget(sizes.budget.scaled(fewer, sizes.keys));
    let large = lab.node()?;
    large.set_budget(sizes.budget);
    let draw = |keys, seed| Draw::new(Distribution::Uniform, keys, sizes.mix, seed);
    let mut draws = (draw(fewer, 21), draw(sizes.keys, 22));
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for round in 1..=sizes.rounds {
        console::warn(format!("density: round {round} of {}", sizes.rounds));
        few.push(small.round(&mut draws.0, sizes.length)?);
        many.push(large.round(&mut draws.1, sizes.length)?);
    }
    check_count("the small engine", small.count()?, fewer)?;
    check_count("the large engine", large.count()?, sizes.keys)?;
    drop(small);
    place.clear(FOLDER)?;
    let ratio = median(&many, Round::cpu_us) / median(&few, Round::cpu_us);
    Ok(Section {
        title: "density: the cost of a write among few and many keys",
        text: format!(
            "Uniform blind writes, rounds as in `puts`. Memtables of {} for {} keys, and in proportion.",
            sizes.budget.text(),
            sizes.keys
        ),
        header: &["keys", "operations in a round", "ops/s", "CPU us/op", "bytes written/op"],
        rows: vec![cells(fewer, &few), cells(sizes.keys, &many)],
        figures: vec![Figure {
            what: format!("CPU per write, {} / {fewer} keys", sizes.keys),
            measured: ratio,
            target: Target::AtMost(1.5),
        }],
        checked: format!("{fewer} and {} keys counted", sizes.keys),
    })
}

fn cells(keys: u64, rounds: &[Round]) -> Vec<String> {
    vec![
        keys.to_string(),
        median(rounds, |round| round.ops as f64).to_string(),
        digits(median(rounds, Round::rate)),
        digits(median(rounds, Round::cpu_us)),
        digits(median(rounds, Round::written)),
    ]
}
