//! Bytes that no honest client sends, lengths that lie, readers that do not read: answered per protocol
//! or closed, while every process lives, memory stays bounded and others are served.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use harness::fastdht::{Package, cmd, key, string};
use harness::process::resident_kib;
use harness::resp::encode;
use harness::{Options, Random, Resp, TestCluster, Value, wait_until};

const SOON: Duration = Duration::from_secs(30);
/// What a process may grow by while it is lied to, in KiB.
const GROWTH_KIB_MAX: u64 = 96 << 10;

fn cluster() -> &'static TestCluster {
    static CLUSTER: OnceLock<TestCluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Options::shape(1, 1, 5).start())
}

/// Data and admin addresses of the node and the proxy.
fn all_ports(cluster: &TestCluster) -> [String; 4] {
    let (node, node_admin) = cluster.node_addresses("a1");
    [cluster.address(), cluster.admin_address(), node, node_admin]
}

/// Resident memory of the node and the proxy.
fn memory(cluster: &TestCluster) -> Vec<u64> {
    cluster.pids().into_iter().map(resident_kib).collect()
}

#[track_caller]
fn assert_bounded(cluster: &TestCluster, before: &[u64], kib_max: u64) {
    for ((id, before), now) in cluster.members().iter().zip(before).zip(memory(cluster)) {
        let grown = now.saturating_sub(*before);
        assert!(grown <= kib_max, "{id} grew by {grown} KiB, max {kib_max}");
    }
}

