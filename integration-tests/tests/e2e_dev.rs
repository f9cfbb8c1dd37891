//! `fdht dev`: one cluster per folder, children that neither outlive it nor come back unasked.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use harness::process::{finish, is_alive};
use harness::{Options, Running, TestCluster, fdht, wait_until};
use rustix::process::Signal;

const SOON: Duration = Duration::from_secs(30);

fn folder_text(cluster: &TestCluster) -> &str {
    cluster.root().to_str().unwrap()
}

#[test]
fn the_folder_holds_what_is_documented_and_is_used_by_one_dev_at_a_time() {
    let mut cluster = Options::shape(2, 2, 17).start();
    let root = cluster.root();
    assert_eq!(cluster.nodes(), ["a1", "a2", "b1", "b2", "v1"]);
    for id in cluster.members() {
        assert!(is_alive(cluster.pid(&id).unwrap()), "{id}");
        assert!(root.join("logs").join(format!("{id}.log")).is_file(), "{id}");
    }
    for id in cluster.nodes() {
        assert!(root.join("nodes").join(id).is_dir());
    }
    fdht(["topology", "check", root.join("topology.yaml").to_str().unwrap()]).ok();
    let output = cluster.output();
    for id in cluster.members() {
        assert!(output.lines().any(|line| line.contains(&format!(" {id} "))), "{output}");
    }
    assert!(output.trim_end().lines().last().unwrap().starts_with("ready:"), "{output}");

    let second = finish(cluster.dev_command());
    second.refused(1, &["another `fdht dev` runs on", folder_text(&cluster)]);
    cluster.assert_serves();

    // Flags for another shape do not fit the cluster that is there.
    cluster.stop();
    let other = fdht(["dev", "--dir", folder_text(&cluster), "--groups", "3"]);
    other.refused(2, &["2 physical groups", "--groups 3"]);
    assert!(!root_has_pids(&cluster), "an ordinary stop leaves no pid files");
    cluster.start_again();
    cluster.assert_serves();
}

fn root_has_pids(cluster: &TestCluster) -> bool {
    fs::read_dir(cluster.root().join("pids")).unwrap().next().is_some()
}

#[test]
fn a_killed_node_stays_down_is_reported_and_starts_when_asked() {
    let cluster = Options::shape(1, 2, 5).start();
    let mut resp = cluster.resp();
    for n in 0..100 {
        assert_eq!(resp.call(&["SET", &format!("key:{n}"), "v"]), "OK");
    }
    cluster.kill("a2");
    wait_until("dev tells", SOON, || cluster.output().contains("a2 ended by itself"));
    let output = cluster.output();
    assert!(output.contains(&format!("--dir {} start a2", folder_text(&cluster))), "{output}");
    wait_until("the proxy tells", SOON, || cluster.admin().get("/readyz").text().contains("a2"));
    assert_eq!(cluster.pid("a2"), None, "its pid file is gone");
    // The proxy finds the new leaders without a request: one that is not ready is sent none.
    wait_until("all is served", SOON, || cluster.admin().get("/readyz").status == 200);
    // It is down until somebody asks. The other server has all that it had, and takes its writes.
    for n in 0..100 {
        let key = format!("key:{n}");
        assert_eq!(resp.call(&["GET", &key]), "v", "{key}");
        assert_eq!(resp.call(&["SET", &key, "w"]), "OK", "{key}");
    }
    assert_eq!(cluster.pid("a2"), None, "still down");

    let out = cluster.ask_dev("start", "a2").ok();
    assert!(out.contains("a2 is ready at"), "{out}");
    cluster.wait_whole();
    assert_eq!(cluster.admin().get("/readyz").expect(200).json()["detail"], serde_json::json!([]));
    for n in 0..100 {
        assert_eq!(resp.call(&["GET", &format!("key:{n}")]), "w", "key:{n}");
    }
}

