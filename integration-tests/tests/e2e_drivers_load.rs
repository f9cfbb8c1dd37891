//! Load on nodes that are slow, stand still or die: writes that wait for a disk, deadlines, and who is
//! touched by whose failure.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use harness::process::{hold, send};
use harness::resp::encode;
use harness::wait::now;
use harness::{Options, Resp, TestCluster, Value, wait_until};
use rustix::process::Signal;

const SOON: Duration = Duration::from_secs(30);
const MIB: u64 = 1 << 20;
/// A request whose deadline is a second is answered within this, on a busy machine too.
const DEADLINE_SEEN_MAX: Duration = Duration::from_secs(6);

/// The end of a test for its threads, also when it fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn count(counter: &AtomicUsize) -> usize {
    counter.load(Ordering::SeqCst)
}

fn add(counter: &AtomicUsize, more: usize) {
    counter.fetch_add(more, Ordering::SeqCst);
}

/// A number of `/proc/PID/status` that is given in KiB, in bytes: `VmRSS`, or `VmHWM` for its peak.
fn memory(pid: i32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let kib = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() << 10
}

/// Adds a namespace whose writes wait for the disk: database 5.
fn with_safe_namespace() -> TestCluster {
    let cluster = Options::small().start();
    let safe = "namespaces: { safe: { database: 5, write: { sync: always } } }";
    let epoch = cluster.edit_topology(|text| text.replace("namespaces: {}", safe));
    let arrived = || cluster.admin().get("/v1/topology").json()["epoch"] == epoch;
    wait_until("the namespace is known", SOON, arrived);
    let known = cluster.admin().get("/v1/topology").json()["namespaces"].clone();
    assert_eq!(known["safe"]["write"]["sync"], "always", "{known}");
    cluster
}

fn safe(cluster: &TestCluster) -> Resp {
    let mut c = cluster.resp();
    assert_eq!(c.call(&["SELECT", "5"]), "OK");
    c
}

#[test]
fn commands_behind_writes_that_wait_for_the_disk_see_them() {
    let cluster = with_safe_namespace();
    let mut c = safe(&cluster);
    let ok = || Value::Simple("OK".to_owned());
    let text = |text: &str| Value::Bulk(text.into());
    let script: [(&[&str], Value); 14] = [
        (&["SET", "k", "1"], ok()),
        (&["SET", "k", "2", "NX"], Value::Nil),
        (&["GET", "k"], text("1")),
        (&["SET", "k", "2"], ok()),
        (&["INCR", "k"], Value::Int(3)),
        (&["APPEND", "k", "4"], Value::Int(2)),
        (&["MGET", "k", "missing"], Value::Array(vec![text("34"), Value::Nil])),
        (&["DEL", "k"], Value::Int(1)),
        (&["DEL", "k"], Value::Int(0)),
        (&["EXISTS", "k"], Value::Int(0)),
        (&["HSET", "k", "f", "v"], Value::Int(1)),
        (&["HSET", "k", "f", "w"], Value::Int(0)),
        (&["HGET", "k", "f"], text("w")),
        (&["DEL", "k"], Value::Int(1)),
    ];
    let bytes: Vec<u8> = script.iter().flat_map(|(words, _)| encode(words)).collect();
    for round in 0..30 {
        c.send_raw(&bytes);
        for (words, expected) in &script {
            assert_eq!(c.read(), *expected, "{words:?} in round {round}");
        }
    }
    assert_eq!(c.call(&["DBSIZE"]), 0);
}

