//! The crash suite of log and engine together: both on one simulated disk, whose power is cut at every
//! sync, whose syncs fail, which is full, and which lies. After each the disk is opened again, the log
//! is replayed, and what is there is compared with a model that knows only the operations.
//!
//! The same for whole nodes is in `worker/tests/crash.rs`; random operations on the engine are in
//! `engine/tests/model.rs`; the log alone is in `tests/binlog` of the package.

mod faults;
mod lying;
mod mutants;
mod power_cut;
mod rig;
mod script;
mod story;
