//! `fdht dev`: a whole cluster of real processes on this machine, its data kept between runs.
//!
//! Everything is in one folder: `topology.yaml`, `nodes/<id>/`, `pids/<id>.pid`, `logs/<id>.log`,
//! `settings.json` (ports of the proxy, which nodes were created), `lock` (held while a `dev` runs
//! there) and, while it runs, `dev.json` (where `start` and `stop` reach it).
//!
//! Invariants:
//! * A node is told to create its data only once, before any proxy could write to it. A node whose
//!   data is gone later does not come back empty under its id; it refuses to start.
//! * Children hold the read end of a pipe whose write end only this process has: they end when it
//!   does, however it ends.
//! * Nothing is started before every address is known to be free.

mod args;
mod child;
mod control;
mod error;
mod machine;
mod member;
mod paths;
mod ports;
mod run;
mod settings;
mod shape;
mod signals;
mod supervisor;

pub(crate) use args::DevArgs;
pub(crate) use error::DevError;
pub(crate) use paths::Paths;
pub(crate) use run::run;
