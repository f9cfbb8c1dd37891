//! `range`: all fields of an object, wherever they lie.

use std::ops::ControlFlow;
use std::path::Path;

use common::address::Object;
use common::ids::Lsn;
use common::key;
use common::stored::Body;
use common::version::{Hlc, HlcClock};
use storage_node::engine::{Store, View};

use super::keys::{Keys, Values};
use super::lab::Lab;
use super::node::{apply, encode_put, flush_here, head, store};
use super::place::failed;
use super::report::{Figure, Section, Target, digits};
use super::sizes::Sizes;
use super::usage::{Spent, Usage};
use crate::bench::BenchError;
use crate::bench::sample::median;
use crate::console;

const FOLDER: &str = "range";
/// Fields of each object.
const FIELDS: u64 = 1_000;

/// Where the fields lie.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    File,
    /// Every other one in the memtable, over the file's.
    Both,
    Memtable,
}

impl Where {
    const ALL: [Self; 3] = [Self::File, Self::Both, Self::Memtable];

    fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Both => "half of them newer in the memtable",
            Self::Memtable => "memtable",
        }
    }
}

/// Measures all three.
pub(super) fn range(lab: &mut Lab<'_>) -> Result<Section, BenchError> {
    let sizes = lab.sizes;
    let dir = lab.place.folder(FOLDER)?;
    let records = sizes.range_objects * FIELDS * u64::from(sizes.range_passes);
    let (mut rows, mut figures) = (Vec::new(), Vec::new());
    for (group, place) in (0..).zip(Where::ALL) {
        console::warn(format!("range: fields in the {}", place.name()));
        let spent = measure(&dir, group, place, sizes)?;
        let rate = median(&spent, |spent| spent.rate(records));
        let cpu = median(&spent, |spent| spent.cpu_us(records));
        rows.push(vec![
            place.name().to_owned(),
            digits(rate),
            format!("{cpu:.3}"),
            records.to_string(),
        ]);
        let what = format!("records/s, {}", place.name());
        figures.push(Figure { what, measured: rate, target: Target::AtLeast(2e6) });
    }
    lab.place.clear(FOLDER)?;
    Ok(Section {
        title: "range: all fields of an object of 1000",
        text: format!(
            "{} objects of {FIELDS} fields, each visited from its first to its last field in turn, {} \
             times a round. Field names have 16 to 64 bytes.",
            sizes.range_objects, sizes.range_passes
        ),
        header: &["fields in", "records/s", "CPU us/record", "visited in a round"],
        rows,
        figures,
        checked: format!(
            "every visit of an object met {FIELDS} fields in order, with their values"
        ),
    })
}

fn measure(dir: &Path, group: u16, place: Where, sizes: &Sizes) -> Result<Vec<Spent>, BenchError> {
    let mut store = store(dir, group, sizes.cache_bytes)?;
    let mut writer = Writer { group, lsn: Lsn(0), hlc: HlcClock::starting_after(Hlc(1)) };
    writer.put(&mut store, sizes, 1)?;
    if place != Where::Memtable {
        flush_here(&mut store)?;
    }
    if place == Where::Both {
        writer.put(&mut store, sizes, 2)?;
    }
    let mut spent = Vec::new();
    for _ in 0..sizes.rounds {
        let before = Usage::now()?;
        for _ in 0..sizes.range_passes {
            (0..sizes.range_objects).try_for_each(|object| visit(&store, object, sizes))?;
        }
        spent.push(before.spent()?);
    }
    Ok(spent)
}

/// Visits all fields of an object.
fn visit(store: &Store, object: u64, sizes: &Sizes) -> Result<(), BenchError> {
    let (mut prefix, mut last, mut count, mut bytes) = (Vec::new(), Vec::new(), 0, 0);
    key::put_object_prefix(&mut prefix, named(&object.to_be_bytes()));
    let mut in_order = true;
    let visited = store.fields(&prefix, key::NAMED_SUFFIX_START, &mut |suffix, stored| {
        in_order &= last.as_slice() < suffix;
        last.clear();
        last.extend_from_slice(suffix);
        if let Body::Value { value, .. } = stored.body {
            count += 1;
            bytes += value.len();
        }
        ControlFlow::Continue(())
    });
    visited.map_err(|e| failed("read a range", e))?;
    if in_order && count == FIELDS && bytes as u64 == FIELDS * sizes.value_bytes as u64 {
        return Ok(());
    }
    Err(BenchError::Found(format!("{count} fields of {FIELDS}, {bytes} bytes, in a range")))
}

fn named(name: &[u8]) -> Object<'_> {
    Object { namespace: b"", name }
}

/// Writes fields of all objects.
struct Writer {
    group: u16,
    lsn: Lsn,
    hlc: HlcClock,
}

impl Writer {
    /// Puts every `step`-th field.
    fn put(&mut self, store: &mut Store, sizes: &Sizes, step: usize) -> Result<(), BenchError> {
        let (mut keys, mut values) = (Keys::default(), Values::new(sizes.value_bytes));
        let (mut body, mut answer, mut physical) = (Vec::new(), Vec::new(), Vec::new());
        for object in 0..sizes.range_objects {
            for field in (0..FIELDS).step_by(step) {
                self.lsn = self.lsn.next();
                let head = head(self.group, self.lsn, self.hlc.tick(1), 0);
                let object = object.to_be_bytes();
                physical.clear();
                key::put_key(&mut physical, named(&object).field(keys.name(field)));
                body.clear();
                encode_put(&mut body, &head, (&physical, values.of(field)), 0, &mut answer);
                apply(store, &body, Default::default())?;
            }
        }
        Ok(())
    }
}
