//! The arguments of `fdht binlog`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use common::ids::{Lane, LogicGroup, Lsn, ServerIndex};

use super::format::LogPosition;
use crate::cli::Output;

/// `fdht binlog`.
#[derive(Debug, Args)]
pub(crate) struct BinlogArgs {
    #[command(subcommand)]
    pub(super) action: Action,
}

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Print one line for each frame of a log.
    ///
    /// Nothing is changed. The node may run meanwhile: then the log is shown as it is at this
    /// moment, and its last write may look torn. What is wrong goes to standard error; exit status 1
    /// if the node would refuse to start on it, 2 if something could not be read.
    Dump(DumpArgs),
    /// Check all of a log: headers, checksums, that no segment and no record is missing.
    ///
    /// Nothing is changed. The node may run meanwhile: then its last write may look torn. Exit status
    /// 0 if a start takes the log (it cuts a torn end), 1 if something is damaged or missing, 2 if
    /// something could not be read.
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub(super) struct DumpArgs {
    /// Data directories of nodes, their log folders, or single segment files.
    #[arg(required = true, value_name = "DIR|FILE")]
    pub(super) paths: Vec<PathBuf>,
    /// Leave out what stands before this position.
    #[arg(long, value_name = "SEGMENT:OFFSET", value_parser = position)]
    pub(super) from: Option<LogPosition>,
    /// Only records of this logic group.
    #[arg(long, value_parser = group)]
    pub(super) group: Option<LogicGroup>,
    /// Only records of this lane.
    #[arg(long, value_name = "GROUP.SERVER", value_parser = lane)]
    pub(super) lane: Option<Lane>,
    /// Only records with this number in their stream.
    #[arg(long, value_parser = lsn)]
    pub(super) lsn: Option<Lsn>,
    /// End after so many lines.
    #[arg(long)]
    pub(super) limit: Option<u64>,
    /// Show the values as well.
    #[arg(long)]
    pub(super) values: bool,
    /// One JSON object per line.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Data directories of nodes, their log folders, or single segment files.
    #[arg(required = true, value_name = "DIR|FILE")]
    pub(super) paths: Vec<PathBuf>,
    /// How to show the result.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(super) output: Output,
}

fn position(text: &str) -> Result<LogPosition, String> {
    let parts = text.split_once(':').and_then(|(segment, offset)| {
        Some(LogPosition::new(segment.parse().ok()?, offset.parse().ok()?))
    });
    parts.ok_or_else(|| "give a segment's number and an offset in its file, as 3:4096".to_owned())
}

fn group(text: &str) -> Result<LogicGroup, String> {
    text.parse().map(LogicGroup).map_err(|_| "give a number from 0 to 16383".to_owned())
}

fn lane(text: &str) -> Result<Lane, String> {
    let parts = text.split_once('.').and_then(|(group, server)| {
        let group = LogicGroup(group.parse().ok()?);
        Some(Lane { group, server: ServerIndex(server.parse().ok()?) })
    });
    parts.ok_or_else(|| "give a logic group and a place in its servers list, as 12.0".to_owned())
}

fn lsn(text: &str) -> Result<Lsn, String> {
    text.parse().map(Lsn).map_err(|_| "give a number from 1".to_owned())
}
