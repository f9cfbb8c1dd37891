//! Which measurement was asked for.

use super::args::{Action, BenchArgs};
use super::{BenchError, echo, floor, relay, report};

/// Runs a `bench` command.
pub(crate) fn run(args: &BenchArgs) -> Result<(), BenchError> {
    match &args.action {
        Action::Load(args) => report::load(args),
        Action::Floor(args) => floor::floor(args),
        Action::Relay(args) => relay::relay(args),
        Action::Echo(args) => echo::echo(args),
    }
}
