//! Servers of one group that do not hear each other, and one that cannot keep what it is told.

use std::time::Duration;

use harness::chaos::alone;
use harness::chaos_relay::Fault;
use harness::load::keys;
use harness::wait::now;
use harness::{HandCluster, Load, wait_until};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

const SOON: Duration = Duration::from_secs(30);
const WORKERS: usize = 4;
const KEYS: usize = 40;
const SOME: u64 = 200;
/// Within this all lanes are served again when servers lost each other.
const PAUSE_MAX: Duration = Duration::from_secs(5);

fn load(cluster: &HandCluster) -> Load {
    let load = Load::start(&cluster.proxy().address, WORKERS, &keys("load", KEYS));
    load.wait_answered(SOME);
    load.take_longest();
    load
}

/// Whether exactly so many servers are in step in every group.
fn in_step(cluster: &HandCluster, by: &str, count: usize) -> bool {
    cluster.in_step(by).iter().all(|servers| servers.len() == count)
}

/// Lets time pass in which others have to do something that does not show.
fn pause(time: Duration) {
    let end = now() + time;
    wait_until("time passes", SOON, || now() >= end);
}

#[test]
fn two_servers_that_lost_each_other_serve_again_within_five_seconds() {
    let _alone = alone();
    let cluster = HandCluster::start("15s");
    let load = load(&cluster);
    // Closed connections, then connections on which nothing moves.
    for fault in [Fault::Cut, Fault::Hold] {
        cluster.link("a1", "a2", Some(fault));
        load.run_for(PAUSE_MAX + Duration::from_secs(1));
        let longest = load.take_longest();
        eprintln!("longest with {fault:?}: {longest:?}");
        assert!(longest <= PAUSE_MAX, "{fault:?}: {longest:?}");
        // Both reach the voters, so one of them goes on, in each group.
        let one = ["a1", "a2"].iter().any(|id| in_step(&cluster, id, 1));
        let groups = || ["a1", "a2"].map(|id| cluster.in_step(id));
        assert!(one || groups()[0] != groups()[1], "{:?}", groups());
        load.wait_answered(SOME);
        cluster.link("a1", "a2", None);
        cluster.wait_whole();
        load.wait_answered(SOME);
        eprintln!("longest until both are back: {:?}", load.take_longest());
    }
    load.stop().without_errors().check(&mut cluster.resp());
    cluster.operator(&["verify"]).ok();
}

#[test]
fn a_server_whose_log_fails_leaves_and_the_other_goes_on() {
    let _alone = alone();
    let mut cluster = HandCluster::start("15s");
    let load = load(&cluster);
    // Nothing can be written any more. Its process lives, and so do its connections.
    let pid = Pid::from_raw(cluster.pid("a2")).unwrap();
    let limit = Rlimit { current: Some(1), maximum: Some(1) };
    prlimit(Some(pid), Resource::Fsize, limit).unwrap();
    wait_until("a2 is taken out", SOON, || in_step(&cluster, "a1", 1));
    load.run_for(Duration::from_secs(1));
    let failed = load.failed();
    eprintln!("longest: {:?}, {failed} errors", load.take_longest());
    load.wait_answered(SOME);
    load.run_for(Duration::from_secs(2));
    assert_eq!(load.failed(), failed, "a1 serves everything");
    assert!(load.take_longest() < Duration::from_secs(1));
    let ready = cluster.admin("a2").get("/readyz").expect(503).text();
    assert!(ready.contains("failed"), "{ready}");
    cluster.kill("a2");
    cluster.start_node("a2", &[]);
    cluster.wait_whole();
    let report = load.stop();
    // What a2 was asked when its log failed, nobody knows; that is told, and true.
    let told = |text: &String| text.contains("UNKNOWN ") || text.contains("group ");
    assert!(report.errors.iter().all(told), "{:#?}", report.errors);
    report.check(&mut cluster.resp());
    cluster.operator(&["verify"]).ok();
}

#[test]
fn a_server_with_a_full_disk_pulls_and_never_holds_up_the_other() {
    let _alone = alone();
    let mut cluster = HandCluster::start("15s");
    let mut resp = cluster.resp();
    cluster.kill("a2");
    wait_until("a2 is taken out", SOON, || in_step(&cluster, "a1", 1));
    for key in keys("missed", 5) {
        assert_eq!(resp.call(&["SET", &key, "v"]), "OK");
    }
    // More than any disk has.
    cluster.start_node("a2", &["--disk-reserve", "1000000GiB"]);
    wait_until("a2 says it", SOON, || {
        cluster.admin("a2").get("/readyz").text().contains("disk is nearly full")
    });
    // It pulls, and is only some records behind. It may be tried once whether it keeps them.
    let mut slow = Vec::new();
    for n in 0..12 {
        // Time for several pulls.
        pause(Duration::from_millis(400));
        let began = now();
        assert_eq!(resp.call(&["SET", "rare", &n.to_string()]), "OK");
        let took = now().duration_since(began);
        slow.extend((took > Duration::from_millis(600)).then_some(took));
    }
    assert!(slow.len() <= 3, "writes wait for it again and again: {slow:?}");
    let load = Load::start(&cluster.proxy().address, 1, &keys("load", 10));
    load.run_for(Duration::from_secs(3));
    assert!(in_step(&cluster, "a1", 1));
    // Space again.
    cluster.kill("a2");
    cluster.start_node("a2", &[]);
    cluster.wait_whole();
    load.stop().without_errors().check(&mut cluster.resp());
    cluster.operator(&["verify"]).ok();
}
