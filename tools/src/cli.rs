//! The command line: one subcommand per file below, and one exit status for each way to end.

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::bench::{self, BenchArgs};
use crate::binlog::{self, BinlogArgs};
use crate::cluster::{self, FailoverArgs};
use crate::ctl::{self, ExportArgs, ImportArgs, StatusArgs, TopologyArgs, VerifyArgs, WhereArgs};
use crate::dev::{self, DevArgs};
use crate::failure::{Failure, STATUS_USAGE};
use crate::{console, roles};

/// FastDHT: a replicated, disk-backed key-value store behind a stateless proxy.
#[derive(Debug, Parser)]
#[command(name = "fdht", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one storage node.
    Node(Box<roles::NodeArgs>),
    /// Run one proxy.
    Proxy(Box<roles::ProxyArgs>),
    /// Run a whole cluster on this machine: real processes, data kept between runs.
    Dev(DevArgs),
    /// Show the cluster and what is not as it should be. Exit status 1 when something is not.
    Status(StatusArgs),
    /// Compare the data of all servers of each group. Exit status 1 when they differ or one could not
    /// be compared.
    Verify(VerifyArgs),
    /// Show which group and server an object, or one of its fields, belongs to.
    Where(WhereArgs),
    /// Work with topology files.
    Topology(TopologyArgs),
    /// Replace voters that are lost for good. Exit status 2 without --yes: then only a preview.
    Failover(FailoverArgs),
    /// Write JSON lines, TSV or the entries of a folder tree into a cluster.
    Import(ImportArgs),
    /// Write everything of a namespace as JSON lines.
    Export(ExportArgs),
    /// Read the log of a node from its files. Nothing is changed.
    Binlog(BinlogArgs),
    /// Measure.
    Bench(BenchArgs),
}

/// How a command shows what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Runs `fdht` with the arguments of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            drop(e.print());
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(STATUS_USAGE));
        }
    };
    match run(cli.command) {
        Ok(status) => status,
        Err(failure) => {
            console::warn(failure.to_string());
            ExitCode::from(failure.status())
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Node(args) => roles::node(*args)?,
        Command::Proxy(args) => roles::proxy(*args)?,
        Command::Dev(args) => dev::run(&args)?,
        Command::Status(args) => {
            return ctl::status(&args).map_err(|e| Failure::Ctl("status", e));
        }
        Command::Verify(args) => {
            return ctl::verify(&args).map_err(|e| Failure::Ctl("verify", e));
        }
        Command::Where(args) => ctl::where_is(&args).map_err(|e| Failure::Ctl("where", e))?,
        Command::Topology(args) => {
            return ctl::topology(&args).map_err(|e| Failure::Ctl("topology", e));
        }
        Command::Failover(args) => {
            cluster::failover(&args).map_err(|e| Failure::Ctl("failover", e.into()))?;
        }
        Command::Import(args) => ctl::import(&args).map_err(|e| Failure::Ctl("import", e))?,
        Command::Export(args) => ctl::export(&args).map_err(|e| Failure::Ctl("export", e))?,
        Command::Binlog(args) => return Ok(binlog::run(&args)),
        Command::Bench(args) => bench::run(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_flags_are_usage_errors() {
        let cases: &[(&[&str], ErrorKind)] = &[
            (&["fdht", "dev", "--gruops", "2"], ErrorKind::UnknownArgument),
            (&["fdht", "dev", "--groups", "0"], ErrorKind::ValueValidation),
            (&["fdht", "dev", "--port", "99999"], ErrorKind::ValueValidation),
            (&["fdht", "dev", "start"], ErrorKind::MissingRequiredArgument),
            (&["fdht", "where", "files"], ErrorKind::MissingRequiredArgument),
            (&["fdht", "status", "-o", "xml"], ErrorKind::InvalidValue),
            (&["fdht", "verify", "--wait", "soon"], ErrorKind::ValueValidation),
            (&["fdht", "bench", "load", "--mix", "120%set"], ErrorKind::ValueValidation),
            (&["fdht", "import", "--tree", "/usr", "x.jsonl"], ErrorKind::ArgumentConflict),
            (&["fdht", "topology", "init"], ErrorKind::MissingRequiredArgument),
            (&["fdht", "failover", "--topology", "t.yaml"], ErrorKind::MissingRequiredArgument),
            (&["fdht", "import", "--retry-for", "soon"], ErrorKind::ValueValidation),
            (&["fdht", "binlog", "verify"], ErrorKind::MissingRequiredArgument),
            (&["fdht", "binlog", "dump", "--from", "3", "x"], ErrorKind::ValueValidation),
            (&["fdht", "binlog", "dump", "--lane", "3:1", "x"], ErrorKind::ValueValidation),
        ];
        for (args, kind) in cases {
            let error = Cli::try_parse_from(*args).expect_err("must be refused");
            assert_eq!(error.kind(), *kind, "{args:?}: {error}");
            assert_eq!(error.exit_code(), i32::from(STATUS_USAGE));
        }
    }
}
