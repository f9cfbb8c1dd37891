//! `memtable`: what finding a record in a memtable costs, by its size.

use std::path::Path;

use common::ids::Lsn;
use common::stored::Body;
use common::version::{Hlc, HlcClock};
use storage_node::engine::{Store, View};

use super::draw::Draw;
use super::keys::{Keys, Values};
use super::lab::Lab;
use super::node::{apply, encode_put, head, store};
use super::place::failed;
use super::report::{Figure, Section, Target, digits};
use super::sizes::Sizes;
use super::usage::{Spent, Usage};
use crate::bench::BenchError;
use crate::bench::sample::median;
use crate::console;

const FOLDER: &str = "memtable";
/// Most CPU microseconds of a hit, for the two sizes.
const TARGETS_US: [f64; 2] = [0.6, 1.0];

/// What was measured of one size.
struct Table {
    entries: u64,
    bytes: usize,
    /// With the look-up, and without.
    spent: (Vec<Spent>, Vec<Spent>),
}

impl Table {
    /// CPU of a look-up alone.
    fn hit_us(&self, hits: u64) -> f64 {
        let us = |spent: &[Spent]| median(spent, |spent| spent.cpu_us(hits));
        us(&self.spent.0) - us(&self.spent.1)
    }
}

/// Measures both sizes.
pub(super) fn memtable(lab: &mut Lab<'_>) -> Result<Section, BenchError> {
    let sizes = lab.sizes;
    let dir = lab.place.folder(FOLDER)?;
    let mut tables = Vec::new();
    for (group, entries) in (0..).zip(sizes.hit_entries) {
        console::warn(format!("memtable: {entries} entries"));
        tables.push(table(&dir, group, entries, sizes)?);
    }
    lab.place.clear(FOLDER)?;
    let hits = sizes.hits;
    let rows = tables.iter().map(|table| {
        let us = |spent: &[Spent]| digits(median(spent, |spent| spent.cpu_us(hits)));
        vec![
            table.entries.to_string(),
            digits(table.bytes as f64 / table.entries as f64),
            us(&table.spent.0),
            us(&table.spent.1),
            digits(table.hit_us(hits)),
            hits.to_string(),
        ]
    });
    let figures = tables.iter().zip(TARGETS_US).map(|(table, us)| Figure {
        what: format!("CPU us of a hit among {}", table.entries),
        measured: table.hit_us(hits),
        target: Target::AtMost(us),
    });
    Ok(Section {
        title: "memtable: a hit",
        text: "A store with an empty file. Keys are drawn evenly; drawing one and spelling its \
               physical key is measured alone as well and subtracted. The value is looked at."
            .to_owned(),
        header: &["entries", "bytes each", "CPU us", "drawing alone", "hit", "found in a round"],
        rows: rows.collect(),
        figures: figures.collect(),
        checked: format!("all {hits} look-ups of every round found their own value"),
    })
}

fn table(dir: &Path, group: u16, entries: u64, sizes: &Sizes) -> Result<Table, BenchError> {
    let mut store = store(dir, group, sizes.cache_bytes)?;
    let mut values = Values::new(sizes.value_bytes);
    let mut keys = Keys::default();
    put_all(&mut store, group, entries, &mut keys, &mut values)?;
    let mut spent = (Vec::new(), Vec::new());
    let mut draw = Draw::uniform(entries, 41);
    for _ in 0..sizes.rounds {
        let before = Usage::now()?;
        for _ in 0..sizes.hits {
            let number = draw.key();
            let record = store.record(keys.physical(number, 1).1).map_err(|e| failed("read", e))?;
            let stored = record.as_ref().map(|record| record.stored().body);
            let own =
                matches!(stored, Some(Body::Value { value, .. }) if values.is_of(number, value));
            if !own {
                return Err(BenchError::Found(format!("key {number} not in the memtable")));
            }
        }
        spent.0.push(before.spent()?);
        let before = Usage::now()?;
        for _ in 0..sizes.hits {
            std::hint::black_box(keys.physical(draw.key(), 1));
        }
        spent.1.push(before.spent()?);
    }
    Ok(Table { entries, bytes: store.memory_bytes(), spent })
}

/// Applies a put of each of the first `count` keys to the group's store.
pub(super) fn put_all(
    store: &mut Store,
    group: u16,
    count: u64,
    keys: &mut Keys,
    values: &mut Values,
) -> Result<(), BenchError> {
    let (mut body, mut answer) = (Vec::new(), Vec::new());
    let mut hlc = HlcClock::starting_after(Hlc::from_ms(1));
    for number in 0..count {
        body.clear();
        let head = head(group, Lsn(number + 1), hlc.tick(1), u128::from(number));
        let record = (keys.physical(number, 1).1, values.of(number));
        encode_put(&mut body, &head, record, 0, &mut answer);
        apply(store, &body, Default::default())?;
    }
    Ok(())
}
