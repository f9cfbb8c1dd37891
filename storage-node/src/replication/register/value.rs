//! The value of a register: vocabulary that voters, members, proxies and tools share.

pub use common::ids::VoterGeneration;
pub use common::register::{LaneLeader, Member, MovePlan, Register, VoterSet};
