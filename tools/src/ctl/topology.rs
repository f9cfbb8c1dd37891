//! `fdht topology`: work with topology files. Needs no cluster.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use config::{LoadError, Topology};
use serde_json::json;

use super::CtlError;
use crate::cli::Output;
use crate::console;
use crate::failure::STATUS_PROBLEM;

/// `fdht topology`.
#[derive(Debug, Args)]
pub(crate) struct TopologyArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say everything that is wrong with a topology file. Exit status 1 when something is.
    Check {
        /// The file.
        file: PathBuf,
        /// How to show the result.
        #[arg(short, long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
}

/// Runs a `topology` command.
pub(crate) fn topology(args: &TopologyArgs) -> Result<ExitCode, CtlError> {
    let Action::Check { file, output } = &args.action;
    let loaded = Topology::load(file);
    match output {
        Output::Json => console::line(as_json(&loaded)),
        Output::Table => match &loaded {
            Ok(topology) => console::line(as_text(file, topology)),
            Err(e) => console::warn(e.to_string()),
        },
    }
    Ok(if loaded.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(STATUS_PROBLEM) })
}

fn as_text(file: &Path, topology: &Topology) -> String {
    let mut text: String = topology.warnings().iter().map(|w| format!("warning: {w}\n")).collect();
    text.push_str(&format!(
        "{}: fine: cluster {}, {}, {} logic groups on {} physical groups and {} servers",
        file.display(),
        topology.cluster(),
        topology.version(),
        topology.logic_groups(),
        topology.physical_groups().len(),
        topology.servers().len(),
    ));
    text
}

fn as_json(loaded: &Result<Topology, LoadError>) -> String {
    let value = match loaded {
        Ok(topology) => json!({
            "ok": true, "cluster": topology.cluster(), "epoch": topology.version().epoch.0,
            "hash": format!("{:016x}", topology.version().hash),
            "warnings": topology.warnings(), "problems": [],
        }),
        Err(LoadError::Problems { problems, .. }) => {
            let problems: Vec<_> = problems
                .iter()
                .map(|p| json!({"line": p.line(), "path": p.path(), "text": p.text()}))
                .collect();
            json!({"ok": false, "warnings": [], "problems": problems})
        }
        Err(e) => json!({
            "ok": false, "warnings": [],
            "problems": [{"line": null, "path": null, "text": e.to_string()}],
        }),
    };
    value.to_string()
}
