//! The binlog on a simulated and on the real disk.
#![expect(clippy::unwrap_used, reason = "a failed step of a test fails the test")]

mod basics;
mod damage;
mod errors;
mod find;
mod golden;
mod inspect;
mod power_cut;
mod refusals;
mod support;
mod watched;
