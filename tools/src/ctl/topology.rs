//! `fdht topology`: work with topology files. `check` needs no cluster; `init` talks to its nodes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use config::{LoadError, Topology};
use serde_json::json;

use super::CtlError;
use crate::cli::Output;
use crate::cluster::{self, ClusterError, Outcome};
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
    /// Create the logic groups of a new cluster. All its nodes have to run. Can be repeated.
    Init {
        /// The file.
        file: PathBuf,
        /// File with the secret that the nodes of the cluster ask for.
        #[arg(long, env = "FDHT_SECRET_FILE", value_name = "FILE")]
        secret_file: Option<PathBuf>,
        /// How long the nodes may take to answer, and then the groups to exist.
        #[arg(long, default_value = "30s", value_parser = config::parse_time)]
        timeout: Duration,
    },
}

/// Runs a `topology` command.
pub(crate) fn topology(args: &TopologyArgs) -> Result<ExitCode, CtlError> {
    match &args.action {
        Action::Check { file, output } => Ok(check(file, *output)),
        Action::Init { file, secret_file, timeout } => {
            let topology = Topology::load(file).map_err(ClusterError::from)?;
            let name = topology.cluster().to_owned();
            let secret = cluster::secret(secret_file.as_deref())?;
            let outcome = cluster::init(topology, secret.as_ref(), *timeout)?;
            console::line(as_sentence(&name, outcome));
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn as_sentence(cluster: &str, outcome: Outcome) -> String {
    match outcome {
        Outcome { created: 0, all } => {
            format!("cluster {cluster}: nothing to do, all {all} logic groups exist")
        }
        Outcome { created, all } if created == all => {
            format!("cluster {cluster}: {all} logic groups created")
        }
        Outcome { created, all } => {
            format!(
                "cluster {cluster}: {created} of {all} logic groups created, the others existed"
            )
        }
    }
}

fn check(file: &Path, output: Output) -> ExitCode {
    let loaded = Topology::load(file);
    match output {
        Output::Json => console::line(as_json(&loaded)),
        Output::Table => match &loaded {
            Ok(topology) => console::line(as_text(file, topology)),
            Err(e) => console::warn(e.to_string()),
        },
    }
    if loaded.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(STATUS_PROBLEM) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_init_says_that_there_was_nothing_to_do() {
        let says = |created| as_sentence("demo", Outcome { created, all: 17 });
        assert_eq!(says(17), "cluster demo: 17 logic groups created");
        assert_eq!(says(0), "cluster demo: nothing to do, all 17 logic groups exist");
        assert!(says(3).starts_with("cluster demo: 3 of 17 logic groups created"));
    }
}
