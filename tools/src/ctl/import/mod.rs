//! `fdht import`: records from a file, a pipe or a folder tree into a cluster.
//!
//! One thread reads the input, several deliver it over a connection each. All records of an object
//! go over the same connection in input order, so a later line for the same address wins. What is
//! acknowledged is tracked per record: the checkpoint only moves over records that all are.

mod args;
mod checkpoint;
mod error;
mod parse;
mod prefix;
mod reporter;
mod run;
mod sender;
mod tree;

pub(crate) use args::ImportArgs;
pub(crate) use error::ImportError;
pub(crate) use run::import;
