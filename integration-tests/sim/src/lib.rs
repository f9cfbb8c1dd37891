//! A simulator of the replication protocol: the real machines of `storage_node::replication`, their
//! nodes, voters, clients, network, clocks and disks in one thread, from a seed.
//!
//! One seed is one run: faults for a while (safety), then everything heals (liveness, I15). The
//! files in [`checks`] say what must hold, one per invariant of the guarantees.

pub mod act;
pub mod checks;
pub mod client;
pub mod deliver;
pub mod faults;
pub mod log;
pub mod node;
pub mod requests;
pub mod rng;
pub mod run;
pub mod setup;
pub mod voters;
pub mod world;

pub use run::{Report, run};
