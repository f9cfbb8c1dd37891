//! One worker of a node: a thread that owns the groups `g` with `g mod workers` = its index.
//!
//! `core` executes operations; `official` states the order append -> durable -> official -> applied
//! -> answered; `turn` holds what one turn appends together; `peer` is a connection; `inbox` takes what
//! other threads send; `maintain` flushes, reclaims and slows writers down.

mod core;
mod group;
mod inbox;
mod maintain;
mod official;
mod peer;
mod turn;

#[cfg(test)]
mod tests;

pub(crate) use self::core::Core;
pub(crate) use group::{GroupStatus, OpenedGroup};
pub(crate) use inbox::{Message, run};
