//! The front against the model of a cluster.

mod behaviour;
mod client;
mod vectors;
