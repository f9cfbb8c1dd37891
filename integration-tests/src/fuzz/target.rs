//! The table of targets.

use super::{clients, disk, log, nodes, texts, wire};

/// A decoder and what to do with it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Takes any bytes; panics if the decoder breaks a rule.
    pub run: fn(&[u8]),
    /// Random mutations of an ordinary test run: fewer where one takes long.
    pub rounds: u32,
    /// What one call may allocate.
    pub memory: Memory,
}

/// A bound of what one call may allocate, in bytes: all allocations together, also those that the
/// target makes to write values again.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Whatever the input is.
    pub flat: u64,
    /// For each byte of the input. The smallest items take a byte on the wire and up to a hundred in
    /// memory, and growing a list allocates about twice its size.
    pub per_byte: u64,
}

/// For decoders of values: nothing to speak of before the bytes are there.
const VALUES: Memory = Memory { flat: 16 << 10, per_byte: 512 };
/// For whole commands: their answers are longer than they, and some are texts of a fixed length.
const SESSION: Memory = Memory { flat: 256 << 10, per_byte: 2 << 10 };
/// For a log of several small segments, which is read and copied as a whole.
const LOG: Memory = Memory { flat: 1 << 20, per_byte: 64 };
/// For topologies: a table of all logic groups, and a text for every mistake.
const TOPOLOGY: Memory = Memory { flat: 1 << 20, per_byte: 2 << 10 };

const fn target(name: &'static str, run: fn(&[u8]), rounds: u32, memory: Memory) -> Target {
    Target { name, run, rounds, memory }
}

/// All targets.
pub const TARGETS: &[Target] = &[
    target("frame", wire::frame, 20_000, VALUES),
    target("hello", wire::hello, 20_000, VALUES),
    target("request", wire::request, 40_000, VALUES),
    target("response", wire::response, 40_000, VALUES),
    target("reply", wire::reply, 20_000, VALUES),
    target("views", wire::views, 20_000, VALUES),
    target("command", wire::command, 20_000, VALUES),
    target("peer_frame", nodes::peer_frame, 40_000, VALUES),
    target("voter_slot", nodes::voter_slot, 20_000, VALUES),
    target("stored", disk::stored, 20_000, VALUES),
    target("physical_key", disk::physical_key, 20_000, VALUES),
    target("log_record", disk::log_record, 40_000, VALUES),
    target("log_segment", log::segment, 1_000, LOG),
    target("log_edits", log::edits, 1_000, LOG),
    target("topology", texts::topology, 4_000, TOPOLOGY),
    target("words", texts::words, 20_000, VALUES),
    target("import_line", tools::check_record_line, 20_000, VALUES),
    target("resp_reply", tools::check_reply, 20_000, VALUES),
    target("sniff", clients::sniff, 20_000, VALUES),
    target("resp_commands", clients::resp_commands, 40_000, VALUES),
    target("resp_session", clients::resp_session, 20_000, SESSION),
    target("fastdht_session", clients::fastdht_session, 20_000, SESSION),
    target("http_target", clients::http_target, 20_000, VALUES),
    target("http_request", clients::http_request, 20_000, SESSION),
];

/// Runs the target of this name.
///
/// # Panics
/// If there is none, or if its decoder breaks a rule.
pub fn run(name: &str, bytes: &[u8]) {
    let found = TARGETS.iter().find(|target| target.name == name);
    let target = found.unwrap_or_else(|| {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        panic!("no fuzz target `{name}`; there are {}", names.join(", "))
    });
    (target.run)(bytes);
}
