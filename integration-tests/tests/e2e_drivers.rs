//! What moves the bytes of clients: order and idleness, the drain of a stop, connections and memory that
//! are given back, limits that hold while everybody comes at once.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use harness::process::{hold, is_alive, send};
use harness::resp::encode;
use harness::wait::now;
use harness::{Options, Resp, TestCluster, Value, wait_until};
use rustix::process::{Resource, Signal, getrlimit, setrlimit};

const SOON: Duration = Duration::from_secs(30);
/// Longer than anything in a test, for what must not end by its deadline.
const NEVER: &str = "120s";
/// Processor time of a process that has nothing to do, of a moment, both in hundredths of a second.
const IDLE_TICKS_MAX: u64 = 5;
const MOMENT: Duration = Duration::from_millis(500);
const MIB: u64 = 1 << 20;

/// The end of a test for its threads, also when it fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Processor time a process has used, in hundredths of a second.
fn cpu_ticks(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name, in parentheses, may hold anything; behind it utime and stime are fields 12 and 13.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    [11, 12].iter().map(|at| fields[*at].parse::<u64>().unwrap()).sum()
}

/// Waits until a process did next to nothing for a moment.
#[track_caller]
fn wait_idle(pid: i32) {
    wait_until("the process has nothing to do", SOON, || {
        let (began, before) = (now(), cpu_ticks(pid));
        wait_until("a moment", SOON, || now().duration_since(began) >= MOMENT);
        cpu_ticks(pid) - before <= IDLE_TICKS_MAX
    });
}

/// A number of `/proc/PID/status` that is given in KiB, in bytes: `VmRSS`, or `VmHWM` for its peak.
fn memory(pid: i32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let kib = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() << 10
}

