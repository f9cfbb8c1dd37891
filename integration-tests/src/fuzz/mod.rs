//! Every decoder of bytes that come from outside of the process, as plain functions that a fuzzer
//! can call, and a driver that calls them on stable Rust.
//!
//! A target takes any bytes and panics if the decoder breaks a rule:
//! - it panics on nothing and ends soon;
//! - what it understood, written again and read again, is the same value;
//! - it allocates for bytes that are there, not for lengths and counts that somebody claims.
//!
//! Corpora are in `integration-tests/corpus/<target>`: [`corpus`] derives the files `golden-*` from
//! the golden bytes, the vectors and the samples; the others are written by hand, or were found.
//! `tests/fuzz_corpus.rs` runs [`TARGETS`] with [`drive()`]; `integration-tests/fuzz` is the same for
//! cargo-fuzz. `docs/TESTING.md` says how to run both.
//!
//! The only part of this package, besides the simulator, that knows the servers' own code: it is
//! code under test here and no client.

mod answers;
mod clients;
pub mod corpus;
mod disk;
mod drive;
mod log;
mod mutate;
mod nodes;
mod target;
mod texts;
mod wire;

pub use corpus::Seed;
pub use drive::{Campaign, Finding, drive};
pub use target::{Memory, TARGETS, Target, run};
