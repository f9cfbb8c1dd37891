//! The original's protocol: every recorded exchange replayed byte for byte, and what clients rely on.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use harness::fastdht::{HEADER, Package, batch, cmd, key, string};
use harness::{FastDht, Options, TestCluster, unix_seconds, wait_until};
use serde_json::Value;

/// The recorder's clock when it sent its first request.
const RECORDED_AT: i32 = 0x6b03_1270;
/// How far the recorded and the replayed clocks may run apart: the recording took some seconds.
const DRIFT_SECONDS: i32 = 40;

/// Exchanges that are answered otherwise on purpose, with the reason. The same list is in
/// `docs/FASTDHT.md`.
const EXCEPTIONS: [(&str, &str); 7] = [
    ("delete_expired#2", "an expired key is gone: DEL answers 2"),
    ("stat_0", "the text tells about this server"),
    ("stat_short", "the text tells about this server"),
    ("batch_star_get", "a refused batch stores nothing"),
    ("wrong_group", "the proxy serves every group"),
    ("sub_keys_off", "sub-keys are always on"),
    ("sync_set_get", "reads what SYNC_SET stored, and that is refused"),
];

/// Both are cut in the recording; what is missing is one byte, repeated.
const CUT: [&str; 2] = ["set_100k", "get_100k"];

/// One cluster for all tests of this file.
fn cluster() -> &'static TestCluster {
    static CLUSTER: OnceLock<TestCluster> = OnceLock::new();
    CLUSTER
        .get_or_init(|| Options::shape(2, 2, 17).env("FDHT_FASTDHT_PACKAGE_MAX", "256KiB").start())
}

struct Vector {
    name: String,
    request: Vec<u8>,
    response: Vec<u8>,
}

fn vectors() -> Vec<Vector> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/fastdht-vectors.json");
    let all: Vec<Value> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let bytes = |vector: &Value, name: &str| -> Vec<u8> {
        let hex = vector[name].as_str().unwrap();
        let pair = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(pair).collect()
    };
    let vector = |vector: &Value| {
        let name = vector["name"].as_str().unwrap().to_owned();
        let [request, response] = ["request_hex", "response_hex"].map(|part| {
            let bytes = bytes(vector, part);
            if CUT.contains(&name.as_str()) { completed(bytes) } else { bytes }
        });
        Vector { name, request, response }
    };
    all.iter().map(vector).collect()
}

fn completed(mut bytes: Vec<u8>) -> Vec<u8> {
    let length = u32::from_be_bytes(bytes[..4].try_into().unwrap());
    bytes.resize(HEADER + length as usize, b'B');
    bytes
}

impl Vector {
    /// Whether only servers send this.
    fn is_sync(&self) -> bool {
        self.request.get(16).is_some_and(|code| (cmd::SYNC_REQ..=cmd::SYNC_DEL).contains(code))
    }

    fn is_exception(&self) -> bool {
        EXCEPTIONS.iter().any(|(exception, _)| *exception == self.name)
    }
}

/// A time of the recording, now. Small numbers are no times: 0 never, -1 none.
fn shifted(seconds: i32, by: i32) -> i32 {
    if seconds > RECORDED_AT / 2 { seconds + by } else { seconds }
}

/// The request with its times shifted, package by package.
fn shifted_request(request: &[u8], by: i32) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), request);
    while let Some((mut package, behind)) = Package::parse(rest) {
        package.timestamp = shifted(package.timestamp, by);
        package.expires = shifted(package.expires, by);
        out.extend(package.bytes());
        rest = behind;
    }
    // What is no package (a negative length, a cut one) goes out as it is.
    out.extend_from_slice(rest);
    out
}

fn assert_answer(name: &str, recorded: &Package, answer: &Package, by: i32) {
    let now = unix_seconds();
    assert!(answer.timestamp.abs_diff(now) <= 2, "{name}: server time {}", answer.timestamp);
    let expected = shifted(recorded.expires, by);
    if expected == recorded.expires {
        assert_eq!(answer.expires, expected, "{name}: expires");
    } else {
        let apart = answer.expires - expected;
        assert!(apart.abs() <= DRIFT_SECONDS, "{name}: expires is {apart} s off");
    }
    let masked =
        Package { timestamp: recorded.timestamp, expires: recorded.expires, ..answer.clone() };
    assert_eq!(masked, *recorded, "{name}");
}

