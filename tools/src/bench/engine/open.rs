//! `open`: many groups made, closed, opened, and left alone.

use std::path::Path;

use rt::process::resident_bytes;
use storage_node::TICK;
use storage_node::engine::{Slice, Store};

use super::keys::{Keys, Values};
use super::lab::Lab;
use super::memtable::put_all;
use super::node::{count_all, flush_here, reopen, store};
use super::place::failed;
use super::puts::check_count;
use super::report::{Figure, Section, Target, digits, mib};
use super::sizes::Sizes;
use super::usage::{Spent, Usage};
use crate::bench::BenchError;
use crate::{clock, console};

const FOLDER: &str = "open";
/// Least page cache of a group: the node's rule.
const CACHE_BYTES_MIN: usize = 1 << 20;
/// Most resident memory.
const RESIDENT_MIB_MAX: f64 = 512.0;

/// What happened, in order.
struct Steps {
    rows: Vec<Vec<String>>,
    groups: u64,
}

impl Steps {
    fn note(&mut self, what: &str, spent: Spent) {
        self.rows.push(vec![
            what.to_owned(),
            format!("{:.3}", spent.time.as_secs_f64()),
            format!("{:.3}", spent.cpu.as_secs_f64()),
            digits(spent.cpu_us(self.groups)),
            mib(resident_bytes()),
        ]);
    }
}

/// Measures once: the process' memory is no more what it was after it.
pub(super) fn open(lab: &mut Lab<'_>) -> Result<Section, BenchError> {
    let sizes = lab.sizes;
    let dir = lab.place.folder(FOLDER)?;
    let groups = sizes.open_groups;
    let cache_bytes = (sizes.cache_bytes / usize::from(groups)).max(CACHE_BYTES_MIN);
    let mut steps = Steps { rows: Vec::new(), groups: u64::from(groups) };
    console::warn(format!("open: making {groups} groups"));
    let before = Usage::now()?;
    make(&dir, sizes, cache_bytes)?;
    steps.note("made, filled and closed", before.spent()?);

    let before = Usage::now()?;
    let stores = (0..groups).map(|group| reopen(&dir, group, cache_bytes));
    let mut stores = stores.collect::<Result<Vec<Store>, _>>()?;
    let opened = before.spent()?;
    steps.note("opened", opened);
    let resident = resident_bytes();
    let before = Usage::now()?;
    idle(&mut stores, sizes)?;
    let spent = before.spent()?;
    steps.note("idle, looked at once a tick", spent);
    let most = resident.max(resident_bytes());
    count(&stores, sizes)?;
    drop(stores);
    lab.place.clear(FOLDER)?;
    Ok(Section {
        title: "open: many groups",
        text: format!(
            "{groups} groups of {} entries, closed in order, opened one after the other by one \
             thread; the files are in the system's cache. Resident is what the whole process has \
             then, what is left over from making the groups included.",
            sizes.open_entries
        ),
        header: &["step", "seconds", "CPU seconds", "CPU us/group", "resident MiB"],
        rows: steps.rows,
        figures: vec![
            Figure {
                what: format!("seconds to open {groups} groups"),
                measured: opened.time.as_secs_f64(),
                target: Target::AtMost(1.0),
            },
            Figure {
                what: format!("resident MiB with {groups} groups open"),
                measured: most as f64 / f64::from(1 << 20),
                target: Target::AtMost(RESIDENT_MIB_MAX),
            },
        ],
        checked: format!("{groups} groups counted their {} keys", sizes.open_entries),
    })
}

fn make(dir: &Path, sizes: &Sizes, cache_bytes: usize) -> Result<(), BenchError> {
    let (mut keys, mut values) = (Keys::default(), Values::new(sizes.value_bytes));
    for group in 0..sizes.open_groups {
        let mut store = store(dir, group, cache_bytes)?;
        put_all(&mut store, group, sizes.open_entries, &mut keys, &mut values)?;
        flush_here(&mut store)?;
    }
    Ok(())
}

/// What a worker does once a tick with groups that nobody uses.
fn idle(stores: &mut [Store], sizes: &Sizes) -> Result<(), BenchError> {
    let end = clock::now() + sizes.idle;
    while clock::now() < end {
        for store in &mut *stores {
            let now_ms = rt::clock::wall_ms();
            if store.has_reclaim(now_ms) {
                let reclaimed = store.reclaim(|_| now_ms, &mut Slice::unbounded());
                reclaimed.map_err(|e| failed("reclaim", e))?;
            }
        }
        clock::pause(TICK);
    }
    Ok(())
}

fn count(stores: &[Store], sizes: &Sizes) -> Result<(), BenchError> {
    let now_ms = rt::clock::wall_ms();
    for store in stores {
        check_count("a group", count_all(store, now_ms)?, sizes.open_entries)?;
    }
    Ok(())
}
