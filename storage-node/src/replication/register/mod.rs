//! The register of a group: one agreed value, changed by compare-and-set at a majority of voters
//! (guarantees 3). Consensus in the manner of CASPaxos: a round reads the value that may have been
//! chosen, changes it, and has the result accepted under the same ballot.

pub mod ballot;
pub mod change;
pub mod grants;
pub mod proposer;
pub mod value;
pub mod voter;

pub use ballot::Ballot;
pub use change::Change;
pub use proposer::Proposer;
pub use value::{LaneLeader, Member, MovePlan, Register, VoterGeneration, VoterSet};
pub use voter::Voter;