#[test]
fn every_recorded_client_exchange_is_answered_as_the_original_did() {
    let by = unix_seconds() - RECORDED_AT;
    let mut connection = cluster().fastdht();
    let mut replayed = 0;
    for vector in vectors() {
        let name = &vector.name;
        if vector.is_sync() || vector.is_exception() {
            continue;
        }
        connection.send_raw(&shifted_request(&vector.request, by));
        let mut rest = &vector.response[..];
        let mut keeps = !rest.is_empty();
        while let Some((recorded, behind)) = Package::parse(rest) {
            let answer = connection.read();
            let answer = answer.unwrap_or_else(|| panic!("{name}: closed instead of an answer"));
            assert_answer(name, &recorded, &answer, by);
            keeps = recorded.keep_alive == 1;
            rest = behind;
        }
        assert!(rest.is_empty(), "{name}: the recording is whole");
        if !keeps {
            assert!(connection.is_closed(), "{name}: the server closes");
            connection = cluster().fastdht();
        }
        replayed += 1;
    }
    assert!(replayed > 80, "only {replayed} exchanges");
}

#[test]
fn requests_between_servers_are_refused_and_keep_the_connection() {
    let mut connection = cluster().fastdht();
    let mut refused = 0;
    for vector in vectors().into_iter().filter(Vector::is_sync) {
        let (mut request, rest) = Package::parse(&vector.request).unwrap();
        assert!(rest.is_empty(), "{}", vector.name);
        request.keep_alive = 1;
        let answer = connection.call(&request);
        assert_eq!((answer.status, answer.body.len()), (22, 0), "{}", vector.name);
        refused += 1;
    }
    assert!(refused > 20, "only {refused} requests");
}

#[test]
fn the_documented_exceptions_are_the_tested_ones() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/FASTDHT.md");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let known: BTreeSet<String> = vectors().into_iter().map(|vector| vector.name).collect();
    // Names stand in backticks in the first cell of a table or at the beginning of a list entry.
    let mut documented = BTreeSet::new();
    for line in text.lines() {
        let Some(rest) = ["| `", "- `", "* `"].iter().find_map(|s| line.strip_prefix(s)) else {
            continue;
        };
        let cell = rest.split('|').next().unwrap_or_default();
        let names = cell.split('`').step_by(2).filter(|name| known.contains(*name));
        documented.extend(names.map(str::to_owned));
    }
    let tested: BTreeSet<String> = EXCEPTIONS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(documented, tested, "docs/FASTDHT.md and EXCEPTIONS name the same exchanges");
    assert!(EXCEPTIONS.iter().all(|(name, reason)| known.contains(*name) && !reason.is_empty()));
}

#[test]
fn an_expired_key_is_gone_for_delete() {
    let mut c = cluster().fastdht();
    let body = [key("", "", "past"), string("v")].concat();
    let answer = c.call(&Package::request(cmd::SET, body).expires(unix_seconds() - 5));
    assert_eq!(answer.status, 0);
    assert_eq!(c.call(&Package::request(cmd::DEL, key("", "", "past"))).status, 2);
}

#[test]
fn a_refused_batch_stores_nothing() {
    let mut c = cluster().fastdht();
    let pairs = [string("a"), string("1"), string("*"), string("2")].concat();
    let body = [batch("user", "refused", 2), pairs].concat();
    assert_eq!(c.call(&Package::request(cmd::BATCH_SET, body)).status, 22);
    assert_eq!(c.get("user", "refused", "a"), Err(2));
}

