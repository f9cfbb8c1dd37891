//! The Redis protocol, RESP2 and RESP3.
//!
//! A Redis key is an object of the database's namespace: a string is its unnamed field, a hash its
//! named ones. [`decode`] cuts a connection's bytes into commands, [`session::RespSession`] looks
//! each one up in the one [table](mod@command), checks it and starts a [`call::RespCall`], which
//! turns the nodes' answers into the client's. Error texts are those of Redis 7.2 wherever Redis
//! has the same error; of the commands on expiries of fields, those of Redis 8.0.
//!
//! Operations of a command are submitted at once when it starts. Exceptions that ask again: values
//! longer than [`PART_BYTES`](common::limits::PART_BYTES), which are fetched in parts (a write that
//! the same client pipelines behind such a read may be seen by it), and the commands that walk
//! (HGETALL, SCAN, DBSIZE, ...), which hold up the commands behind them.

pub mod args;
pub mod call;
pub mod decode;
pub mod encode;
pub mod environment;
pub mod session;

pub mod command;
mod table;

mod error;
mod gathered;
mod glob;
mod kept;
mod number;
mod parts;

mod client;
mod connection;
mod count;
mod expire;
mod field_expire;
mod field_times;
mod fields;
mod hashes;
mod hsetex;
mod info;
mod inline;
mod introspect;
mod keys;
mod many;
mod scan;
mod server;
mod set;
mod strings;
mod tally;
mod value;

#[cfg(test)]
mod harness;
