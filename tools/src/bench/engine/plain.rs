//! Plain redb, which the engine is compared with: the user's keys and values in one table, one durable
//! commit per 1000 operations, one reader that lives long.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use redb::{
    Builder, Database, Durability, ReadOnlyTable, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, Table, TableDefinition,
};

use super::draw::Draw;
use super::keys::{Keys, Values, spread};
use super::place::failed;
use super::round::{Length, Meter, Round};
use super::sizes::Sizes;
use crate::bench::BenchError;
use crate::clock;

/// Operations of a commit.
const COMMIT_OPS: u64 = 1_000;
/// Keys of a commit while they are loaded: as many as the engine loads with one flush.
const LOAD_KEYS: u64 = 1_000_000;

type Bytes = &'static [u8];
const TABLE: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("plain");

/// The database.
pub(super) struct Plain {
    database: Database,
    turn_ops: u64,
    keys: Keys,
    values: Values,
    key_count: u64,
}

/// A read transaction that stays open.
pub(super) struct PlainReader {
    table: ReadOnlyTable<Bytes, Bytes>,
    keys: Keys,
    values: Values,
}

fn refused(reason: impl Display) -> BenchError {
    failed("use plain redb", reason)
}

fn absent(number: u64) -> BenchError {
    BenchError::Found(format!("key {number} without its value in plain redb"))
}

impl Plain {
    /// A database in `dir` with all keys.
    pub(super) fn load(dir: &Path, sizes: &Sizes) -> Result<Self, BenchError> {
        let mut builder = Builder::new();
        let database = builder.set_cache_size(sizes.cache_bytes).create(dir.join("plain.redb"));
        let mut plain = Self {
            database: database.map_err(refused)?,
            turn_ops: u64::from(sizes.turn),
            keys: Keys::default(),
            values: Values::new(sizes.value_bytes),
            key_count: sizes.keys,
        };
        let mut first = 0;
        while first < plain.key_count {
            let end = (first + LOAD_KEYS).min(plain.key_count);
            // In the order of the keys, like a flush.
            let mut numbers: Vec<u64> = (first..end).collect();
            numbers.sort_unstable_by_key(|number| spread(*number));
            plain.commit(|table, keys, values| {
                numbers.iter().try_for_each(|number| put(table, keys, values, *number))
            })?;
            first = end;
        }
        Ok(plain)
    }

    /// One durable commit of what `write` does.
    fn commit<T>(
        &mut self,
        write: impl FnOnce(
            &mut Table<'_, Bytes, Bytes>,
            &mut Keys,
            &mut Values,
        ) -> Result<T, BenchError>,
    ) -> Result<T, BenchError> {
        let mut transaction = self.database.begin_write().map_err(refused)?;
        transaction.set_durability(Durability::Immediate).map_err(refused)?;
        let mut table = transaction.open_table(TABLE).map_err(refused)?;
        let done = write(&mut table, &mut self.keys, &mut self.values)?;
        drop(table);
        transaction.commit().map_err(refused)?;
        Ok(done)
    }

    /// Runs drawn operations. The last turn of a commit is as long as it and the commit.
    pub(super) fn round(&mut self, draw: &mut Draw, length: Length) -> Result<Round, BenchError> {
        let began = clock::now();
        let mut meter = Meter::start(began)?;
        let (turn, mut from) = (self.turn_ops, began);
        loop {
            let ops = match length {
                Length::Ops(all) => (all - meter.ops()).min(COMMIT_OPS),
                Length::Flushes(_) | Length::Time(_) => COMMIT_OPS,
            };
            let last = self.commit(|table, keys, values| {
                let mut left = ops;
                loop {
                    let now = left.min(turn);
                    (0..now).try_for_each(|_| operate(table, keys, values, draw))?;
                    left -= now;
                    if left == 0 {
                        return Ok(now);
                    }
                    let to = clock::now();
                    meter.turn(now, from, to, Duration::ZERO);
                    from = to;
                }
            })?;
            let to = clock::now();
            meter.turn(last, from, to, Duration::ZERO);
            from = to;
            let over = match length {
                Length::Ops(all) => meter.ops() >= all,
                Length::Time(time) => to.duration_since(began) >= time,
                Length::Flushes(_) => return Err(failed("measure plain redb", "it has no flush")),
            };
            if over {
                return meter.end(0, 0.0);
            }
        }
    }

    /// Begins a read transaction.
    pub(super) fn reader(&self) -> Result<PlainReader, BenchError> {
        let read = self.database.begin_read().map_err(refused)?;
        let table = read.open_table(TABLE).map_err(refused)?;
        let values = Values::new(self.values.bytes());
        Ok(PlainReader { table, keys: Keys::default(), values })
    }

    /// Counts the keys.
    pub(super) fn count(&self) -> Result<u64, BenchError> {
        self.reader()?.table.len().map_err(refused)
    }
}

impl PlainReader {
    /// Reads a key and checks that its value is its own.
    pub(super) fn check_read(&mut self, number: u64) -> Result<(), BenchError> {
        let found = self.table.get(self.keys.name(number)).map_err(refused)?;
        match found {
            Some(value) if self.values.is_of(number, value.value()) => Ok(()),
            _ => Err(absent(number)),
        }
    }
}

fn put(
    table: &mut Table<'_, Bytes, Bytes>,
    keys: &mut Keys,
    values: &mut Values,
    number: u64,
) -> Result<(), BenchError> {
    table.insert(keys.name(number), values.of(number)).map(drop).map_err(refused)
}

fn operate(
    table: &mut Table<'_, Bytes, Bytes>,
    keys: &mut Keys,
    values: &mut Values,
    draw: &mut Draw,
) -> Result<(), BenchError> {
    let number = draw.key();
    if draw.is_write() {
        return put(table, keys, values, number);
    }
    let found = table.get(keys.name(number)).map_err(refused)?;
    let own = found.is_some_and(|value| values.is_of(number, value.value()));
    if own { Ok(()) } else { Err(absent(number)) }
}
