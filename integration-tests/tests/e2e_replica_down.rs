//! More than one process away: what is still there serves as long as it may, says why it does not,
//! and everything acknowledged is there afterwards.

use std::time::Duration;

use harness::chaos::alone;
use harness::load::keys;
use harness::lone::LoneProxy;
use harness::process::{hold, send};
use harness::{Load, Options, Resp, TestCluster, wait_for, wait_until};
use rustix::process::Signal;

const SOON: Duration = Duration::from_secs(60);
const WORKERS: usize = 3;
const SOME: u64 = 100;

/// So many keys of one physical group.
fn keys_of(cluster: &TestCluster, group: &str, count: usize) -> Vec<String> {
    keys_where(cluster, count, |place| place["physical_group"] == group)
}

/// So many keys in a place as `GET /v1/where` tells it. Whatever the
/// load makes of such a name is in the same place, because of the braces.
fn keys_where(
    cluster: &TestCluster,
    count: usize,
    wanted: impl Fn(&serde_json::Value) -> bool,
) -> Vec<String> {
    let admin = cluster.admin();
    let place = |n: &usize| admin.get(&format!("/v1/where?ns=&obj={n}")).expect(200).json();
    let found = (0..).filter(|n| wanted(&place(n))).take(count);
    found.map(|n| format!("{{{n}}}")).collect()
}

#[test]
fn a_group_that_is_down_says_so_while_the_other_serves_and_comes_back_whole() {
    let _alone = alone();
    let cluster = Options::shape(2, 2, 5).env("FDHT_DEADLINE", "2s").start();
    let (of_a, of_b) = (keys_of(&cluster, "a", 24), keys_of(&cluster, "b", 24));
    let (a, b) = (
        Load::start(&cluster.address(), WORKERS, &of_a),
        Load::start(&cluster.address(), WORKERS, &of_b),
    );
    a.wait_answered(SOME);
    b.wait_answered(SOME);
    for id in ["a1", "a2"] {
        send(cluster.pid(id).unwrap(), Signal::KILL);
    }
    // Whoever waits is told at the deadline, and the error names the group.
    let failed = a.failed();
    wait_until("clients of the group are told", SOON, || a.failed() > failed + 6);
    b.take_longest();
    b.wait_answered(SOME);
    let mut resp = cluster.resp();
    for command in [["SET", &of_a[0], "x"].as_slice(), &["GET", &of_a[0]]] {
        let answer = resp.call(command);
        let text = answer.error();
        assert!(text.starts_with("TRYAGAIN group "), "{text}");
        for word in ["(a1, a2)", "a1: ", "a2: "] {
            assert!(text.contains(word), "{word} in {text}");
        }
    }
    let ready = cluster.admin().get("/readyz").expect(503).text();
    assert!(ready.contains("group a: no leader"), "{ready}");
    for id in ["a1", "a2"] {
        wait_until("dev knows", SOON, || cluster.pid(id).is_none());
        cluster.ask_dev("start", id).ok();
    }
    cluster.wait_whole();
    let failed = a.failed();
    a.wait_answered(SOME);
    assert_eq!(a.failed(), failed, "all is served again");
    let report = a.stop();
    // A server that came back too late for a request names itself.
    let clear = |text: &String| text.contains("group ") && text.contains(" (a");
    assert!(report.errors.iter().all(clear), "{:#?}", report.errors);
    report.check(&mut cluster.resp());
    b.stop().without_errors().check(&mut cluster.resp());
    cluster.operator(&["verify"]).ok();
}

