//! One group on one server: its register, its lanes, and what it wants changed in the register.

pub mod group;
pub mod messages;
pub mod rounds;
pub mod wants;

pub use group::{GroupReplica, GroupStart};

#[cfg(test)]
mod tests;
