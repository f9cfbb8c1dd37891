//! Which measurement was asked for.

use super::args::{Action, BenchArgs};
use super::{BenchError, comeback, echo, engine, failover, floor, relay, replicas, report};

/// Runs a `bench` command.
pub(crate) fn run(args: &BenchArgs) -> Result<(), BenchError> {
    match &args.action {
        Action::Load(args) => report::load(args),
        Action::Floor(args) => floor::floor(args),
        Action::Relay(args) => relay::relay(args),
        Action::Echo(args) => echo::echo(args),
        Action::Replicas(args) => replicas::replicas(args),
        Action::Failover(args) => failover::failover(args),
        Action::Return(args) => comeback::comeback(args),
        Action::Engine(args) => engine::engine(args),
    }
}