/// Sends bytes, says that nothing follows, and waits until the server closes.
#[track_caller]
fn throw_at(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    // It may close before it has read all.
    drop(stream.write_all(bytes));
    drop(stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    if let Err(e) = stream.read_to_end(&mut answer) {
        let open = e.kind() == std::io::ErrorKind::WouldBlock;
        assert!(!open, "{address} keeps a dead connection: {:?}", bytes.escape_ascii().to_string());
    }
    answer
}

/// The beginning of something that makes sense, and then not.
fn plausible(random: &mut Random) -> Vec<u8> {
    let length = random.below(300);
    let noise = random.bytes(length);
    let mut start = match random.below(8) {
        0 => b"*3\r\n$3\r\nSET\r\n$".to_vec(),
        1 => encode(&["SET", "garbage", "value"]),
        2 => Package::request(random.bytes(1)[0], random.bytes(40)).bytes(),
        3 => b"GET /v1/kv/a/b HTTP/1.1\r\nHost: x\r\n".to_vec(),
        4 => b"PUT /v1/kv/a/b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
        5 => b"\x16\x03\x01\x02\x00\x01\x00".to_vec(),
        6 => [&200_u32.to_le_bytes()[..], &[4, 0, 0, 0], &7_u64.to_le_bytes()].concat(),
        _ => Vec::new(),
    };
    if !start.is_empty() && random.below(3) == 0 {
        start.truncate(random.below(start.len()));
    }
    if !start.is_empty() && random.below(3) == 0 {
        let at = random.below(start.len());
        start[at] ^= 1 << random.below(8);
    }
    start.extend(noise);
    start
}

#[test]
fn garbage_on_any_port_harms_nobody() {
    let seed = 20_240_817;
    println!("seed {seed}");
    let cluster = cluster();
    let before = memory(cluster);
    thread::scope(|scope| {
        for (n, address) in all_ports(cluster).into_iter().enumerate() {
            scope.spawn(move || {
                let mut random = Random::new(seed + n as u64);
                for _ in 0..120 {
                    let length = random.below(2_000);
                    throw_at(&address, &random.bytes(length));
                    throw_at(&address, &plausible(&mut random));
                }
            });
        }
    });
    cluster.assert_serves();
    assert_bounded(cluster, &before, GROWTH_KIB_MAX);
    for id in cluster.members() {
        assert!(!cluster.log(&id).contains("panicked"), "{id}: {}", cluster.log(&id));
    }
}

#[test]
fn truncated_requests_are_dropped() {
    let cluster = cluster();
    let whole = [
        encode(&["HSET", "truncated", "field", "value"]),
        Package::request(cmd::SET, [key("", "", "truncated"), string("v")].concat()).bytes(),
        b"PUT /v1/kv/-/truncated HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nvalue".to_vec(),
    ];
    for request in &whole {
        for length in (1..request.len()).step_by(3) {
            throw_at(&cluster.address(), &request[..length]);
        }
    }
    assert_eq!(cluster.resp().call(&["EXISTS", "truncated"]), 0);
    cluster.assert_serves();
}

#[test]
fn lengths_that_lie_cost_no_memory() {
    let cluster = cluster();
    let [data, admin, node, _] = all_ports(cluster);
    let before = memory(cluster);
    let node_frame =
        |length: u32| [&length.to_le_bytes()[..], &[4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]].concat();
    let fastdht = |length: i32| {
        let mut bytes = Package::request(cmd::SET, Vec::new()).bytes();
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        bytes
    };
    let lies: Vec<(&str, Vec<u8>)> = vec![
        (&data, b"*1000000000\r\n".to_vec()),
        (&data, b"*1000000\r\n$3\r\nSET\r\n".to_vec()),
        (&data, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000000\r\n".to_vec()),
        (&data, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$60000000\r\nabc".to_vec()),
        (&data, b"*3\r\n$3\r\nSET\r\n$99999999999999999999\r\n".to_vec()),
        (&data, b"*-5\r\n*2\r\n$-7\r\n".to_vec()),
        (&data, fastdht(i32::MAX)),
        (&data, fastdht(-1)),
        (&data, fastdht(200 << 10)),
        (
            &data,
            b"PUT /v1/kv/a/b HTTP/1.1\r\nHost: x\r\nContent-Length: 16000000\r\n\r\nx".to_vec(),
        ),
        (
            &data,
            b"PUT /v1/kv/a/b HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\nx"
                .to_vec(),
        ),
        (
            &data,
            b"PUT /v1/kv/a/b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\nx"
                .to_vec(),
        ),
        (&node, node_frame(64 << 20)),
        (&node, node_frame(u32::MAX)),
        (
            &admin,
            b"GET /readyz HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\nx".to_vec(),
        ),
    ];
    // All of them at once, ten times each, and left open.
    let mut open = Vec::new();
    for (address, bytes) in lies.iter().cycle().take(lies.len() * 10) {
        let mut stream = TcpStream::connect(address).unwrap();
        // Some are refused while they are being sent.
        drop(stream.write_all(bytes));
        open.push(stream);
    }
    cluster.assert_serves();
    assert_bounded(cluster, &before, GROWTH_KIB_MAX);
    drop(open);
    // Those that can be told are told.
    let told = |bytes: &[u8]| String::from_utf8_lossy(&throw_at(&data, bytes)).into_owned();
    assert_eq!(told(b"*1000000000\r\n"), "-ERR Protocol error: invalid multibulk length\r\n");
    assert_eq!(
        told(b"*2\r\n$3\r\nGET\r\n$1000000000\r\n"),
        "-ERR Protocol error: invalid bulk length\r\n"
    );
    assert_eq!(told(b"*1\r\n:1\r\n"), "-ERR Protocol error: expected '$', got ':'\r\n");
    assert!(told(&[b'x'; 100_000]).starts_with("-ERR Protocol error: too big inline request"));
    assert!(told(b"GET / HTTP/1.1\r\n\0\r\n\r\n").starts_with("HTTP/1.1 400"));
    assert_eq!(throw_at(&data, &fastdht(-1)), b"");
    assert_eq!(throw_at(&data, b"\x16\x03\x01\x02\x00"), b"", "TLS is not served yet");
    assert_eq!(throw_at(&data, b"POST / HTTP/3\r\n"), b"", "as Redis does");
    cluster.assert_serves();
}

#[test]
fn names_and_values_over_their_limits_are_answered_with_the_limit() {
    let cluster = cluster();
    let mut c = cluster.resp();
    let (fits, long) = ("k".repeat(8192), "k".repeat(8193));
    assert_eq!(c.call(&["SET", &fits, "v"]), "OK");
    assert_eq!(c.call(&["GET", &fits]), "v");
    assert_eq!(c.call(&["HSET", "h", &fits, "v"]), 1);
    let wrong: [&[&str]; 7] = [
        &["SET", &long, "v"],
        &["GET", &long],
        &["HSET", "h", &long, "v"],
        &["HGET", &long, "f"],
        &["MSET", "fine", "v", &long, "v"],
        &["DEL", &long],
        &["INCR", &long],
    ];
    for words in wrong {
        let answer = c.call(words);
        let text = answer.error();
        assert!(text.starts_with("ERR") && text.contains("8192"), "{}: {text}", words[0]);
    }
    assert_eq!(c.call(&["EXISTS", "fine"]), 0, "a refused MSET stores nothing");

    let largest = vec![b'v'; 16 << 20];
    let larger = vec![b'v'; (16 << 20) + 1];
    assert_eq!(c.call(&[b"SET", &b"value"[..], &largest]), "OK");
    for words in [[b"SET", &b"value"[..], &larger].as_slice(), &[b"HSET", b"h", b"f", &larger]] {
        let answer = c.call(words);
        let text = answer.error();
        assert!(text.starts_with("ERR") && text.contains("16777216"), "{text}");
    }
    let answer = c.call(&["APPEND", "value", "one more"]);
    assert!(answer.error().contains("16777216"), "{answer:?}");
    assert_eq!(c.call(&["STRLEN", "value"]), 16 << 20);
    assert_eq!(c.call(&["DEL", "value"]), 1);

    let mut fastdht = cluster.fastdht();
    for (namespace, object, name) in
        [("n".repeat(65), 1, 1), ("n".into(), 129, 1), ("n".into(), 1, 129)]
    {
        let status = fastdht.set(&namespace, &"o".repeat(object), &"k".repeat(name), b"v");
        assert_eq!(status, 22);
    }
    assert_eq!(fastdht.set("n", "o", "k", b"v"), 0);
}

/// A cluster whose proxy may hold this much for its clients, with eight values of 1 MiB.
fn with_buffers(mebibytes: u32) -> (TestCluster, Resp) {
    let limit = format!("{mebibytes}MiB");
    let cluster = Options::shape(1, 1, 5).env("FDHT_BUFFERS_MAX", &limit).start();
    let mut c = cluster.resp();
    let megabyte = vec![b'x'; 1 << 20];
    for n in 0..8 {
        assert_eq!(c.call(&[b"SET", format!("big:{n}").as_bytes(), &megabyte]), "OK");
        assert!(matches!(c.call(&["GET", &format!("big:{n}")]), Value::Bulk(_)));
    }
    (cluster, c)
}

fn ask_much(c: &mut Resp) {
    (0..300).for_each(|n| c.send(&["GET", &format!("big:{}", n % 8)]));
}

fn read_much(c: &mut Resp) {
    for n in 0..300 {
        assert!(matches!(c.read(), Value::Bulk(value) if value.len() == 1 << 20), "{n}");
    }
}

#[test]
fn readers_that_do_not_read_neither_grow_the_proxy_nor_stall_others() {
    let (cluster, mut c) = with_buffers(256);
    let before = memory(&cluster);
    // Six clients ask for 300 MiB each and read nothing.
    let mut stuck: Vec<Resp> = (0..6).map(|_| cluster.resp()).collect();
    stuck.iter_mut().for_each(ask_much);
    // And one sends requests for ever, whether they are answered or not.
    let mut flood = cluster.resp();
    flood.socket().set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let request = encode(&["GET", "big:0"]).repeat(1_000);
    let full = (0..5_000).any(|_| flood.try_send_raw(&request).is_err());
    assert!(full, "the proxy stops reading from whoever does not read");
    for n in 0..300 {
        let key = format!("small:{n}");
        assert_eq!(c.call(&["SET", &key, "v"]), "OK");
        assert_eq!(c.call(&["GET", &key]), "v");
    }
    assert!(matches!(c.call(&["GET", "big:3"]), Value::Bulk(_)));
    assert_bounded(&cluster, &before, 384 << 10);
    drop((stuck, flood));
    cluster.assert_serves();
}

#[test]
fn a_reader_that_begins_late_gets_everything_in_order() {
    let (cluster, mut c) = with_buffers(256);
    let before = memory(&cluster);
    let mut late = cluster.resp();
    ask_much(&mut late);
    for n in 0..300 {
        assert_eq!(c.call(&["SET", &format!("small:{n}"), "v"]), "OK");
    }
    assert_bounded(&cluster, &before, 256 << 10);
    read_much(&mut late);
}

#[test]
fn a_pipeline_of_answers_beyond_all_buffers_is_delivered_to_whoever_reads() {
    let (cluster, _) = with_buffers(64);
    let mut c = cluster.resp();
    ask_much(&mut c);
    read_much(&mut c);
    cluster.assert_serves();
}

#[test]
fn a_client_that_has_nothing_more_to_say_still_gets_its_answers() {
    let cluster = cluster();
    let mut bytes = encode(&["SET", "half-closed", "v"]);
    (0..50).for_each(|_| bytes.extend(encode(&["GET", "half-closed"])));
    let answers = throw_at(&cluster.address(), &bytes);
    let expected = format!("+OK\r\n{}", "$1\r\nv\r\n".repeat(50));
    assert_eq!(String::from_utf8_lossy(&answers), expected);
    let request = Package::request(cmd::GET, key("", "", "half-closed")).expires(-1);
    let answer = throw_at(&cluster.address(), &request.bytes());
    assert_eq!(Package::parse(&answer).map(|(package, _)| package.body), Some(string("v")));
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let cluster = cluster();
    let proxy = cluster.pid("proxy").unwrap();
    let files = || std::fs::read_dir(format!("/proc/{proxy}/fd")).unwrap().count();
    let before = files();
    for n in 0..400 {
        let mut c = cluster.resp();
        if n % 2 == 0 {
            c.send(&["SET", "come-and-go", "v"]);
        }
    }
    wait_until("all are closed", SOON, || files() <= before + 2);
    let mut idle: Vec<Resp> = (0..300).map(|_| cluster.resp()).collect();
    assert!(idle.iter_mut().all(|c| c.call(&["PING"]) == "PONG"));
    let connected = cluster.resp().call(&["INFO", "clients"]).text();
    let connected = connected.lines().find_map(|line| line.strip_prefix("connected_clients:"));
    assert!(connected.unwrap().parse::<usize>().unwrap() >= 300);
    drop(idle);
    wait_until("all are closed", SOON, || files() <= before + 2);
}

#[test]
fn a_large_request_in_small_pieces_does_not_stall_others() {
    let cluster = cluster();
    let value = vec![b'p'; 8 << 20];
    let bytes = encode(&[b"SET", &b"pieces"[..], &value]);
    let (mut slow, mut other) = (cluster.resp(), cluster.resp());
    for piece in bytes.chunks(64 << 10) {
        slow.send_raw(piece);
        assert_eq!(other.call(&["PING"]), "PONG");
    }
    assert_eq!(slow.read(), "OK");
    assert!(slow.call(&["GET", "pieces"]) == Value::Bulk(value));
    assert_eq!(other.call(&["DEL", "pieces"]), 1);
}

#[test]
fn the_admin_ports_take_no_large_requests() {
    let cluster = cluster();
    let [_, admin, _, node_admin] = all_ports(cluster);
    let before = memory(cluster);
    for address in [admin, node_admin] {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let head = format!("GET /readyz HTTP/1.1\r\nHost: x\r\nX: {}\r\n", "h".repeat(8 << 20));
        drop(stream.write_all(head.as_bytes()));
        drop(stream.shutdown(Shutdown::Write));
        let mut answer = Vec::new();
        if stream.read_to_end(&mut answer).is_ok() {
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        }
    }
    assert_bounded(cluster, &before, GROWTH_KIB_MAX);
    cluster.assert_serves();
}
