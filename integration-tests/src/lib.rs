//! The harness of the end-to-end tests: starts real processes of the built program, talks to them
//! with clients that share no code with the servers, breaks things, and waits for what must happen.
//!
//! A test reads like a script: start a cluster, do something, kill something,
//! `wait_for("what", deadline, ..)`. Nothing sleeps for a guessed time, nothing is tried twice, and
//! nothing that a test starts outlives it, even when the test itself is killed (see `guard`).

pub mod chaos;
pub mod chaos_peer;
pub mod chaos_relay;
pub mod cluster;
pub mod fastdht;
pub mod fuzz;
pub mod guard;
pub mod http;
pub mod load;
pub mod lone;
pub mod net_fault;
pub mod oracle;
pub mod process;
pub mod random;
pub mod resp;
pub mod tree;
pub mod wait;

pub use chaos::HandCluster;
pub use cluster::{Options, TestCluster};
pub use fastdht::FastDht;
pub use http::Http;
pub use load::Load;
pub use net_fault::Relay;
pub use oracle::Oracle;
pub use process::{Finished, Running, fdht};
pub use random::Random;
pub use resp::{Resp, Value};
pub use wait::{unix_ms, unix_seconds, wait_for, wait_until};
