//! Peers that are not what they should be: of another cluster, without the secret, with garbage, under
//! a name that is another's, with an empty disk, with an old file. The cluster goes on without them.

use std::fs;
use std::time::Duration;

use harness::chaos::alone;
use harness::chaos_peer::{Claim, PEER_FRAME, Stranger};
use harness::load::keys;
use harness::lone::{LoneProxy, NodeArgs, free_address};
use harness::{HandCluster, Http, Load, Random, Resp, Running, wait_until};

const SOON: Duration = Duration::from_secs(60);
const SOME: u64 = 200;

fn load(cluster: &HandCluster) -> Load {
    let load = Load::start(&cluster.proxy().address, 3, &keys("load", 30));
    load.wait_answered(SOME);
    load
}

#[test]
fn strangers_are_refused_with_the_reason_and_disturb_nobody() {
    let _alone = alone();
    let cluster = HandCluster::start("5s");
    let load = load(&cluster);
    let address = cluster.args("a1").listen;
    let (a1, a2) = (cluster.store("a1"), cluster.store("a2"));
    let claim = |cluster: &str, name: &str, store: &str| {
        let claim = Claim { cluster: cluster.into(), name: name.into(), store: store.into() };
        Stranger::connect(&address).introduce(&claim)
    };
    let reason = claim("other", "a2", &a2).unwrap_err();
    assert!(reason.contains("belongs to cluster `lone`") && reason.contains("`other`"), "{reason}");
    // A member's name with somebody else's data directory.
    let reason = claim("lone", "a2", &a1).unwrap_err();
    for words in ["a2 is a member of its groups with data directory", &a2, &a1] {
        assert!(reason.contains(words), "{reason}");
    }
    for words in ["peer refused", "belongs to cluster `lone`", "another process runs under its id"]
    {
        wait_until(words, SOON, || cluster.log("a1").contains(words));
    }
    // Somebody who is no member, with garbage in frames, beside frames, and in place of a hello.
    let mut random = Random::new(3);
    let claim = Claim { cluster: "lone".into(), name: "z9".into(), store: "77".into() };
    for round in 0..30 {
        let mut stranger = Stranger::connect(&address);
        if round % 3 > 0 {
            stranger.introduce(&claim).expect("a node that nobody knows may be a new one");
        }
        let garbage = random.bytes(1 + random.clone().below(2_000));
        match round % 3 {
            1 => stranger.send(PEER_FRAME, &[&[0; 4][..], &garbage].concat()),
            _ => stranger.send_raw(&[&[0xff; 4][..], &garbage].concat()),
        }
        assert!(stranger.is_closed(), "round {round}");
    }
    let not_understood = "what this version does not understand";
    wait_until(not_understood, SOON, || cluster.log("a1").contains(not_understood));
    // The same between two members: the connection is made again.
    let (dialing, dialed) = if cluster.log("a1").contains("linked to node node=\"a2\"") {
        ("a1", "a2")
    } else {
        ("a2", "a1")
    };
    cluster.relay(dialed).garble(dialing);
    wait_until("garbage is sent", SOON, || cluster.relay(dialed).is_garbled(dialing));
    wait_until("it is noticed", SOON, || cluster.log(dialed).contains("frame"));
    load.wait_answered(SOME);
    cluster.wait_whole();
    load.stop().without_errors().check(&mut cluster.resp());
    cluster.operator(&["verify"]).ok();
    assert!(!cluster.log("a1").contains("panicked"));
}

#[test]
fn a_node_with_a_secret_takes_nobody_without_it() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (right, wrong) = (folder.path().join("right"), folder.path().join("wrong"));
    fs::write(&right, "sixteen bytes or more").unwrap();
    fs::write(&wrong, "some other sixteen bytes").unwrap();
    let node = NodeArgs::new(&folder.path().join("node"));
    let secret = ["--secret-file".to_owned(), right.to_str().unwrap().to_owned()];
    let running = Running::fdht(node.words().into_iter().chain(secret));
    let admin = Http::new(&node.admin);
    wait_until("the node is live", SOON, || admin.try_get("/livez").is_some());
    let claim = Claim { cluster: "lone".into(), name: "b1".into(), store: "77".into() };
    let reason = Stranger::connect(&node.listen).introduce(&claim).unwrap_err();
    assert!(reason.contains("`b1` has another cluster secret"), "{reason}");
    wait_until("the node logs it", SOON, || {
        let log = running.output();
        log.contains("peer refused") && log.contains("`b1` has another cluster secret")
    });
    let file = folder.path().join("topology.yaml");
    harness::lone::topology(&file, &node.listen, &node.admin);
    let proxy = LoneProxy::start(&file, &["--secret-file", wrong.to_str().unwrap()]);
    wait_until("the proxy says it", SOON, || {
        let ready = Http::new(&proxy.admin).get("/readyz");
        ready.status == 503 && ready.text().contains("another cluster secret")
    });
}

