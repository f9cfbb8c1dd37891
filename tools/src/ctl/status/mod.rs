//! `fdht status`: the cluster as one proxy sees it, and what every node says of its groups.
//!
//! A row per physical group and per server, and a line for each thing that is not as it should be:
//! with hundreds of logic groups only what is not normal is worth a line.

mod node;
mod run;
mod survey;
mod voters;

pub(crate) use run::{StatusArgs, status};