#[test]
fn the_package_limit_is_the_configured_one() {
    let mut c = cluster().fastdht();
    let overhead = HEADER + key("", "", "edge").len() + string("").len();
    let largest = vec![b'x'; (256 << 10) - overhead];
    assert_eq!(c.set("", "", "edge", &largest), 0);
    assert_eq!(c.get("", "", "edge"), Ok(largest.clone()));
    let body = [key("", "", "edge"), string([&largest[..], b"x"].concat())].concat();
    let package = Package::request(cmd::SET, body).bytes();
    c.send_raw(&package[..HEADER]);
    assert!(c.is_closed(), "one byte more closes the connection");
}

#[test]
fn stat_tells_what_the_original_tells() {
    let mut c = cluster().fastdht();
    c.set("", "", "for-stat", b"v");
    let answer = c.call(&Package::request(cmd::STAT, Vec::new()));
    assert_eq!(answer.status, 0);
    assert!(answer.body.len() < 1024, "the C client's test program reads 1024 bytes");
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.ends_with('\n') && text.lines().count() <= 32);
    let lines = text.lines().map(|line| line.split_once('=').unwrap());
    let lines: Vec<(&str, &str)> = lines.collect();
    let names: Vec<&str> = lines.iter().map(|(name, _)| *name).collect();
    let expected = [
        "server",
        "version",
        "uptime",
        "curr_time",
        "max_connections",
        "curr_connections",
        "total_set_count",
        "success_set_count",
        "total_inc_count",
        "success_inc_count",
        "total_delete_count",
        "success_delete_count",
        "total_get_count",
        "success_get_count",
    ];
    assert_eq!(names[..expected.len()], expected);
    let value = |name: &str| lines.iter().find(|line| line.0 == name).unwrap().1;
    assert!(value("total_set_count").parse::<u64>().unwrap() >= 1);
    assert!(value("curr_time").parse::<i32>().unwrap().abs_diff(unix_seconds()) <= 2);
}

#[test]
fn a_short_connection_is_closed_behind_its_answer() {
    let mut c = cluster().fastdht();
    let set = Package::request(cmd::SET, [key("", "", "short"), string("v")].concat());
    assert_eq!(c.call(&set.clone().last()).status, 0);
    assert!(c.is_closed());
    let mut c = cluster().fastdht();
    assert_eq!(c.call(&set).status, 0);
    assert_eq!(c.get("", "", "short"), Ok(b"v".to_vec()), "keep_alive keeps it open");
    c.send_raw(&Package::request(cmd::QUIT, Vec::new()).bytes());
    assert!(c.is_closed());
}

#[test]
fn the_hash_code_of_a_client_is_echoed_and_has_no_effect() {
    let mut c = cluster().fastdht();
    for hash in [0, 1, -1, i32::MIN, i32::MAX, 12345] {
        let body = [key("ns", "obj", "hash"), string(hash.to_string())].concat();
        assert_eq!(c.call(&Package::request(cmd::SET, body).hash(hash)).status, 0);
        for other in [0, 7, -2, i32::MAX] {
            let get = Package::request(cmd::GET, key("ns", "obj", "hash")).expires(-1).hash(other);
            assert_eq!(c.call(&get).body, string(hash.to_string()), "call checks the echo");
        }
    }
}

#[test]
fn clocks_that_differ_do_not_change_a_lifetime() {
    let mut c = cluster().fastdht();
    for skew in [-5_000, 0, 1_000] {
        let name = format!("skew{skew}");
        let body = [key("", "", &name), string("v")].concat();
        let mut set = Package::request(cmd::SET, body);
        set.timestamp += skew;
        let set = Package { expires: set.timestamp + 600, ..set };
        let stored = c.call(&set).expires;
        assert!(stored.abs_diff(unix_seconds() + 600) <= 2, "{stored}");
        let get = Package::request(cmd::GET, key("", "", &name)).expires(-1);
        assert_eq!(c.call(&get).expires, stored);
    }
}

