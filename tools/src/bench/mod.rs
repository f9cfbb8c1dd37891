//! `fdht bench`: load against a cluster, and the do-nothing relay and echo that mark the floor.
//!
//! What is compared is CPU time per request of all server processes: unlike throughput it does not
//! depend on how much of the machine the loader and the neighbours take. The loader does as little
//! as it can: one thread, one task per connection, replies stepped over and not decoded.
//!
//! It talks to the sockets directly and shares nothing with the servers it is compared with.

mod args;
mod connection;
mod cpu;
mod echo;
mod error;
mod floor;
mod frame;
mod load;
mod relay;
mod report;
mod run;
mod serve;
mod workload;

pub(crate) use args::BenchArgs;
pub(crate) use error::BenchError;
pub(crate) use run::run;