#[test]
fn without_a_majority_of_the_voters_leaders_serve_as_long_as_their_leases_and_then_say_why_not() {
    let _alone = alone();
    let cluster = Options::shape(2, 2, 5).env("FDHT_DEADLINE", "1s").start();
    let keys = keys_of(&cluster, "a", 6);
    let mut resp = cluster.resp();
    for key in &keys {
        assert_eq!(resp.call(&["SET", key, "before"]), "OK");
    }
    // Of a1, b1 and v1. Both servers of group a live on.
    for id in ["b1", "v1"] {
        send(cluster.pid(id).unwrap(), Signal::KILL);
    }
    assert_eq!(resp.call(&["GET", &keys[0]]), "before", "the lease still runs");
    let error = wait_for("reads end with the leases, and the reason is told", SOON, || {
        let answer = resp.call(&["GET", &keys[0]]);
        (answer != "before" && answer.error().contains("lease")).then(|| answer.error().to_owned())
    });
    assert!(error.starts_with("TRYAGAIN group ") && error.contains("(a1, a2)"), "{error}");
    for key in &keys {
        let answer = resp.call(&["GET", key]);
        assert!(answer.error().starts_with("TRYAGAIN group "), "{answer:?}");
    }
    // A write needs no lease: it is on all servers in step, whoever leads next.
    let write = |key: &String| {
        let answer = resp.call(&["SET", key, "during"]);
        let done = answer == "OK";
        assert!(done || answer.error().contains("group "), "{answer:?}");
        (done, done || answer.error().starts_with("UNKNOWN "))
    };
    let written: Vec<_> = keys.iter().map(write).collect();
    for id in ["b1", "v1"] {
        wait_until("dev knows", SOON, || cluster.pid(id).is_none());
        cluster.ask_dev("start", id).ok();
    }
    cluster.wait_whole();
    for (key, (done, may_be_done)) in keys.iter().zip(written) {
        let value = resp.call(&["GET", key]).text();
        let right = (value == "before" && !done) || (value == "during" && may_be_done);
        assert!(right, "{key}: {value}, written: {done}, perhaps: {may_be_done}");
        assert_eq!(resp.call(&["SET", key, "after"]), "OK");
        assert_eq!(resp.call(&["GET", key]), "after");
    }
    cluster.operator(&["verify"]).ok();
}

#[test]
fn a_leader_that_is_stopped_for_ten_seconds_answers_nothing_old_when_it_wakes_up() {
    let _alone = alone();
    let cluster = Options::shape(2, 2, 5).env("FDHT_DEADLINE", "15s").start();
    let file = cluster.root().join("topology.yaml");
    let other = LoneProxy::start(&file, &["--id", "other", "--deadline", "60s"]);
    let load = Load::start(&cluster.address(), WORKERS, &keys("load", 60));
    load.wait_answered(SOME);
    let led = keys_where(&cluster, 8, |place| place["server"] == "a1");
    let mut resp = cluster.resp();
    let mut others: Vec<Resp> = led.iter().map(|_| Resp::connect(&other.address)).collect();
    for (other, key) in others.iter_mut().zip(&led) {
        assert_eq!(resp.call(&["SET", key, "old"]), "OK");
        assert_eq!(other.call(&["GET", key]), "old");
    }
    load.take_longest();
    // Reads wait in the sockets of a1, and their proxy does not learn who leads now.
    let a1 = cluster.pid("a1").unwrap();
    hold(a1);
    for (other, key) in others.iter_mut().zip(&led) {
        other.send(&["GET", key]);
    }
    load.run_for(Duration::from_millis(100));
    hold(other.running.pid());
    load.run_for(Duration::from_secs(10));
    for key in &led {
        assert_eq!(resp.call(&["SET", key, "new"]), "OK", "{key} is led by another server");
    }
    eprintln!("longest while a1 is stopped: {:?}", load.take_longest());
    send(a1, Signal::CONT);
    send(other.running.pid(), Signal::CONT);
    for (other, key) in others.iter_mut().zip(&led) {
        assert_eq!(other.read(), "new", "{key} (I8)");
    }
    load.wait_answered(SOME);
    cluster.wait_whole();
    eprintln!("longest until its return: {:?}", load.take_longest());
    load.stop().without_errors().check(&mut cluster.resp());
    cluster.operator(&["verify"]).ok();
}
