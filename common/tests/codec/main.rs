//! Every binary format of this crate: pinned by committed bytes, checked by properties, and attacked.
//!
//! One binary, because its parts share the strategies and the golden file reader.

mod formats;
mod golden_file;
mod golden_frames;
mod golden_operations;
mod golden_records;
mod golden_registers;
mod golden_replies;
mod hash_vectors;
mod key_order;
mod lies;
mod lies_registers;
mod message;
mod properties;
mod strategies;
mod strategies_op;
mod strategies_register;
mod strategies_reply;
