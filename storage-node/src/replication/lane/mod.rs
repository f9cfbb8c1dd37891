//! One lane on one server: what it holds, what it promised, and whether it leads or follows.

pub mod following;
pub mod leading;
pub mod official;
pub mod pulls;
pub mod replica;
pub mod status;
pub mod writing;

pub use following::Following;
pub use leading::{Leading, Phase};
pub use replica::{LaneReplica, LaneStart, Role};
pub use status::{FollowerStatus, Standing};

#[cfg(test)]
mod tests;
