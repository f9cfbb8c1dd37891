//! `fdht bench engine`: the storage engine in this process, without network and replication, paired
//! with plain redb on the same data in the same run.
//!
//! [`node`] drives the servers' own log, memtable and flush in the order a node's worker does, with a
//! single writer; [`plain`] is what it is compared with. Each case prints its Markdown table when it is
//! done. CPU is that of the whole process: making keys and values, and the drawing of them, is in it on
//! both sides.
//!
//! Unlike the other measurements this one links the servers' code: there is no other way to see the
//! engine without the sockets.

mod always;
mod args;
mod bare;
mod density;
mod draw;
mod duties;
mod expiry;
mod flusher;
mod keys;
mod lab;
mod memtable;
mod node;
mod open;
mod place;
mod plain;
mod puts;
mod range;
mod reads;
mod reclaim;
mod report;
mod round;
mod run;
mod sizes;
mod times;
mod usage;
mod waiting;

pub(super) use args::EngineArgs;
pub(super) use run::engine;
