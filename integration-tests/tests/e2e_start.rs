//! Starts that must be refused: one clear line that says what, where and what to do, an exit status,
//! and nothing changed.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::time::Duration;

use harness::lone::{self, LoneProxy, NodeArgs, free_address};
use harness::process::{command, finish};
use harness::{Finished, Http, Resp, Running, fdht, wait_until};
use rustix::process::Signal;

const SOON: Duration = Duration::from_secs(30);

fn run(node: &NodeArgs) -> Finished {
    finish(command(node.words()))
}

fn stop(mut running: Running) {
    running.signal(Signal::TERM);
    let status = running.wait_end(SOON);
    assert!(status.success(), "{status}: {}", running.output());
}

#[test]
fn a_data_directory_is_created_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = NodeArgs::new(&folder.path().join("node"));
    node.create = false;
    let dir = node.dir.to_str().unwrap().to_owned();
    run(&node).refused(1, &["fdht node: ", &dir, "--create"]);
    assert!(!node.dir.exists(), "nothing was made");
    node.create = true;
    stop(node.start());
    run(&node).refused(1, &[&dir, "start without --create"]);
    node.create = false;
    stop(node.start());
    // Somebody else's folder.
    let other = folder.path().join("photos");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("holiday.jpg"), "x").unwrap();
    let photos = NodeArgs { dir: other.clone(), create: true, ..node };
    run(&photos).refused(1, &["holiday.jpg", other.to_str().unwrap()]);
    assert_eq!(
        fs::read_dir(&other)
            .unwrap()
            .filter(|e| { e.as_ref().unwrap().file_name() == "holiday.jpg" })
            .count(),
        1
    );
}

#[test]
fn a_data_directory_belongs_to_one_node_of_one_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = NodeArgs::new(&folder.path().join("node"));
    stop(node.start());
    node.create = false;
    let other_id = NodeArgs { id: "a2".to_owned(), ..node.clone() };
    run(&other_id).refused(1, &["node `a1`", "`a2`", "--id"]);
    let other_cluster = NodeArgs { cluster: "other".to_owned(), ..node.clone() };
    run(&other_cluster).refused(1, &["cluster `lone`", "`other`", "--cluster"]);
    stop(node.start());
}

#[test]
fn a_second_process_on_the_same_directory_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = NodeArgs::new(&folder.path().join("node"));
    let running = node.start();
    node.create = false;
    let mut second = node.clone();
    (second.listen, second.admin) = (free_address(), free_address());
    run(&second)
        .refused(1, &["another process uses this data directory", node.dir.to_str().unwrap()]);
    // Over another name of the same folder as well.
    let alias = folder.path().join("alias");
    symlink(&node.dir, &alias).unwrap();
    second.dir = alias;
    run(&second).refused(1, &["another process uses this data directory"]);
    Http::new(&node.admin).get("/livez").expect(200);
    stop(running);
}

#[test]
fn a_place_that_cannot_be_written_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "somebody's").unwrap();
    for dir in [file.clone(), file.join("below")] {
        let text = dir.to_str().unwrap().to_owned();
        let node = NodeArgs::new(&dir);
        run(&node).refused(1, &["fdht node: ", &text]);
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "somebody's");
}

/// A server may log what it did so far; the refusal itself is the one last line.
#[track_caller]
fn refused_last(finished: &Finished, words: &[&str]) {
    assert_eq!(finished.status, Some(1), "{finished:#?}");
    let last = Finished {
        stderr: finished.stderr.trim_end().lines().last().unwrap_or_default().to_owned(),
        ..finished.clone()
    };
    last.says(words);
}

#[test]
fn a_port_in_use_is_said_with_its_flag() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut node = NodeArgs::new(&folder.path().join("node"));
    let running = node.start();
    stop(running);
    node.create = false;
    let listen = NodeArgs { listen: address.clone(), ..node.clone() };
    refused_last(&run(&listen), &["--listen", &address, "in use"]);
    let admin = NodeArgs { admin: address.clone(), ..node.clone() };
    refused_last(&run(&admin), &["--admin", &address, "in use"]);
    stop(node.start());

    let file = folder.path().join("topology.yaml");
    lone::topology(&file, &node.listen, &node.admin);
    let file = file.to_str().unwrap();
    let free = free_address();
    let proxy = |listen: &str, admin: &str| {
        fdht(["proxy", "--topology", file, "--listen", listen, "--admin", admin])
    };
    refused_last(&proxy(&address, &free), &["fdht proxy: ", "--listen", &address, "in use"]);
    refused_last(&proxy(&free, &address), &["fdht proxy: ", "--admin", &address, "in use"]);
}

