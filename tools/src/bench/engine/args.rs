//! The command line of `fdht bench engine`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, value_parser};
use common::durability::Sync;
use config::Size;

use crate::bench::workload::Mix;

/// `fdht bench engine`.
#[derive(Debug, Args)]
pub(in crate::bench) struct EngineArgs {
    /// What to measure; several with commas [default: all].
    #[arg(long = "case", value_enum, value_delimiter = ',', value_name = "CASE,..")]
    pub(super) cases: Vec<Case>,
    /// How much of it. The flags below change single sizes.
    #[arg(long, value_enum, default_value_t = Scale::Small)]
    pub(super) scale: Scale,
    /// Where the folder with the files is made; it is removed at the end [default: the system's place
    /// for temporary files]. Choose one on the disk that is to be measured.
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    /// Different keys; memtables change in proportion.
    #[arg(long, value_parser = value_parser!(u64).range(1_000..=1_000_000_000))]
    pub(super) keys: Option<u64>,
    /// Bytes of a value.
    #[arg(long, value_parser = value_parser!(u32).range(8..=1 << 20))]
    pub(super) value_size: Option<u32>,
    /// How the keys of `puts` are drawn; `zipf` is always zipfian.
    #[arg(long, value_enum, default_value_t = Distribution::Uniform)]
    pub(super) distribution: Distribution,
    /// Logic groups that the keys are spread over.
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u16).range(1..=1024))]
    pub(super) groups: u16,
    /// Page cache of plain redb, and of all groups of the engine together.
    #[arg(long, value_name = "SIZE")]
    pub(super) cache: Option<Size>,
    /// Operations of a turn: what a worker appends together.
    #[arg(long, default_value_t = 16, value_parser = value_parser!(u16).range(1..=10_000))]
    pub(super) turn: u16,
    /// Entries in the memtables above which a flush begins, in `puts` and `zipf`.
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(100..=100_000_000))]
    pub(super) memtable_entries: Option<u64>,
    /// The same as memory: of `fdht node --memory` it is an eighth where all is in one group.
    #[arg(long, value_name = "SIZE", conflicts_with = "memtable_entries")]
    pub(super) memory: Option<Size>,
    /// Log behind which a flush begins though memory is not short; a node has half of its memory, at
    /// most this default.
    #[arg(long, default_value = "4GiB", value_name = "SIZE")]
    pub(super) log_limit: Size,
    /// none, everysec or always: how durable a write is before it is applied. A node's log is synced
    /// every half second also for writes with `none`; here `none` syncs for flushes only.
    #[arg(long, default_value = "everysec", value_name = "LEVEL")]
    pub(super) sync: Sync,
    /// `set`, or how many of the operations of `puts` and `zipf` are writes: `20%set`. The others are
    /// reads. Needs --ops or --seconds.
    #[arg(long, default_value = "set")]
    pub(super) mix: Mix,
    /// Length of a round of `puts`, `zipf` and `density` in operations, on both sides; what is in
    /// memory at its end is flushed in it [default: the engine until several memtables are flushed].
    #[arg(long, conflicts_with = "seconds", value_parser = value_parser!(u64).range(1..))]
    pub(super) ops: Option<u64>,
    /// The same in seconds, the last flush not included.
    #[arg(long, value_parser = value_parser!(u64).range(1..=86_400))]
    pub(super) seconds: Option<u64>,
    /// Rounds of both sides in turns; the median counts [default: by --scale].
    #[arg(long, value_parser = value_parser!(u16).range(1..=100))]
    pub(super) rounds: Option<u16>,
}

/// What can be measured, in the order in which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Case {
    /// Many groups: creating, opening, being idle. First, as it looks at the process' memory.
    Open,
    /// Finding a record in a memtable.
    Memtable,
    /// Reading all fields of an object.
    Range,
    /// `sync: always`: many writers, one writer, and a file that is appended to and synced.
    Always,
    /// Blind writes, keys drawn evenly.
    Puts,
    /// Blind writes, zipfian keys, a smaller memtable.
    Zipf,
    /// Point reads while one memtable is written to and one waits for its flush.
    Reads,
    /// A write among few and among many keys, memtables in proportion.
    Density,
    /// Puts and gets while many records that expired at one moment are reclaimed.
    Expiry,
}

/// How large everything is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Scale {
    /// Seconds: shows that it works, says little about speed.
    Small,
    /// The sizes that the targets are about: 10 million keys, tens of minutes, 20 GB of disk.
    Full,
}

/// How keys are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Distribution {
    /// All alike.
    Uniform,
    /// Theta 0.99: the more seldom, the greater the rank.
    Zipfian,
}
