//! From the arguments to the exit status.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use serde_json::Value;

use super::args::{Action, BinlogArgs, DumpArgs, VerifyArgs};
use super::outcome::Outcome;
use super::place::{Place, PlaceError};
use super::{dump, report, verify};
use crate::cli::Output;
use crate::console;
use crate::failure::{STATUS_PROBLEM, STATUS_USAGE};

/// Runs a `binlog` command.
pub(crate) fn run(args: &BinlogArgs) -> ExitCode {
    let (name, done) = match &args.action {
        Action::Dump(args) => ("dump", run_dump(args)),
        Action::Verify(args) => ("verify", run_verify(args)),
    };
    match done {
        Ok(outcome) => outcome.exit_code(),
        Err(error) => {
            console::warn(format!("fdht binlog {name}: {error}"));
            ExitCode::from(error.status())
        }
    }
}

/// Why a command did not come to its end.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error("cannot write to standard output: {0}")]
    Stdout(io::Error),
}

impl RunError {
    fn status(&self) -> u8 {
        match self {
            Self::Place(_) => STATUS_USAGE,
            Self::Stdout(_) => STATUS_PROBLEM,
        }
    }
}

fn run_dump(args: &DumpArgs) -> Result<Outcome, RunError> {
    let places = Place::all(&args.paths)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut warn = |text: String| console::warn(text);
    let (mut outcome, mut lines) = (Outcome::default(), 0);
    let mut all = || {
        for place in &places {
            outcome.add(dump::dump(place, args, &mut lines, &mut out, &mut warn)?);
        }
        out.flush()
    };
    match all() {
        Ok(()) => Ok(outcome),
        // `fdht binlog dump | head` has seen enough.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::default()),
        Err(e) => Err(RunError::Stdout(e)),
    }
}

fn run_verify(args: &VerifyArgs) -> Result<Outcome, RunError> {
    let mut outcome = Outcome::default();
    let mut logs = Vec::new();
    for place in Place::all(&args.paths)? {
        let findings = verify::verify(&place);
        outcome.add(findings.outcome);
        match args.output {
            Output::Table => console::line(report::as_text(&findings)),
            Output::Json => logs.push(report::as_json(&findings)),
        }
    }
    if args.output == Output::Json {
        console::line(Value::Array(logs).to_string());
    }
    Ok(outcome)
}