#[test]
fn a_second_process_under_one_id_and_a_blank_disk_never_serve_and_never_vote() {
    let _alone = alone();
    let mut cluster = HandCluster::start("2s");
    let load = load(&cluster);
    // A second a1 with a folder of its own: nobody tells it anything, and it says so.
    let mut second = cluster.args("a1");
    second.create = true;
    second.dir = cluster.folder().join("second");
    (second.listen, second.admin) = (free_address(), free_address());
    let mut running = second.start();
    let ready = Http::new(&second.admin).get("/readyz").expect(503).text();
    assert!(ready.contains("no topology yet"), "{ready}");
    // Somebody makes the file point to it. The members know a1 by its data directory.
    cluster.write_topology(2, &[("a1", &second.listen)]);
    let admin = Http::new(&second.admin);
    wait_until("it is told the file", SOON, || admin.get("/v1/topology").json()["epoch"] == 2);
    let says = |admin: &Http, words: &str| {
        let ready = admin.get("/readyz");
        ready.status == 503 && ready.text().contains(words)
    };
    let member = "a1 is a member of its groups with data directory";
    wait_until("it says that another is the member", SOON, || says(&admin, member));
    wait_until("the others say who it is", SOON, || {
        cluster.log("a2").contains("another process runs under its id")
    });
    load.wait_answered(SOME);
    assert!(nothing_is_led(&admin));
    running.kill();
    cluster.write_topology(3, &[]);
    load.wait_answered(SOME);
    cluster.wait_whole();
    load.stop().check(&mut cluster.resp());

    // The disk is replaced.
    let load = Load::start(&cluster.proxy().address, 3, &keys("more", 30));
    load.wait_answered(SOME);
    cluster.kill("a1");
    cluster.remove_data("a1");
    cluster.start_node("a1", &[]);
    let admin = cluster.admin("a1");
    wait_until("it says that another is the member", SOON, || says(&admin, member));
    load.wait_answered(SOME);
    assert!(nothing_is_led(&admin));
    // It has no vote: with one of the two real voters away nothing is decided, and reads end.
    let mut resp = cluster.resp();
    assert_eq!(resp.call(&["SET", "k", "v"]), "OK");
    cluster.kill("v1");
    wait_until("reads end with the leases", SOON, || match resp.call(&["GET", "k"]) {
        harness::Value::Error(text) => text.contains("lease"),
        value => {
            assert_eq!(value, "v");
            false
        }
    });
    load.run_for(Duration::from_secs(3));
    let text = resp.call(&["GET", "k"]);
    assert!(text.error().starts_with("TRYAGAIN group "), "{text:?}");
    cluster.start_node("v1", &[]);
    wait_until("a2 leads on", SOON, || resp.call(&["GET", "k"]) == "v");
    load.wait_answered(SOME);
    assert!(nothing_is_led(&admin));
    load.stop().check(&mut resp);
}

/// Whether a node leads no lane and is in step nowhere.
fn nothing_is_led(admin: &Http) -> bool {
    let groups = admin.get("/v1/groups").expect(200).json();
    let lanes = groups.as_array().unwrap().iter().flat_map(|g| g["lanes"].as_array().unwrap());
    lanes.into_iter().all(|lane| lane["role"] != "leading")
}

#[test]
fn a_proxy_with_an_old_file_takes_the_newer_one_from_the_nodes() {
    let _alone = alone();
    let cluster = HandCluster::start("5s");
    // In the old file one server is where nobody listens any more.
    let now = fs::read_to_string(cluster.file()).unwrap();
    let old = cluster.folder().join("old.yaml");
    fs::write(&old, now.replace(cluster.relay("a2").address(), &free_address())).unwrap();
    cluster.write_topology(2, &[]);
    for id in ["a1", "a2"] {
        let admin = cluster.admin(id);
        wait_until("nodes know", SOON, || admin.get("/v1/topology").json()["epoch"] == 2);
    }
    let proxy = LoneProxy::start(&old, &["--id", "late"]);
    let admin = Http::new(&proxy.admin);
    wait_until("it has the newer file and every leader", SOON, || {
        let ready = admin.get("/readyz");
        ready.status == 200 && ready.text().contains("topology epoch 2 was adopted from node")
    });
    assert_eq!(admin.get("/v1/topology").json()["epoch"], 2);
    let load = Load::start(&proxy.address, 2, &keys("load", 30));
    load.wait_answered(SOME);
    load.stop().without_errors().check(&mut cluster.resp());
    // Nobody went back to the old one.
    assert_eq!(cluster.admin("a1").get("/v1/topology").json()["epoch"], 2);
    assert_eq!(Resp::connect(&proxy.address).call(&["PING"]), "PONG");
}