#[test]
fn a_proxy_without_a_good_topology_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("topology.yaml");
    let path = file.to_str().unwrap();
    let start = || fdht(["proxy", "--topology", path]);
    start().refused(1, &["fdht proxy: ", "--topology", path]);
    lone::topology(&file, "127.0.0.1:1", "127.0.0.1:2");
    let good = fs::read_to_string(&file).unwrap();
    for (from, to, words) in [
        ("epoch: 1", "epoch: 0", ["epoch", "3"]),
        ("epoch: 1", "epoch: 1\nepoch: 2", ["epoch", "4"]),
        ("\"0-4\"", "\"0-3\"", ["4", "logic"]),
        ("voters: [a1]", "voters: &x [a1]", ["voters", "anchor"]),
        ("cluster: lone", "cluster: [", ["cluster", path]),
    ] {
        fs::write(&file, good.replace(from, to)).unwrap();
        let finished = start();
        assert_eq!(finished.status, Some(1), "{finished:#?}");
        finished.says(&words);
    }
    fs::write(&file, vec![b'#'; (1 << 20) + 1]).unwrap();
    start().refused(1, &[path, "1 MiB"]);
}

#[test]
fn a_wrong_flag_is_told_in_the_first_line() {
    let cases: [(&[&str], &str); 9] = [
        (&["node", "--id", "a1"], "--cluster"),
        (&["node", "--id", "a 1", "--cluster", "c", "--dir", "d"], "--id"),
        (&["node", "--id", "a1", "--cluster", "c", "--dir", "d", "--memory", "much"], "--memory"),
        (
            &["node", "--id", "a1", "--cluster", "c", "--dir", "d", "--listen", "nowhere"],
            "--listen",
        ),
        (&["proxy", "--topologie", "x"], "--topologie"),
        (&["proxy", "--topology", "x", "--deadline", "soon"], "--deadline"),
        (&["dev", "--groups", "0"], "--groups"),
        (&["import", "--format", "xml"], "--format"),
        (&["frobnicate"], "frobnicate"),
    ];
    for (words, flag) in cases {
        let finished = fdht(words);
        assert_eq!(finished.status, Some(2), "{words:?}: {finished:#?}");
        finished.says(&["error: "]);
        let all = finished.stderr.lines().take_while(|line| !line.starts_with("Usage"));
        assert!(all.into_iter().any(|line| line.contains(flag)), "{words:?}: {finished:#?}");
    }
    assert!(!std::path::Path::new("d").exists());
    let secret = ["--secret-file", "/no/such/secret"];
    let folder = tempfile::tempdir().unwrap();
    let node = NodeArgs::new(&folder.path().join("node"));
    let words = node.words();
    let words = words.iter().map(String::as_str).chain(secret);
    fdht(words).refused(1, &["--secret-file", "/no/such/secret"]);
    let mut open = node.clone();
    open.listen = "0.0.0.0:0".to_owned();
    run(&open).refused(1, &["--listen", "--secret-file"]);
}

#[test]
fn a_damaged_directory_is_not_started_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = NodeArgs::new(&folder.path().join("node"));
    stop(node.start());
    node.create = false;
    let identity = fs::read_dir(&node.dir).unwrap().map(|e| e.unwrap().path());
    let identity = identity.into_iter().find(|path| {
        path.is_file() && fs::read_to_string(path).is_ok_and(|text| text.contains("\"cluster\""))
    });
    let identity = identity.expect("a file says whose data this is");
    let good = fs::read_to_string(&identity).unwrap();
    fs::write(&identity, &good[..good.len() / 2]).unwrap();
    run(&node).refused(1, &[identity.to_str().unwrap(), "damaged"]);
    fs::write(&identity, good.replace("\"format\": 2", "\"format\": 99")).unwrap();
    run(&node).refused(1, &["99", node.dir.to_str().unwrap()]);
    fs::write(&identity, good).unwrap();
    stop(node.start());
}

#[test]
fn a_node_and_a_proxy_started_by_hand_serve_and_know_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = [("right", "correct horse battery"), ("wrong", "tr0ub4dor and three")];
    let secrets = secrets.map(|(name, text)| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    });
    let node = NodeArgs::new(&folder.path().join("node"));
    let mut words = node.words();
    words.extend(["--secret-file".to_owned(), secrets[0].clone()]);
    let _node = Running::fdht(&words);
    let admin = Http::new(&node.admin);
    wait_until("the node is live", SOON, || {
        admin.try_get("/livez").is_some_and(|answer| answer.status == 200)
    });
    let file = folder.path().join("topology.yaml");
    lone::topology(&file, &node.listen, &node.admin);
    let init =
        |secret: &str| fdht(["topology", "init", file.to_str().unwrap(), "--secret-file", secret]);
    init(&secrets[1]).refused(1, &["a1", "secret"]);
    init(&secrets[0]).ok();
    let stranger = LoneProxy::start(&file, &["--deadline", "300ms", "--secret-file", &secrets[1]]);
    let http = Http::new(&stranger.admin);
    wait_until("the stranger is told why", SOON, || {
        let answer = http.get("/readyz");
        answer.status == 503 && answer.text().contains("secret")
    });
    let proxy = LoneProxy::start(&file, &["--secret-file", &secrets[0]]);
    let http = Http::new(&proxy.admin);
    wait_until("the proxy is ready", SOON, || http.get("/readyz").status == 200);
    let mut resp = Resp::connect(&proxy.address);
    assert_eq!(resp.call(&["SET", "k", "v"]), "OK");
    assert_eq!(resp.call(&["GET", "k"]), "v");
    for text in [proxy.running.output(), stranger.running.output()] {
        assert!(!text.contains("horse") && !text.contains("tr0ub4dor"), "{text}");
    }
}
