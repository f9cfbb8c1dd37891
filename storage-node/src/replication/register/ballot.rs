//! Numbers of the register's rounds.

pub use common::register::Ballot;
