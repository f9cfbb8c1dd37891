//! The corpora: files that a fuzzer and the driver begin with.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::log;

/// How files are named that are derived from other files of the repository.
pub const DERIVED: &str = "golden-";
const HEADER_BYTES: usize = 16;
/// Bytes of a request's body before its operation.
const REQUEST_HEAD_BYTES: usize = 4 + 8 + 2 + 1 + 1 + 1 + 8 + 16 + 4 + 4 + 1;

/// One file of a corpus.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seed {
    /// The file's name.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of a target's corpus.
#[must_use]
pub fn folder(target: &str) -> PathBuf {
    package().join("corpus").join(target)
}

/// The files of a target's corpus, by name; none if it has no folder.
///
/// # Panics
/// If a file cannot be read.
#[must_use]
pub fn read(target: &str) -> Vec<Seed> {
    let Ok(entries) = fs::read_dir(folder(target)) else { return Vec::new() };
    let mut seeds: Vec<_> = entries
        .map(|entry| {
            let entry = entry.expect("the folder can be listed");
            let name = entry.file_name().into_string().expect("names are text");
            Seed { name, bytes: fs::read(entry.path()).expect("the file can be read") }
        })
        .collect();
    seeds.sort();
    seeds
}

/// Makes a target's derived files what [`derived`] says; the others stay.
///
/// # Panics
/// If a file cannot be written.
pub fn write_derived(target: &str) {
    let folder = folder(target);
    fs::create_dir_all(&folder).expect("the folder can be made");
    for old in read(target).iter().filter(|seed| seed.name.starts_with(DERIVED)) {
        fs::remove_file(folder.join(&old.name)).expect("the file can be removed");
    }
    for seed in derived(target) {
        fs::write(folder.join(&seed.name), &seed.bytes).expect("the file can be written");
    }
}

/// What the golden files, the vectors and the samples make of a target's corpus, by name.
#[must_use]
pub fn derived(target: &str) -> Vec<Seed> {
    let named = |name: &str, bytes: Vec<u8>| Seed { name: format!("{DERIVED}{name}"), bytes };
    let mut seeds: Vec<Seed> = match target {
        "frame" => common_golden("frames"),
        "hello" => {
            let frames = common_golden("frames").into_iter();
            let hellos = frames.filter(|(name, _)| name.contains("hello") || name == "greeting");
            hellos.map(|(name, bytes)| (name, bytes[HEADER_BYTES..].to_vec())).collect()
        }
        "request" => requests(),
        "response" => {
            let replies = common_golden("replies").into_iter();
            let replies = replies.map(|(name, bytes)| (name, [&[0], &bytes[..]].concat()));
            common_golden("failures").into_iter().chain(replies).collect()
        }
        "reply" => common_golden("replies"),
        "views" => common_golden("views"),
        "command" => common_golden("commands"),
        "peer_frame" => peer_frames(),
        "voter_slot" => peer_golden("slot "),
        "stored" => common_golden("stored"),
        "physical_key" => common_golden("keys"),
        "log_record" => common_golden("log_record"),
        "log_segment" => vec![("first-segment".to_owned(), log::first_segment())],
        "topology" => samples(),
        "fastdht_session" => fastdht_requests(),
        _ => Vec::new(),
    }
    .into_iter()
    .map(|(name, bytes)| named(&name, bytes))
    .collect();
    seeds.sort();
    seeds
}

type Cases = Vec<(String, Vec<u8>)>;

fn repository(path: &str) -> String {
    let path = package().join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()))
}

/// The cases of a golden file: `[name]` and lines of hex; `#` starts a comment.
fn golden(path: &str) -> Cases {
    let mut cases = Cases::new();
    for line in repository(path).lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            cases.push((name.to_owned(), Vec::new()));
            continue;
        }
        let bytes = hex(&line.replace(' ', ""));
        if let Some((_, case)) = cases.last_mut() {
            case.extend(bytes);
        }
    }
    assert!(!cases.is_empty(), "{path} has no cases");
    cases
}

fn hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap_or("?"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("two hex digits")).collect()
}

fn common_golden(name: &str) -> Cases {
    golden(&format!("common/tests/golden/{name}.hex"))
}

/// Cases of the peer protocol whose names begin so, without that beginning.
fn peer_golden(prefix: &str) -> Cases {
    let cases = golden("storage-node/tests/golden/peer.hex").into_iter();
    cases.filter_map(|(name, bytes)| Some((name.strip_prefix(prefix)?.to_owned(), bytes))).collect()
}

/// Whole bodies: a generation stands before the messages.
fn peer_frames() -> Cases {
    let generation = 2_u32.to_le_bytes();
    let messages = peer_golden("message ").into_iter();
    let messages = messages.map(|(name, bytes)| (name, [&generation[..], &bytes].concat()));
    messages.chain(peer_golden("frame ")).collect()
}

/// Every operation behind the head of the golden request frame.
fn requests() -> Cases {
    let frames = common_golden("frames");
    let (_, frame) = frames.iter().find(|(name, _)| name == "request").expect("there is one");
    let head = &frame[HEADER_BYTES..HEADER_BYTES + REQUEST_HEAD_BYTES];
    let operations = common_golden("operations").into_iter();
    operations.map(|(name, bytes)| (name, [head, &bytes].concat())).collect()
}

fn samples() -> Cases {
    ["dev-single", "dev-cluster", "namespaces", "prod-two-groups"]
        .into_iter()
        .map(|name| {
            (name.to_owned(), repository(&format!("config/samples/{name}.yaml")).into_bytes())
        })
        .collect()
}

/// The first recorded request of each FastDHT command.
fn fastdht_requests() -> Cases {
    const COMMAND_AT: usize = 16;
    let text = repository("integration-tests/vectors/fastdht-vectors.json");
    let vectors: Vec<serde_json::Value> = serde_json::from_str(&text).expect("a JSON list");
    let mut commands = BTreeSet::new();
    let mut cases = Cases::new();
    for vector in &vectors {
        let field = |name: &str| vector[name].as_str().unwrap_or_default().to_owned();
        let bytes = hex(&field("request_hex"));
        if bytes.get(COMMAND_AT).is_some_and(|command| commands.insert(*command)) {
            cases.push((field("name"), bytes));
        }
    }
    cases
}
