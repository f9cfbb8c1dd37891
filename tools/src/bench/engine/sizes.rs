//! How large everything is: a scale's sizes with what the command line changes.

use std::time::Duration;

use common::durability::Sync;

use super::args::{Distribution, EngineArgs, Scale};
use super::round::Length;
use crate::bench::BenchError;
use crate::bench::workload::Mix;

/// When memtables are flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Budget {
    /// Above so many entries, taken as the memory they need.
    Entries(u64),
    /// Above so many bytes.
    Bytes(usize),
    /// Only when it is asked for, and never because of the log.
    None,
}

impl Budget {
    /// What belongs to `keys` keys when this belongs to `of`.
    pub(super) fn scaled(self, keys: u64, of: u64) -> Self {
        let part = |size: u64| size.saturating_mul(keys) / of.max(1);
        match self {
            Self::Entries(entries) => Self::Entries(part(entries).max(1)),
            Self::Bytes(bytes) => {
                Self::Bytes(usize::try_from(part(bytes as u64)).unwrap_or(usize::MAX))
            }
            Self::None => Self::None,
        }
    }

    /// For people.
    pub(super) fn text(self) -> String {
        match self {
            Self::Entries(entries) => format!("{entries} entries"),
            Self::Bytes(bytes) => config::Size(bytes as u64).to_string(),
            Self::None => "any size".to_owned(),
        }
    }
}

/// All sizes.
#[derive(Debug, Clone)]
pub(super) struct Sizes {
    pub(super) scale: Scale,
    pub(super) keys: u64,
    pub(super) value_bytes: usize,
    pub(super) distribution: Distribution,
    pub(super) groups: u16,
    pub(super) cache_bytes: usize,
    pub(super) turn: u16,
    pub(super) log_limit: u64,
    pub(super) sync: Sync,
    pub(super) mix: Mix,
    pub(super) rounds: u16,
    /// Memtables in `puts` and `density`.
    pub(super) budget: Budget,
    /// Memtables in `zipf`.
    pub(super) budget_zipf: Budget,
    /// A round of the engine.
    pub(super) length: Length,
    /// A round of plain redb: it has no memtable to fill.
    pub(super) length_plain: Length,
    /// Entries of each of the two memtables in `reads`.
    pub(super) read_entries: u64,
    /// Entries of the memtables in `memtable`.
    pub(super) hit_entries: [u64; 2],
    /// Look-ups in each of them.
    pub(super) hits: u64,
    /// Objects in `range`.
    pub(super) range_objects: u64,
    /// How often each is read in a round.
    pub(super) range_passes: u32,
    /// Groups in `open`.
    pub(super) open_groups: u16,
    /// Entries of each.
    pub(super) open_entries: u64,
    /// How long they are watched.
    pub(super) idle: Duration,
    /// A round of `always`.
    pub(super) always: Duration,
    /// Segments of its log.
    pub(super) segment_bytes: u64,
    /// How many times more keys the larger side of `density` has.
    pub(super) density: u64,
    /// Records in `expiry` that expire, and keys that do not.
    pub(super) expiring: u64,
    /// How long requests are watched there before.
    pub(super) calm: Duration,
}

impl Sizes {
    /// The sizes that were asked for.
    ///
    /// # Errors
    /// Flags that do not go together.
    pub(super) fn new(args: &EngineArgs) -> Result<Self, BenchError> {
        let mut sizes = match args.scale {
            Scale::Small => small(args),
            Scale::Full => full(args),
        };
        let bytes = |size: config::Size| usize::try_from(size.0).unwrap_or(usize::MAX);
        if let Some(keys) = args.keys {
            // As dense as with the scale's own keys.
            sizes.budget = sizes.budget.scaled(keys, sizes.keys);
            sizes.budget_zipf = sizes.budget_zipf.scaled(keys, sizes.keys);
            sizes.keys = keys;
        }
        sizes.read_entries = sizes.keys / 20;
        sizes.expiring = sizes.keys / 10;
        sizes.value_bytes = args.value_size.map_or(sizes.value_bytes, |size| size as usize);
        sizes.cache_bytes = args.cache.map_or(sizes.cache_bytes, bytes);
        sizes.rounds = args.rounds.unwrap_or(sizes.rounds);
        let entries = args.memtable_entries.map(Budget::Entries);
        if let Some(budget) = entries.or(args.memory.map(|size| Budget::Bytes(bytes(size)))) {
            sizes.budget = budget;
            sizes.budget_zipf = budget;
        }
        let seconds = args.seconds.map(|seconds| Length::Time(Duration::from_secs(seconds)));
        if let Some(length) = args.ops.map(Length::Ops).or(seconds) {
            sizes.length = length;
            sizes.length_plain = length;
        } else {
            sizes.check_end()?;
        }
        Ok(sizes)
    }

    /// Whether memtables fill, if nothing else ends a round.
    fn check_end(&self) -> Result<(), BenchError> {
        if self.mix != Mix::SET {
            let text = "--mix with reads needs --ops or --seconds: memtables may not fill";
            return Err(BenchError::Usage(text.to_owned()));
        }
        match self.budget {
            Budget::Entries(entries) if entries >= self.keys => Err(BenchError::Usage(format!(
                "memtables of {entries} entries (--memtable-entries) never fill with {} keys (--keys): \
                 give --ops or --seconds",
                self.keys
            ))),
            _ => Ok(()),
        }
    }
}

fn full(args: &EngineArgs) -> Sizes {
    Sizes {
        scale: args.scale,
        keys: 10_000_000,
        value_bytes: 100,
        distribution: args.distribution,
        groups: args.groups,
        cache_bytes: 3 << 30,
        turn: args.turn,
        log_limit: args.log_limit.0,
        sync: args.sync,
        mix: args.mix,
        rounds: 3,
        budget: Budget::Entries(2_000_000),
        budget_zipf: Budget::Entries(500_000),
        length: Length::Flushes(3),
        length_plain: Length::Ops(400_000),
        read_entries: 0,
        hit_entries: [100_000, 2_000_000],
        hits: 4_000_000,
        range_objects: 200,
        range_passes: 20,
        open_groups: 1024,
        open_entries: 1_000,
        idle: Duration::from_secs(5),
        always: Duration::from_secs(5),
        segment_bytes: storage_node::binlog::SEGMENT_BYTES_DEFAULT,
        density: 10,
        expiring: 0,
        calm: Duration::from_secs(5),
    }
}

fn small(args: &EngineArgs) -> Sizes {
    Sizes {
        keys: 20_000,
        cache_bytes: 64 << 20,
        budget: Budget::Entries(4_000),
        budget_zipf: Budget::Entries(1_000),
        length: Length::Flushes(2),
        length_plain: Length::Ops(5_000),
        hit_entries: [1_000, 10_000],
        hits: 50_000,
        range_objects: 5,
        range_passes: 2,
        open_groups: 32,
        open_entries: 100,
        idle: Duration::from_millis(200),
        always: Duration::from_millis(100),
        segment_bytes: 4 << 20,
        calm: Duration::from_millis(100),
        ..full(args)
    }
}
