//! What must hold, one file per invariant, and the oracle of what clients were told.

pub mod acks_reached;
pub mod failures;
pub mod i15_liveness;
pub mod i16_one_leader;
pub mod i17_other_lanes;
pub mod i18_old_terms;
pub mod i1_power;
pub mod i2_kept;
pub mod i3_kill;
pub mod i4_equal;
pub mod i5_one_content;
pub mod i7_counters;
pub mod i8_reads;
pub mod one_register;
pub mod oracle;

pub use failures::{Check, Checks};