#[test]
fn a_hot_key_whose_writes_wait_for_the_disk_stays_readable() {
    const WRITERS: usize = 12;
    let cluster = with_safe_namespace();
    let mut c = safe(&cluster);
    for n in 0..50 {
        assert_eq!(c.call(&["SET", &format!("cold:{n}"), "v"]), "OK");
    }
    let (done, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let (cluster, done, written, _end) = (&cluster, &done, &written, End(&done));
        for writer in 0..WRITERS {
            scope.spawn(move || {
                let mut c = safe(cluster);
                let five = encode(&["SET", "hot", &format!("of writer {writer}")]).repeat(5);
                // The next five are on their way before these are on the disk: something is always
                // pending.
                c.send_raw(&five);
                while !done.load(Ordering::SeqCst) {
                    c.send_raw(&five);
                    (0..5).for_each(|_| assert_eq!(c.read(), "OK"));
                    add(written, 5);
                }
            });
        }
        wait_until("the writers are at work", SOON, || count(written) > 200);
        let before = count(written);
        let mut ask = |words: &[&str]| {
            let began = now();
            let answer = c.call(words);
            let took = now().duration_since(began);
            assert!(took < Duration::from_secs(2), "{words:?} took {took:?}");
            answer
        };
        for _ in 0..40 {
            assert!(ask(&["GET", "hot"]).text().starts_with("of writer "));
            assert_eq!(ask(&["SET", "hot", "x", "NX"]), Value::Nil);
            assert_eq!(ask(&["GET", "cold:7"]), "v");
            assert_eq!(ask(&["DBSIZE"]), 51);
        }
        let (mut cursor, mut found) = ("0".to_owned(), 0);
        loop {
            let page = ask(&["SCAN", &cursor, "COUNT", "20"]);
            let [next, keys] = page.array() else { panic!("{page:?}") };
            (cursor, found) = (next.text(), found + keys.array().len());
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(found, 51);
        wait_until("the writers went on", SOON, || count(written) > before);
    });
    assert!(c.call(&["GET", "hot"]).text().starts_with("of writer "));
}

/// Asserts that an answer of a node that is away says so, naming group and server.
#[track_caller]
fn assert_away(answer: &Value, server: &str) {
    let text = answer.error();
    let kind = ["TRYAGAIN group ", "UNKNOWN request may have been applied: group "];
    assert!(kind.iter().any(|kind| text.starts_with(kind)), "{text}");
    assert!(text.contains(&format!("({server})")), "{text}");
}

#[test]
fn a_node_that_stands_still_under_load_costs_bounded_memory_and_true_answers() {
    let cluster = Options::small().env("FDHT_DEADLINE", "1s").start();
    let (node, proxy) = (cluster.pid("a1").unwrap(), cluster.pid("proxy").unwrap());
    let resident = memory(proxy, "VmRSS");
    let value = vec![b'w'; 20_000];
    let (done, failed) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let (cluster, value, done, failed, _end) = (&cluster, &value, &done, &failed, End(&done));
        hold(node);
        for client in 0..50 {
            scope.spawn(move || {
                let mut c = cluster.resp();
                let key = format!("standstill:{client}");
                let hundred = encode(&[b"SET", key.as_bytes(), value]).repeat(100);
                while !done.load(Ordering::SeqCst) {
                    let began = now();
                    // It is not read before all is sent: 2 MB fit into what a connection may hold.
                    c.send_raw(&hundred);
                    for _ in 0..100 {
                        assert_away(&c.read(), "a1");
                        add(failed, 1);
                    }
                    let took = now().duration_since(began);
                    assert!(took < 3 * DEADLINE_SEEN_MAX, "{took:?}");
                }
            });
        }
        // Values of 800 MB, were all of them kept.
        wait_until("all are told", SOON, || count(failed) >= 40_000);
    });
    let peak = memory(proxy, "VmHWM");
    assert!(peak < resident + 512 * MIB, "{} MiB", peak / MIB);
    send(node, Signal::CONT);
    cluster.wait_ready();
    let mut c = cluster.resp();
    // What it was given while it stood still comes first.
    wait_until("it writes again", SOON, || c.call(&["SET", "k", "v"]) == "OK");
    for client in 0..50 {
        let key = format!("standstill:{client}");
        assert_eq!(c.call(&[b"SET", key.as_bytes(), &value]), "OK");
        assert!(c.call(&["GET", &key]) == Value::Bulk(value.clone()));
    }
    cluster.assert_serves();
}