#[test]
fn a_key_expires_by_itself_and_a_touch_keeps_it() {
    let mut c = cluster().fastdht();
    for name in ["dies", "lives"] {
        let body = [key("ex", "o", name), string("v")].concat();
        let set = Package::request(cmd::SET, body).expires(unix_seconds() + 2);
        assert_eq!(c.call(&set).status, 0);
    }
    let touch = Package::request(cmd::GET, key("ex", "o", "lives")).expires(0);
    assert_eq!(c.call(&touch).expires, 0);
    let soon = Duration::from_secs(20);
    wait_until("the key expires", soon, || c.get("ex", "o", "dies") == Err(2));
    assert_eq!(c.get("ex", "o", "lives"), Ok(b"v".to_vec()));
    let sub_keys = [string("ex"), string("o")].concat();
    let answer = c.call(&Package::request(cmd::GET_SUB_KEYS, sub_keys));
    assert_eq!(answer.body, b"lives");
}

#[test]
fn many_pipelined_requests_are_answered_in_order() {
    let mut c = cluster().fastdht();
    let mut bytes = Vec::new();
    for n in 0..500 {
        let body = [key("", "", &format!("pipe{n}")), string(n.to_string())].concat();
        bytes.extend(Package::request(cmd::SET, body).hash(n).bytes());
        let get = Package::request(cmd::GET, key("", "", &format!("pipe{n}"))).expires(-1);
        bytes.extend(get.hash(-n).bytes());
    }
    c.send_raw(&bytes);
    for n in 0..500 {
        assert_eq!(c.read().unwrap().hash, n);
        let answer = c.read().unwrap();
        assert_eq!((answer.hash, answer.body), (-n, string(n.to_string())));
    }
}

#[test]
fn one_record_is_seen_through_all_three_protocols() {
    let cluster = cluster();
    let mut c = cluster.fastdht();
    assert_eq!(c.set("users", "u1", "name", b"Fish"), 0);
    let mut resp = cluster.resp();
    assert_eq!(resp.call(&["SELECT", "users"]), "OK");
    assert_eq!(resp.call(&["HGET", "u1", "name"]), "Fish");
    assert_eq!(cluster.http().get("/v1/kv/users/u1/name").expect(200).body, b"Fish");

    assert_eq!(resp.call(&["HSET", "u1", "mail", "f@sh"]), 1);
    assert_eq!(c.get("users", "u1", "mail"), Ok(b"f@sh".to_vec()));
    cluster.http().put("/v1/kv/users/u1/town", "Bei Jing").expect(204);
    assert_eq!(c.get("users", "u1", "town"), Ok("Bei Jing".as_bytes().to_vec()));
    let listed = [string("users"), string("u1")].concat();
    let answer = c.call(&Package::request(cmd::GET_SUB_KEYS, listed));
    assert_eq!(answer.body, b"mail\x01name\x01town");

    // A plain key is a Redis string of database 0 and the unnamed field over HTTP.
    assert_eq!(c.set("", "", "plain", b"p"), 0);
    let mut zero = cluster.resp();
    assert_eq!(zero.call(&["GET", "plain"]), "p");
    assert_eq!(cluster.http().get("/v1/kv/-/plain").expect(200).body, b"p");
    zero.call(&["INCR", "plain-counter"]);
    let inc = [key("", "", "plain-counter"), 41_i32.to_be_bytes().to_vec()].concat();
    assert_eq!(c.call(&Package::request(cmd::INC, inc)).body, string("42"));

    // Kinds do not mix.
    resp.call(&["SET", "a-string", "v"]);
    assert_eq!(c.set("users", "a-string", "field", b"v"), 22);
    assert_eq!(c.get("users", "a-string", "field"), Err(22));
}

#[test]
fn increments_of_many_connections_are_all_counted() {
    let add = |mut c: FastDht| {
        for _ in 0..100 {
            let body = [key("cnt", "day", "pv"), 1_i32.to_be_bytes().to_vec()].concat();
            assert_eq!(c.call(&Package::request(cmd::INC, body)).status, 0);
        }
    };
    let workers = [(); 6].map(|()| std::thread::spawn(move || add(cluster().fastdht())));
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    assert_eq!(cluster().fastdht().get("cnt", "day", "pv"), Ok(b"600".to_vec()));
}
