//! From what the file says to a topology: every rule that is more than a type.
//!
//! One file per part of the topology file. Each rule is checked as far as its inputs are usable and
//! no further, so that one mistake gives one problem and not the problems that follow from it.

mod address;
mod file;
mod groups;
mod names;
mod namespaces;
mod servers;
mod settings;

pub(crate) use file::validate;
