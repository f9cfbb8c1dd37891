//! `kill -9` at any moment: what was acknowledged is there afterwards, again and again, while files are
//! being flushed too.

use std::thread;
use std::time::Duration;

use harness::lone::{self, LoneProxy, LoneSite, NodeArgs};
use harness::{Http, Options, Oracle, Resp, Running, fdht, wait_until};

const LONG: Duration = Duration::from_secs(120);

/// Lets all writers run until `kill` is called after `writes` more acknowledgements.
fn write_and_kill(oracle: &Oracle, address: &str, writes: u64, kill: impl FnOnce()) {
    let before = oracle.acknowledged();
    oracle.set_stopped(false);
    thread::scope(|scope| {
        for writer in 0..oracle.writers() {
            scope.spawn(move || oracle.write(writer, address));
        }
        let enough = || oracle.acknowledged() >= before + writes;
        wait_until("a good number of writes is acknowledged", LONG, enough);
        kill();
        oracle.set_stopped(true);
    });
}

#[test]
fn every_acknowledged_write_survives_kill_9_of_everything_again_and_again() {
    let mut cluster = Options::shape(1, 2, 5).start();
    let oracle = Oracle::new(4, 100, 10);
    for _ in 0..3 {
        let address = cluster.address();
        write_and_kill(&oracle, &address, 1_500, || cluster.kill_everything());
        cluster.start_again();
        oracle.check(&mut cluster.resp());
    }
}

#[test]
fn every_acknowledged_write_survives_kill_9_of_the_proxy() {
    let cluster = Options::small().start();
    let oracle = Oracle::new(3, 50, 10);
    write_and_kill(&oracle, &cluster.address(), 500, || cluster.kill("proxy"));
    wait_until("dev knows", LONG, || cluster.output().contains("proxy ended by itself"));
    cluster.ask_dev("start", "proxy").ok();
    oracle.check(&mut cluster.resp());
}

#[test]
fn every_acknowledged_write_survives_kill_9_while_files_are_flushed() {
    let mut site = LoneSite::start("32MiB");
    let admin = Http::new(&site.node.admin);
    let file_bytes = || -> u64 {
        let groups = admin.get("/v1/groups").expect(200).json();
        groups.as_array().unwrap().iter().map(|g| g["file_bytes"].as_u64().unwrap()).sum()
    };
    let empty = file_bytes();
    let oracle = Oracle::new(4, 4_000, 4_096);
    for _ in 0..3 {
        write_and_kill(&oracle, &site.proxy.address, 8_000, || site.running.kill());
        site.start_again();
        oracle.check(&mut site.resp());
    }
    assert!(file_bytes() > empty + (8 << 20), "nothing was flushed: {} bytes", file_bytes());
    let lines = fdht(["export", "--proxy", &site.proxy.address]).ok().lines().count();
    assert!(lines > 10_000, "{lines} records");
    assert!(site.running.try_end().is_none());
}

#[test]
fn every_acknowledged_write_survives_twenty_kills_of_a_node_in_a_row() {
    // Little memory, so that kills meet flushes.
    let mut site = LoneSite::start("32MiB");
    let oracle = Oracle::new(4, 100, 2_048);
    for round in 0..20 {
        // Another moment each time.
        let writes = 150 + 61 * (round % 7);
        write_and_kill(&oracle, &site.proxy.address, writes, || site.running.kill());
        site.start_again();
        oracle.check(&mut site.resp());
    }
    assert!(site.running.try_end().is_none());
}

#[test]
fn a_node_that_is_killed_while_it_starts_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = NodeArgs::new(&folder.path().join("node"));
    node.start().kill();
    node.create = false;
    let file = folder.path().join("topology.yaml");
    lone::topology(&file, &node.listen, &node.admin);
    // What is killed below takes part in a cluster: each start is a new life that is kept.
    let mut running = node.start();
    lone::create_groups(&file);
    running.kill();
    let proxy = LoneProxy::start(&file, &[]);
    let ready = Http::new(&proxy.admin);
    for _ in 0..10 {
        // Killed before it is ready, at another moment each time.
        let mut starting = Running::fdht(node.words());
        starting.kill();
    }
    let _running = node.start();
    wait_until("the proxy is ready", LONG, || ready.get("/readyz").status == 200);
    let mut resp = Resp::connect(&proxy.address);
    assert_eq!(resp.call(&["SET", "k", "v"]), "OK");
    assert_eq!(resp.call(&["GET", "k"]), "v");
}
