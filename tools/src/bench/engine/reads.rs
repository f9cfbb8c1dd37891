//! `reads`: every key is read while the engine has two memtables, one of them frozen and waiting for
//! its flush, beside a bare get of plain redb.

use common::op::{Get, Op, Part};
use common::wire::response::OUTCOME_REPLY;
use storage_node::engine::Store;
use storage_node::group::evaluate::{self, KeyBuffer};

use super::draw::Draw;
use super::keys::{Keys, Values};
use super::lab::Lab;
use super::node::Node;
use super::place::failed;
use super::report::{Figure, Section, Target, digits};
use super::sizes::{Budget, Sizes};
use super::usage::{Spent, Usage};
use crate::bench::BenchError;
use crate::bench::sample::median;
use crate::console;

/// Writes of a turn that fills a memtable.
const TURN: u64 = 16;
/// All of a value.
const WHOLE: Part = Part { offset: 0, limit: u32::MAX };

/// The sides, in the order of the table.
const SIDES: [&str; 3] = ["engine: record", "engine: GET evaluated", "plain redb: get"];

/// Measures.
pub(super) fn reads(lab: &mut Lab<'_>) -> Result<Section, BenchError> {
    let sizes = lab.sizes;
    let (node, plain) = lab.both()?;
    node.settle()?;
    node.set_budget(Budget::None);
    let mut draw = Draw::uniform(sizes.keys, 31);
    write(node, &mut draw, sizes.read_entries)?;
    let jobs = node.freeze();
    write(node, &mut draw, sizes.read_entries)?;
    let memory = |bytes: fn(&Store) -> usize| node.stores.iter().map(bytes).sum::<usize>();
    let (frozen, active) = (memory(Store::flushing_bytes), memory(Store::memory_bytes));
    let mut reader = plain.reader()?;
    let mut spent: [Vec<Spent>; 3] = Default::default();
    for round in 1..=sizes.rounds {
        console::warn(format!("reads: round {round} of {}", sizes.rounds));
        spent[0].push(each_key(sizes.keys, |number| node.check_read(number))?);
        spent[1].push(evaluated(node, sizes)?);
        spent[2].push(each_key(sizes.keys, |number| reader.check_read(number))?);
    }
    drop(reader);
    // What was held back gets done, for the cases after this one.
    node.thaw(jobs)?;
    node.settle()?;
    let cpu = |side: usize| median(&spent[side], |spent| spent.cpu_us(sizes.keys));
    let rows = SIDES.iter().zip(&spent).map(|(side, spent)| {
        let rate = median(spent, |spent| spent.rate(sizes.keys));
        let cpu = median(spent, |spent| spent.cpu_us(sizes.keys));
        vec![(*side).to_owned(), digits(rate), digits(cpu), sizes.keys.to_string()]
    });
    let ratio = |side, target| Figure {
        what: format!("CPU, {} / {}", SIDES[side], SIDES[2]),
        measured: cpu(side) / cpu(2),
        target,
    };
    Ok(Section {
        title: "reads: point reads with two memtables",
        text: format!(
            "Every key once, in an order that has nothing to do with that of the keys. In memory: {} \
             bytes frozen, whose flush is held back, and {} active, about {} writes in each. Plain \
             redb reads in one long transaction. `record` is the engine's look-up; `GET evaluated` \
             is the answer a node sends.",
            frozen, active, sizes.read_entries
        ),
        header: &["side", "reads/s", "CPU us/read", "found in a round"],
        rows: rows.collect(),
        figures: vec![ratio(0, Target::AtMost(1.3)), ratio(1, Target::AtMost(1.3))],
        checked: format!("all {} reads of every round found their own value", sizes.keys),
    })
}

fn write(node: &mut Node, draw: &mut Draw, writes: u64) -> Result<(), BenchError> {
    for _ in 0..writes.div_ceil(TURN) {
        node.turn(draw, TURN)?;
    }
    Ok(())
}

fn each_key(
    keys: u64,
    mut read: impl FnMut(u64) -> Result<(), BenchError>,
) -> Result<Spent, BenchError> {
    let before = Usage::now()?;
    // Neighbours in number are neighbours nowhere.
    (0..keys).try_for_each(&mut read)?;
    before.spent()
}

/// Reads every key as a node answers a GET.
fn evaluated(node: &Node, sizes: &Sizes) -> Result<Spent, BenchError> {
    let (mut keys, mut values) = (Keys::default(), Values::new(sizes.value_bytes));
    let (mut buffer, mut out) = (KeyBuffer::default(), Vec::new());
    each_key(sizes.keys, |number| {
        let (group, object) = keys.object(number, sizes.groups);
        let op = Op::Get(Get { at: object.unnamed(), part: WHOLE });
        out.clear();
        let read = evaluate::read(&node.stores[group], &op, node.wall_ms, &mut buffer, &mut out);
        read.map_err(|e| failed("evaluate a GET", e))?;
        // The value stands at the end of the answer.
        if out.first() == Some(&OUTCOME_REPLY) && out.ends_with(values.of(number)) {
            return Ok(());
        }
        Err(BenchError::Found(format!("GET of key {number} without its value")))
    })
}
