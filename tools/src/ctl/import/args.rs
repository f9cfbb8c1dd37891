//! The command line of `fdht import`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// The form of an input file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON object per line, as `fdht export` writes them.
    Jsonl,
    /// `object TAB field TAB value`.
    Tsv,
}

/// `fdht import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// File to read; standard input without it or with `-`.
    pub(crate) file: Option<PathBuf>,
    /// Import the entries of a folder tree: object = folder, field = file name, value = size, mtime,
    /// mode and type as JSON. Links are not followed.
    #[arg(long, conflicts_with_all = ["file", "format"], value_name = "DIR")]
    pub(crate) tree: Option<PathBuf>,
    /// Form of the input; found out from its first line when not given.
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// Namespace to write to. Records that name another one go here too. Without it a record's own
    /// namespace counts, or the empty one.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Data address of a proxy.
    #[arg(long, env = "FDHT_PROXY", default_value = "127.0.0.1:12200", value_name = "HOST:PORT")]
    pub(crate) proxy: String,
    /// Connections to deliver over.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) connections: u16,
    /// Most records on their way per connection.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) batch: u16,
    /// How long to try again without progress while servers cannot be reached.
    #[arg(long, default_value = "60s", value_parser = config::parse_time)]
    pub(crate) retry_for: Duration,
    /// Remember in this file how much of the input is acknowledged, and go on from there.
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
}