#[test]
fn members_are_stopped_and_started_one_by_one() {
    let cluster = Options::shape(1, 1, 5).start();
    let mut resp = cluster.resp();
    assert_eq!(resp.call(&["SET", "kept", "v"]), "OK");
    let pid = cluster.pid("a1").unwrap();
    cluster.ask_dev("start", "a1").refused(1, &["a1 runs already"]);
    let out = cluster.ask_dev("stop", "a1").ok();
    assert!(out.contains("a1 is stopped"), "{out}");
    assert!(!is_alive(pid));
    assert!(!cluster.output().contains("ended by itself"), "it was asked to");
    cluster.ask_dev("stop", "a1").refused(1, &["a1 does not run"]);
    cluster.ask_dev("stop", "z9").refused(1, &["no \"z9\"", "a1", "proxy"]);
    cluster.ask_dev("start", "a1").ok();
    assert_ne!(cluster.pid("a1"), Some(pid));
    cluster.wait_ready();
    assert_eq!(resp.call(&["GET", "kept"]), "v", "over the same connection to the proxy");

    cluster.ask_dev("stop", "proxy").ok();
    assert!(harness::Resp::try_connect(&cluster.address()).is_none());
    cluster.ask_dev("start", "proxy").ok();
    assert_eq!(cluster.resp().call(&["GET", "kept"]), "v");
    cluster.kill("proxy");
    wait_until("dev tells", SOON, || cluster.output().contains("proxy ended by itself"));
    cluster.ask_dev("start", "proxy").ok();
    assert_eq!(cluster.resp().call(&["GET", "kept"]), "v");
}

#[test]
fn children_end_when_dev_is_killed_and_the_folder_can_be_used_again() {
    let mut cluster = Options::shape(2, 1, 7).start();
    assert_eq!(cluster.resp().call(&["SET", "kept", "v"]), "OK");
    let children = cluster.kill_dev();
    for pid in children {
        wait_until("a child ends", SOON, || !is_alive(pid));
    }
    cluster.ask_dev("stop", "a1").refused(3, &["no `fdht dev` runs on", folder_text(&cluster)]);
    cluster.start_again();
    assert_eq!(cluster.resp().call(&["GET", "kept"]), "v");
}

#[test]
fn a_stop_by_the_system_is_a_clean_one() {
    let cluster = Options::small().start();
    let pids = cluster.pids();
    cluster.dev().signal(Signal::TERM);
    for pid in pids {
        wait_until("a child ends", SOON, || !is_alive(pid));
    }
    wait_until("the last words", SOON, || cluster.output().contains("stopped; the data is in"));
    for id in cluster.members() {
        let log = cluster.log(&id);
        assert!(log.contains("stopped") && !log.contains("panicked"), "{id}: {log}");
    }
}

#[test]
fn ports_that_are_taken_are_said_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let words = |dir: &str, port: &str, admin: &str| {
        let dir = folder.path().join(dir).to_str().unwrap().to_owned();
        let words = ["dev", "--groups", "1", "--servers-per-group", "1", "--dir", &dir];
        let ports = ["--port", port, "--admin-port", admin];
        words.into_iter().chain(ports).map(str::to_owned).collect::<Vec<_>>()
    };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    fdht(words("x", &port, "0")).refused(1, &[&port, "--port"]);
    fdht(words("y", "0", &port)).refused(1, &[&port, "--admin-port"]);
    let free = harness::lone::free_port().to_string();
    fdht(words("z", &free, &free)).refused(2, &["--port", "--admin-port"]);
    drop(taken);
    let mut dev = Running::fdht(words("x", &port, "0"));
    let ready = dev.wait_line("ready:", Duration::from_secs(120));
    assert!(ready.contains(&port), "{ready}");
    dev.signal(Signal::INT);
    assert!(dev.wait_end(SOON).success());
}

#[test]
fn a_folder_that_cannot_be_made_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "somebody's").unwrap();
    for dir in [file.clone(), file.join("below")] {
        let dir = dir.to_str().unwrap();
        fdht(["dev", "--dir", dir]).refused(1, &[dir]);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "somebody's");
    fdht(["dev", "--dir", folder.path().join("new").to_str().unwrap(), "--logic-groups", "1"])
        .refused(2, &["--logic-groups"]);
    assert!(!folder.path().join("new").exists(), "a wrong call leaves nothing behind");
}
