//! The stateless proxy: clients of three protocols on one port, routed by hash to the storage nodes.
//!
//! `front` is pure code for the protocols; `route` decides where; `pool` keeps the node connections'
//! books; `session`, `http` and `worker` move bytes. See `docs/ARCHITECTURE.md`.

pub mod args;
pub mod front;
pub mod route;

mod acceptor;
mod admin;
mod budget;
mod clients;
mod counters;
mod environment;
mod error;
mod http;
mod pool;
mod run;
mod session;
mod shared;
mod status;
mod worker;

pub use error::StartError;
pub use run::run;
