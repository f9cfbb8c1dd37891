//! `fdht binlog`: reads the log of a node from its files, without the node and without changing a
//! byte.
//!
//! `storage_node::binlog` knows the format and judges what is wrong ([`format`] names what is used of
//! it); here it becomes text: [`dump`] prints each frame, [`verify`] counts, compares the numbers of
//! each stream, and lists what is wrong.

mod args;
mod dump;
mod format;
mod frame_json;
mod frame_text;
#[cfg(test)]
mod golden_tests;
mod outcome;
mod place;
mod report;
mod run;
mod streams;
mod text;
mod verify;

pub(crate) use args::BinlogArgs;
pub(crate) use run::run;