fn open_files(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// A gauge or counter of the proxy.
fn metric(cluster: &TestCluster, name: &str) -> u64 {
    let text = cluster.admin().get("/metrics").expect(200).text();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{name} is not in {text}")).parse::<f64>().unwrap() as u64
}

/// Requests that the proxy has sent to nodes, or holds for them.
fn in_flight(cluster: &TestCluster) -> u64 {
    let nodes = cluster.admin().get("/v1/nodes").expect(200).json();
    nodes.as_array().unwrap().iter().map(|node| node["in_flight"].as_u64().unwrap()).sum()
}

#[track_caller]
fn wait_in_flight(cluster: &TestCluster, count: u64) {
    wait_until(&format!("{count} in flight"), SOON, || {
        let present = in_flight(cluster);
        assert!(present <= count, "{present} in flight");
        present == count
    });
}

#[test]
fn a_large_request_among_small_ones_keeps_its_place_and_waits_without_work() {
    let cluster = Options::small().env("FDHT_DEADLINE", NEVER).start();
    let (node, proxy) = (cluster.pid("a1").unwrap(), cluster.pid("proxy").unwrap());
    let mut c = cluster.resp();
    assert_eq!(c.call(&["SET", "a", "1"]), "OK");
    let value = vec![b'x'; 300_000];
    let set = encode(&[b"SET", &b"b"[..], &value]);
    let mixed = [encode(&["GET", "a"]), set, encode(&["PING"]), encode(&["STRLEN", "b"])].concat();
    let read_all = |c: &mut Resp| {
        let answers: Vec<Value> = (0..4).map(|_| c.read()).collect();
        assert_eq!(answers[0], "1");
        assert_eq!(answers[1], "OK");
        assert_eq!(answers[2], "PONG");
        assert_eq!(answers[3], 300_000);
    };
    let done = AtomicBool::new(false);
    let served = thread::scope(|scope| {
        let end = End(&done);
        let others = scope.spawn(|| {
            let mut other = cluster.resp();
            let mut served = 0;
            while !done.load(Ordering::SeqCst) {
                let value = served.to_string();
                assert_eq!(other.call(&["SET", "other", &value]), "OK");
                assert_eq!(other.call(&["GET", "other"]), value.as_str());
                served += 1;
            }
            served
        });
        for _ in 0..20 {
            c.send_raw(&mixed);
            read_all(&mut c);
        }
        drop(end);
        others.join().unwrap()
    });
    assert!(served > 0);
    wait_idle(proxy);

    // The large one waits behind a small one for as long as the node says nothing.
    hold(node);
    c.send_raw(&mixed);
    wait_in_flight(&cluster, 1);
    wait_idle(proxy);
    let mut other = cluster.resp();
    assert_eq!(other.call(&["PING"]), "PONG");
    send(node, Signal::CONT);
    read_all(&mut c);
    assert_eq!(other.call(&["GET", "a"]), "1");
    wait_idle(proxy);
}

/// Asserts that a connection ends without another word.
#[track_caller]
fn assert_ended(mut c: Resp) {
    let rest = c.read_to_close().expect("it is closed");
    assert!(rest.is_empty(), "behind the answers: {:?}", rest.escape_ascii().to_string());
}

/// Asserts that of the keys `name:0`, `name:1`, .. exactly the first `count` are there.
#[track_caller]
fn assert_written(c: &mut Resp, name: &str, count: usize) {
    let exists = |c: &mut Resp, n: usize| c.call(&["EXISTS", &format!("{name}:{n}")]) == 1;
    for n in 0..count {
        assert!(exists(c, n), "{name}:{n} was acknowledged and is not there");
    }
    for n in count..count + 200 {
        assert!(!exists(c, n), "{name}:{n} was written without an answer");
    }
}

fn sets(name: &str, numbers: std::ops::Range<usize>) -> Vec<u8> {
    numbers.flat_map(|n| encode(&["SET", &format!("{name}:{n}"), "v"])).collect()
}

#[test]
fn a_stop_answers_what_was_started_and_starts_nothing_more() {
    let cluster = Options::small().env("FDHT_DEADLINE", NEVER).start();
    let (node, proxy) = (cluster.pid("a1").unwrap(), cluster.pid("proxy").unwrap());
    hold(node);
    let mut clients: Vec<Resp> = (0..6).map(|_| cluster.resp()).collect();
    for (n, c) in clients.iter_mut().enumerate() {
        c.send_raw(&sets(&format!("stop:{n}"), 0..100));
    }
    wait_in_flight(&cluster, 600);
    send(proxy, Signal::TERM);
    let began = now();
    let refuses = || TcpStream::connect(cluster.address()).is_err();
    wait_until("nobody is let in any more", SOON, refuses);
    for (n, c) in clients.iter_mut().enumerate() {
        c.send_raw(&sets(&format!("stop:{n}"), 100..150));
    }
    send(node, Signal::CONT);
    for mut c in clients {
        for n in 0..100 {
            assert_eq!(c.read(), "OK", "{n}");
        }
        assert_ended(c);
    }
    wait_until("the end of the proxy", SOON, || !is_alive(proxy));
    assert!(now().duration_since(began) < Duration::from_secs(15));
    wait_until("dev knows", SOON, || cluster.output().contains("proxy ended by itself"));
    cluster.ask_dev("start", "proxy").ok();
    let mut c = cluster.resp();
    (0..6).for_each(|n| assert_written(&mut c, &format!("stop:{n}"), 100));
}

/// Writes in batches of 50 until the server ends; gives the number of answers.
fn write_until_closed(address: &str, client: usize, done: &AtomicBool) -> usize {
    let mut c = Resp::connect(address);
    let mut answered = 0;
    while !done.load(Ordering::SeqCst) {
        let batch = sets(&format!("load:{client}"), answered..answered + 50);
        // The server may be gone; what it answered before is still there to read.
        let sent = c.try_send_raw(&batch).is_ok();
        for _ in 0..50 {
            match c.try_read() {
                Ok(answer) => assert_eq!(answer, "OK"),
                Err(_) => return answered,
            }
            answered += 1;
        }
        assert!(sent, "answered and not sent");
    }
    answered
}

#[test]
fn a_stop_under_load_answers_exactly_what_was_applied() {
    let cluster = Options::small().start();
    let proxy = cluster.pid("proxy").unwrap();
    let address = cluster.address();
    let before = metric(&cluster, "fdht_proxy_requests_total");
    let done = AtomicBool::new(false);
    let acknowledged: Vec<usize> = thread::scope(|scope| {
        let _end = End(&done);
        let (address, done) = (&address, &done);
        let write = |client| scope.spawn(move || write_until_closed(address, client, done));
        let writers: Vec<_> = (0..8).map(write).collect();
        let busy = || metric(&cluster, "fdht_proxy_requests_total") > before + 3_000;
        wait_until("all are at work", SOON, busy);
        send(proxy, Signal::TERM);
        let began = now();
        wait_until("the end of the proxy", SOON, || !is_alive(proxy));
        assert!(now().duration_since(began) < Duration::from_secs(15));
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    wait_until("dev knows", SOON, || cluster.output().contains("proxy ended by itself"));
    cluster.ask_dev("start", "proxy").ok();
    let mut c = cluster.resp();
    for (client, count) in acknowledged.into_iter().enumerate() {
        assert!(count > 0, "client {client} did nothing");
        assert_written(&mut c, &format!("load:{client}"), count);
    }
}

#[test]
fn a_stop_does_not_wait_for_a_silent_node_for_ever() {
    let cluster = Options::small().env("FDHT_DEADLINE", NEVER).start();
    let (node, proxy) = (cluster.pid("a1").unwrap(), cluster.pid("proxy").unwrap());
    hold(node);
    let mut c = cluster.resp();
    c.send_raw(&sets("silent", 0..100));
    wait_in_flight(&cluster, 100);
    send(proxy, Signal::TERM);
    let began = now();
    wait_until("the end of the proxy", SOON, || !is_alive(proxy));
    // Its drain takes 5 s.
    assert!(now().duration_since(began) < Duration::from_secs(15));
    assert_ended(c);
}

#[test]
fn clients_that_leave_without_reading_leave_no_sockets_and_no_memory() {
    let cluster = Options::small().start();
    let proxy = cluster.pid("proxy").unwrap();
    let value = vec![b'x'; 250_000];
    let mut c = cluster.resp();
    assert_eq!(c.call(&[b"SET", &b"big"[..], &value]), "OK");
    assert!(c.call(&["GET", "big"]) == Value::Bulk(value.clone()));
    drop(c);
    let buffers = || metric(&cluster, "fdht_proxy_buffer_bytes");
    let connections = || metric(&cluster, "fdht_proxy_connections");
    wait_until("nobody is connected", SOON, || connections() == 0);
    let (files, resident) = (open_files(proxy), memory(proxy, "VmRSS"));
    assert_eq!(buffers(), 0);

    let mut clients: Vec<Resp> = (0..40).map(|_| cluster.resp()).collect();
    let ask = encode(&["GET", "big"]).repeat(100);
    clients.iter_mut().for_each(|c| c.send_raw(&ask));
    // 10 GB are asked for, and each client is given what a connection may hold.
    wait_until("answers are held for all", SOON, || buffers() > 30 * MIB);
    let peak = memory(proxy, "VmHWM");
    assert!(peak < resident + 400 * MIB, "{} MiB", peak / MIB);
    // A half says that it has no more to ask. A quarter reads on, all others just leave.
    clients.iter().take(20).for_each(Resp::finish_sending);
    clients.drain(10..);
    thread::scope(|scope| {
        for c in &mut clients {
            scope.spawn(|| {
                for _ in 0..100 {
                    assert!(c.read() == Value::Bulk(value.clone()));
                }
                assert_eq!(c.read_to_close(), Some(Vec::new()));
            });
        }
    });
    wait_until("all connections end", SOON, || connections() == 0);
    wait_until("all buffers are given back", SOON, || buffers() == 0);
    // Admin connections come and go.
    wait_until("all sockets are closed", SOON, || open_files(proxy) <= files + 2);
    // The allocator returns pages while there is work.
    let mut c = cluster.resp();
    wait_until("memory is given back", SOON, || {
        assert_eq!(c.call(&["GET", "missing"]), Value::Nil);
        memory(proxy, "VmRSS") < resident + 96 * MIB
    });
}

#[test]
fn a_thousand_connections_at_once_are_served_and_one_more_is_told() {
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: files.maximum, ..files })
        .unwrap();
    let cluster = Options::small().env("FDHT_CONNECTIONS_MAX", "1000").start();
    assert_eq!(metric(&cluster, "fdht_proxy_connections"), 0);
    let (address, start) = (cluster.address(), Barrier::new(4));
    let mut clients: Vec<Resp> = thread::scope(|scope| {
        let connect = || {
            start.wait();
            (0..250).map(|_| Resp::connect(&address)).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(connect)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    for (n, c) in clients.iter_mut().enumerate() {
        let (key, value) = (format!("many:{n}"), n.to_string());
        c.send(&["SET", &key, &value]);
        c.send(&["GET", &key]);
    }
    for (n, c) in clients.iter_mut().enumerate() {
        assert_eq!(c.read(), "OK", "{n}");
        assert_eq!(c.read(), n.to_string().as_str());
    }
    for _ in 0..3 {
        let mut refused = cluster.resp();
        assert_eq!(refused.read(), Value::Error("ERR max number of clients reached".to_owned()));
        assert_ended(refused);
    }
    assert_eq!(metric(&cluster, "fdht_proxy_connections_rejected_total"), 3);
    assert!(clients.iter_mut().all(|c| c.call(&["PING"]) == "PONG"));
    clients.truncate(999);
    wait_until("a place is free", SOON, || {
        let answer = Resp::connect(&address).try_call(&["PING"]);
        matches!(answer, Ok(answer) if answer == "PONG")
    });
}

/// The head of an upload.
fn put(key: &str, length: usize, more: &str) -> Vec<u8> {
    format!("PUT /v1/kv/-/{key} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{more}\r\n")
        .into()
}

fn connect(cluster: &TestCluster) -> TcpStream {
    let stream = TcpStream::connect(cluster.address()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    stream
}

/// The status of the answer that comes, the first line being all of it that counts.
#[track_caller]
fn status(stream: &mut TcpStream) -> u16 {
    let mut head = [0; 12];
    stream.read_exact(&mut head).expect("an answer");
    let text = String::from_utf8_lossy(&head).into_owned();
    let code = text.strip_prefix("HTTP/1.1 ").unwrap_or_else(|| panic!("{text:?}"));
    code.parse().unwrap()
}

#[test]
fn an_upload_counts_as_long_as_it_is_there_and_one_over_the_limit_is_refused_at_its_head() {
    let cluster = Options::small().start();
    let buffers = || metric(&cluster, "fdht_proxy_buffer_bytes");
    let before = buffers();
    let mut stalled = connect(&cluster);
    stalled.write_all(&put("stalled", 8_000_000, "")).unwrap();
    stalled.write_all(&vec![b'x'; 4_000_000]).unwrap();
    wait_until("what came of it counts", SOON, || buffers() >= before + 4_000_000);
    cluster.http().put("/v1/kv/-/other", "v").expect(204);
    assert_eq!(cluster.http().get("/v1/kv/-/other").expect(200).text(), "v");
    drop(stalled);
    wait_until("it counts no more", SOON, || buffers() <= before);
    cluster.http().get("/v1/kv/-/stalled").expect(404);

    for more in ["", "Expect: 100-continue\r\n"] {
        let began = now();
        let mut long = connect(&cluster);
        long.write_all(&put("long", (16 << 20) + 1, more)).unwrap();
        // Not a byte of the body is sent; the proxy would wait for it for a minute.
        assert_eq!(status(&mut long), 413);
        assert!(now().duration_since(began) < Duration::from_secs(10));
    }
    wait_until("nothing is held", SOON, || buffers() <= before);
    cluster.assert_serves();
}

#[test]
fn uploads_beyond_the_buffers_are_stored_or_refused_and_nothing_between() {
    const UPLOADS: usize = 30;
    let cluster = Options::small().env("FDHT_BUFFERS_MAX", "64MiB").start();
    let proxy = cluster.pid("proxy").unwrap();
    let resident = memory(proxy, "VmRSS");
    let body = vec![b'u'; 15 << 20];
    let start = Barrier::new(UPLOADS);
    let upload = |n: usize| {
        let mut stream = connect(&cluster);
        stream.write_all(&put(&format!("upload:{n}"), body.len(), "")).unwrap();
        start.wait();
        // One that is refused is refused in the middle.
        drop(stream.write_all(&body));
        status(&mut stream)
    };
    let statuses: Vec<u16> = thread::scope(|scope| {
        let upload = &upload;
        let threads: Vec<_> = (0..UPLOADS).map(|n| scope.spawn(move || upload(n))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let peak = memory(proxy, "VmHWM");
    assert!(peak < resident + 384 * MIB, "{} MiB", peak / MIB);
    let mut c = cluster.resp();
    for (n, status) in statuses.iter().enumerate() {
        let length = c.call(&["STRLEN", &format!("upload:{n}")]).int();
        match status {
            204 => assert_eq!(length, 15 << 20, "upload {n}"),
            503 => assert_eq!(length, 0, "upload {n} was refused"),
            other => panic!("upload {n} was answered {other}: {statuses:?}"),
        }
    }
    wait_until("nothing is held", SOON, || metric(&cluster, "fdht_proxy_buffer_bytes") < MIB);
    cluster.http().put("/v1/kv/-/alone", &body).expect(204);
    cluster.assert_serves();
}
