//! One lane on one server: what it holds, what it promised, and whether it leads or follows.

pub mod following;
pub mod leading;
pub mod official;
pub mod pulls;
pub mod replica;

pub use following::Following;
pub use leading::{Leading, Phase};
pub use replica::{LaneReplica, LaneStart, Role};

#[cfg(test)]
mod tests;
