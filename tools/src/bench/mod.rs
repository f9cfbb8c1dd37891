//! `fdht bench`: load against a cluster, and the do-nothing relay and echo that mark the floor.
//!
//! What is compared is CPU time per request of all server processes: unlike throughput it does not
//! depend on how much of the machine the loader and the neighbours take. The loader does as little
//! as it can: one thread, one task per connection, replies stepped over and not decoded.
//!
//! It talks to the sockets directly and shares nothing with the servers it is compared with. `engine`
//! is the exception: it measures a part of the servers' code inside this process.
//!
//! `replicas`, `failover` and `return` start clusters of their own, as `fdht dev` in temporary
//! folders, and end and remove them however they end themselves.

mod args;
mod checked;
mod cluster;
mod comeback;
mod connection;
mod cpu;
mod echo;
mod engine;
mod error;
mod failover;
mod floor;
mod frame;
mod knowledge;
mod lag;
mod load;
mod relay;
mod replicas;
mod report;
mod run;
mod sample;
mod serve;
mod standing;
mod workload;

pub(crate) use args::BenchArgs;
pub(crate) use error::BenchError;
pub(crate) use run::run;