/// So many keys of one server.
fn keys_of(cluster: &TestCluster, server: &str, count: usize) -> Vec<String> {
    let admin = cluster.admin();
    let is_there = |key: &String| {
        admin.get(&format!("/v1/where?ns=&obj={key}")).expect(200).json()["server"] == server
    };
    (0..).map(|n| format!("{server}-{n}")).filter(is_there).take(count).collect()
}

/// What the clients of a node that dies and of one that lives have seen.
#[derive(Default)]
struct Seen {
    done: AtomicBool,
    served: AtomicUsize,
    written: AtomicUsize,
    refused: AtomicUsize,
    unknown: AtomicUsize,
}

/// Counts up in a key of the node that lives.
fn count_up(cluster: &TestCluster, key: &str, seen: &Seen) {
    let mut c = cluster.resp();
    for n in 0_usize.. {
        if seen.done.load(Ordering::SeqCst) {
            return;
        }
        let value = n.to_string();
        assert_eq!(c.call(&["SET", key, &value]), "OK");
        assert_eq!(c.call(&["GET", key]), value.as_str());
        add(&seen.served, 1);
    }
}

/// Counts up in a key of the node that dies, whatever the answers, and looks at the end what is there.
fn count_up_in_vain(cluster: &TestCluster, key: &str, seen: &Seen) {
    let mut c = cluster.resp();
    let mut acknowledged = 0;
    for n in 0_usize.. {
        if seen.done.load(Ordering::SeqCst) {
            let found: usize = c.call(&["GET", key]).text().parse().unwrap();
            assert!((acknowledged..n).contains(&found), "{found}, not {acknowledged}..{n}");
            return;
        }
        let began = now();
        let answer = c.call(&["SET", key, &n.to_string()]);
        let took = now().duration_since(began);
        assert!(took < DEADLINE_SEEN_MAX, "{took:?} for {answer:?}");
        if answer == "OK" {
            acknowledged = n;
            add(&seen.written, 1);
            continue;
        }
        assert_away(&answer, "a1");
        let unknown = answer.error().starts_with("UNKNOWN");
        add(if unknown { &seen.unknown } else { &seen.refused }, 1);
    }
}

#[test]
fn a_killed_node_is_missed_by_its_own_requests_alone_until_it_is_back() {
    const CLIENTS: usize = 3;
    let cluster = Options::shape(2, 1, 7).env("FDHT_DEADLINE", "1s").start();
    let proxy = cluster.pid("proxy").unwrap();
    let (dead, alive) = (keys_of(&cluster, "a1", CLIENTS), keys_of(&cluster, "b1", CLIENTS));
    let seen = Seen::default();
    thread::scope(|scope| {
        let (cluster, seen, _end) = (&cluster, &seen, End(&seen.done));
        for key in &alive {
            scope.spawn(move || count_up(cluster, key, seen));
        }
        for key in &dead {
            scope.spawn(move || count_up_in_vain(cluster, key, seen));
        }
        let all = || count(&seen.served) > 100 && count(&seen.written) > 100;
        wait_until("all are at work", SOON, all);
        cluster.kill("a1");
        let before = count(&seen.served);
        let told = || count(&seen.refused) >= 2 * CLIENTS;
        wait_until("its clients are told", SOON, told);
        assert!(count(&seen.served) > before, "the others go on");
        wait_until("dev knows", SOON, || cluster.output().contains("a1 ended by itself"));
        cluster.ask_dev("start", "a1").ok();
        let before = count(&seen.written);
        let again = || count(&seen.written) > before + 100;
        wait_until("it is written to again", SOON, again);
    });
    let unknown = count(&seen.unknown);
    assert!(unknown <= CLIENTS, "{unknown}: no more than was under way");
    assert_eq!(cluster.pid("proxy"), Some(proxy), "it was not restarted");
    let mut c = cluster.resp();
    for key in dead.iter().chain(&alive) {
        assert_eq!(c.call(&["SET", key, "at the end"]), "OK");
        assert_eq!(c.call(&["GET", key]), "at the end");
    }
}
