//! What operators see: the admin endpoints of both processes, and the commands built on them.

use std::collections::BTreeMap;
use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use harness::{Http, Options, TestCluster, fdht, unix_ms, wait_until};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);

/// One cluster for the tests that only look.
fn cluster() -> &'static TestCluster {
    static CLUSTER: OnceLock<TestCluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Options::shape(2, 2, 17).start())
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn both_processes_say_who_they_are_and_that_they_are_ready() {
    let cluster = cluster();
    let node = |id: &String| (cluster.node_admin(id), "fdht-node");
    let all = [(cluster.admin(), "fdht-proxy")];
    for (http, name) in cluster.nodes().iter().map(node).chain(all) {
        http.get("/livez").expect(200);
        let ready = http.get("/readyz").expect(200).json();
        assert_eq!(ready, json!({ "ready": true, "detail": [] }));
        let version = http.get("/version").expect(200).json();
        assert_eq!(version, json!({ "name": name, "version": env!("CARGO_PKG_VERSION") }));
        let missing = http.get("/nonsense").expect(404).json();
        assert!(missing["error"].as_str().unwrap().contains("/v1/topology"), "{missing}");
        let refused = http.put("/livez", "x").expect(405).json();
        assert!(refused["error"].as_str().unwrap().contains("PUT"), "{refused}");
    }
}

#[test]
fn metrics_are_prometheus_text_and_count_what_happens() {
    let cluster = cluster();
    let read = |http: &Http| -> BTreeMap<String, f64> {
        let answer = http.get("/metrics").expect(200);
        assert!(answer.header("content-type").starts_with("text/plain"));
        let text = answer.text();
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line:?}")))
        };
        text.lines().filter(|l| !l.starts_with('#') && !l.is_empty()).map(sample).collect()
    };
    let requests = |all: &BTreeMap<String, f64>| -> f64 {
        let of = |(name, _): &(&String, &f64)| name.starts_with("fdht_proxy_requests_total");
        all.iter().filter(of).map(|(_, value)| value).sum()
    };
    let before = read(&cluster.admin());
    let mut resp = cluster.resp();
    for _ in 0..50 {
        resp.call(&["SET", "counted", "v"]);
    }
    let after = read(&cluster.admin());
    assert!(requests(&after) >= requests(&before) + 50.0, "{after:#?}");
    assert!(after.keys().all(|name| name.starts_with("fdht_proxy_")), "{after:#?}");
    for id in cluster.nodes() {
        let all = read(&cluster.node_admin(&id));
        assert!(
            !all.is_empty() && all.keys().all(|name| name.starts_with("fdht_node_")),
            "{all:#?}"
        );
    }
}

#[test]
fn all_show_the_same_topology() {
    let cluster = cluster();
    let proxy = cluster.admin().get("/v1/topology").expect(200).json();
    assert_eq!((&proxy["cluster"], &proxy["logic_groups"]), (&"dev".into(), &17.into()));
    assert_eq!(proxy["last_error"], Value::Null);
    assert!(proxy["source"].as_str().unwrap().ends_with("topology.yaml"));
    assert!(proxy["loaded_at_ms"].as_u64().unwrap() <= unix_ms());
    assert_eq!(proxy["hash"].as_str().unwrap().len(), 16);
    assert_eq!(
        proxy["physical_groups"]["a"],
        json!({ "servers": ["a1", "a2"], "logic_groups": "0-7" })
    );
    assert_eq!(
        proxy["physical_groups"]["b"],
        json!({ "servers": ["b1", "b2"], "logic_groups": "8-16" })
    );
    for id in cluster.nodes() {
        let node = cluster.node_admin(&id).get("/v1/topology").expect(200).json();
        for part in ["cluster", "epoch", "hash", "logic_groups"] {
            assert_eq!(node[part], proxy[part], "{part} of {id}");
        }
    }
}

#[test]
fn groups_and_nodes_are_shown_by_both_sides() {
    let cluster = cluster();
    let mut resp = cluster.resp();
    (0..200).for_each(|n| {
        resp.call(&["SET", &format!("shown:{n}"), "v"]);
    });
    let groups = cluster.admin().get("/v1/groups").expect(200).json();
    let groups = groups.as_array().unwrap();
    assert_eq!(groups.len(), 17);
    for (n, group) in groups.iter().enumerate() {
        let (name, servers) = if n < 8 { ("a", ["a1", "a2"]) } else { ("b", ["b1", "b2"]) };
        assert_eq!((&group["group"], &group["physical_group"]), (&json!(n), &name.into()));
        let lanes = group["lanes"].as_array().unwrap();
        assert_eq!(lanes.len(), 2, "{group}");
        for (lane, server) in lanes.iter().zip(servers) {
            assert!(lane["since_epoch"].as_u64().unwrap() >= 1, "{group}");
            let expected = json!({
                "server": server, "leader": server, "since_epoch": lane["since_epoch"],
                "state": "up", "waiting": 0,
            });
            assert_eq!(*lane, expected, "{group}");
        }
    }
    let nodes = cluster.admin().get("/v1/nodes").expect(200).json();
    let ids: Vec<&str> =
        nodes.as_array().unwrap().iter().map(|n| n["id"].as_str().unwrap()).collect();
    assert_eq!(ids, cluster.nodes());
    for node in nodes.as_array().unwrap() {
        assert_eq!((&node["state"], &node["last_error"]), (&"up".into(), &Value::Null), "{node}");
        assert!(node["id"] == "v1" || node["requests"].as_u64().unwrap() > 0, "{node}");
        assert!(node["connections"].as_u64().unwrap() >= 1, "{node}");
    }
}

#[test]
fn a_node_shows_its_lanes_and_who_follows_them() {
    let cluster = cluster();
    for (index, id) in cluster.servers().iter().enumerate() {
        let admin = cluster.node_admin(id);
        let groups = admin.get("/v1/groups").expect(200).json();
        let groups = groups.as_array().unwrap();
        assert_eq!(groups.len(), if index < 2 { 8 } else { 9 }, "{id}");
        let own = if index < 2 { ["a1", "a2"] } else { ["b1", "b2"] };
        let other = own[1 - index % 2];
        for group in groups {
            assert_eq!((&group["stopped"], &group["stranger"]), (&Value::Null, &false.into()));
            let mut in_step: Vec<&str> =
                group["in_step"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            in_step.sort_unstable();
            assert_eq!((in_step, &group["leaving"]), (own.to_vec(), &Value::Null), "{group}");
            let lanes = group["lanes"].as_array().unwrap();
            assert_eq!(lanes.len(), 2, "{id} holds a copy of both lanes: {group}");
            for (server, lane) in lanes.iter().enumerate() {
                assert_eq!(
                    (&lane["server_index"], &lane["leader"]),
                    (&json!(server), &own[server].into())
                );
                assert!(lane["since_epoch"].as_u64() <= group["register_epoch"].as_u64());
                let followers = lane["followers"].as_array().unwrap();
                if own[server] == id.as_str() {
                    assert_eq!(
                        (&lane["role"], &lane["phase"]),
                        (&"leading".into(), &"serving".into())
                    );
                    assert!(lane["lease_ms"].as_u64().unwrap() <= 1_500, "{lane}");
                    assert_eq!((followers.len(), &followers[0]["server"]), (1, &other.into()));
                    assert_eq!(followers[0]["in_step"], true, "{lane}");
                } else {
                    assert_eq!(
                        (&lane["role"], followers.len()),
                        (&"following".into(), 0),
                        "{lane}"
                    );
                }
            }
        }
    }
    for id in cluster.nodes() {
        let itself = &cluster.node_admin(&id).get("/v1/nodes").expect(200).json()[0];
        assert_eq!((&itself["id"], &itself["cluster"]), (&json!(id), &"dev".into()));
        assert_eq!((&itself["state"], &itself["write_state"]), (&"up".into(), &"ok".into()));
        let voters = &itself["voters"];
        assert_eq!(voters["voters"].as_array().map(Vec::len), Some(3), "{id}: {voters}");
        assert_eq!(voters["generation"], 1, "{id}: {voters}");
        assert!(itself["log"]["appended"].as_u64() >= itself["log"]["durable"].as_u64());
        if id == "v1" {
            let groups = cluster.node_admin(&id).get("/v1/groups").expect(200).json();
            assert_eq!(groups, json!([]), "a voter without data has no groups");
        }
    }
}

#[test]
fn where_tells_the_place_and_the_place_is_true() {
    // Its own: nobody else writes while it counts.
    let cluster = Options::shape(2, 2, 17).start();
    let mut resp = cluster.resp();
    resp.call(&["SELECT", "places"]);
    for object in ["/usr/bin", "größe", "a b", "{tag}1", "{tag}2"] {
        let place = json_of(&cluster.operator(&["where", "places", object, "-o", "json"]).ok());
        assert_eq!((&place["namespace"], &place["object"]), (&"places".into(), &object.into()));
        assert_eq!(place["field"], Value::Null);
        let group = place["logic_group"].as_u64().unwrap();
        assert_eq!(group, place["hash"].as_u64().unwrap() % 17, "{place}");
        assert_eq!(place["physical_group"], if group < 8 { "a" } else { "b" });
        let server = place["server"].as_str().unwrap();
        assert_eq!(place["address"], cluster.node_addresses(server).0.as_str());
        // The one lane that grows is the one whose home was named, and that server leads it.
        let lasts = |id: &str| -> Vec<u64> {
            let groups = cluster.node_admin(id).get("/v1/groups").json();
            let here = groups.as_array().unwrap().iter().find(|g| g["group"] == group);
            let lanes = here.map_or(&[][..], |g| g["lanes"].as_array().unwrap());
            lanes.iter().map(|lane| lane["last"].as_u64().unwrap()).collect()
        };
        let servers = if group < 8 { ["a1", "a2"] } else { ["b1", "b2"] };
        let before = lasts(server);
        assert_eq!(resp.call(&["HSET", object, "f", "v"]), 1);
        let after = lasts(server);
        for (lane, home) in servers.iter().enumerate() {
            let grown = after[lane] > before[lane];
            assert_eq!(
                grown,
                *home == server,
                "{object}: {home} of {server}: {before:?} {after:?}"
            );
        }
        assert!(
            cluster
                .servers()
                .iter()
                .all(|id| servers.contains(&id.as_str()) || lasts(id).is_empty())
        );
    }
    // A vector of the original: the same hash whoever computes it.
    let place =
        json_of(&cluster.operator(&["where", "user", "happy_fish", "reg", "-o", "json"]).ok());
    assert_eq!((&place["hash"], &place["field"]), (&1_386_519_819.into(), &"reg".into()));
    let same = cluster.admin().get("/v1/where?ns=user&obj=happy_fish&field=reg").expect(200).json();
    assert_eq!(same, place);
    let tags = ["{tag}1", "{tag}2"].map(|object| {
        json_of(&cluster.operator(&["where", "places", object, "-o", "json"]).ok())["hash"].clone()
    });
    assert_eq!(tags[0], tags[1], "a tag decides the place");
    let bytes = cluster.admin().get("/v1/where?ns=&obj=%FF").expect(200).json();
    assert_eq!(bytes["object_hex"], "ff");
    assert!(cluster.operator(&["where", "-", "k"]).ok().contains("physical group"));
    cluster.admin().get("/v1/where?ns=x").expect(400);
}

#[test]
fn status_sums_up_and_its_exit_status_tells() {
    let cluster = cluster();
    let status = json_of(&cluster.operator(&["status", "-o", "json"]).ok());
    assert_eq!(status["ready"], true);
    assert_eq!(status["topology"]["cluster"], "dev");
    assert_eq!(status["nodes"].as_array().unwrap().len(), 5);
    assert_eq!((&status["problems"], status["servers"].as_array().unwrap().len()), (&json!([]), 4));
    assert_eq!(status["groups"].as_array().unwrap().len(), 17);
    let table = cluster.operator(&["status"]).ok();
    for word in ["dev", "a1", "b2", "0-7", "ready"] {
        assert!(table.contains(word), "{table}");
    }
    let nobody = format!("127.0.0.1:{}", harness::lone::free_port());
    fdht(["status", "--admin", &nobody]).refused(3, &["cannot reach", &nobody]);
    fdht(["where", "a", "b", "--admin", &nobody]).refused(3, &[&nobody]);
}

/// A key whose home is a server.
fn key_of(cluster: &TestCluster, server: &str) -> String {
    let is_there = |object: &String| {
        json_of(&cluster.operator(&["where", "-", object, "-o", "json"]).ok())["server"] == server
    };
    (0..).map(|n| format!("key:{n}")).find(is_there).unwrap()
}

#[test]
fn a_node_that_is_down_is_shown_everywhere_and_missed_in_no_protocol() {
    let cluster = Options::shape(1, 2, 5).start();
    let object = key_of(&cluster, "a2");
    let mut resp = cluster.resp();
    assert_eq!(resp.call(&["SET", &object, "v"]), "OK");
    cluster.ask_dev("stop", "a2").ok();
    assert_eq!(resp.call(&["GET", &object]), "v", "over the same connection, at once");
    assert_eq!(cluster.http().get(&format!("/v1/kv/-/{object}")).expect(200).text(), "v");
    assert_eq!(cluster.fastdht().get("", "", &object), Ok(b"v".to_vec()));
    assert_eq!(cluster.fastdht().set("", "", &object, b"w"), 0);
    let keys: Vec<String> = (0..40).map(|n| format!("key:{n}")).collect();
    let mget: Vec<&str> = ["MGET"].into_iter().chain(keys.iter().map(String::as_str)).collect();
    assert_eq!(resp.call(&mget).array().len(), 40);

    wait_until("the proxy tells", SOON, || {
        cluster.admin().get("/readyz").json()["detail"].to_string().contains("a2")
    });
    cluster.admin().get("/readyz").expect(200);
    let finished = cluster.operator(&["status"]);
    assert_eq!(finished.status, Some(1), "{finished:?}");
    assert!(finished.stdout.contains("unreachable") && finished.stdout.contains("a2"));
    let nodes = cluster.admin().get("/v1/nodes").json();
    assert_eq!((&nodes[0]["state"], &nodes[1]["state"]), (&"up".into(), &"down".into()));
    assert!(nodes[1]["last_error"].is_string(), "{nodes}");
    let groups = cluster.admin().get("/v1/groups").json();
    let group = json_of(&cluster.operator(&["where", "-", &object, "-o", "json"]).ok());
    let group = usize::try_from(group["logic_group"].as_u64().unwrap()).unwrap();
    let lane = &groups[group]["lanes"][1];
    assert_eq!((&lane["server"], &lane["leader"]), (&"a2".into(), &"a1".into()), "{groups}");

    cluster.ask_dev("start", "a2").ok();
    cluster.wait_whole();
    assert_eq!(resp.call(&["GET", &object]), "w");
}

#[test]
fn a_group_without_a_server_is_told_everywhere_and_in_every_protocol() {
    let cluster = Options::shape(2, 1, 5).env("FDHT_DEADLINE", "1s").start();
    let object = key_of(&cluster, "b1");
    let mut resp = cluster.resp();
    assert_eq!(resp.call(&["SET", &object, "v"]), "OK");
    cluster.ask_dev("stop", "b1").ok();
    wait_until("the proxy is not ready", SOON, || cluster.admin().get("/readyz").status == 503);
    let ready = cluster.admin().get("/readyz").json();
    assert_eq!(ready["ready"], false);
    assert!(ready["detail"].to_string().contains("b1"), "{ready}");
    let finished = cluster.operator(&["status"]);
    assert_eq!(finished.status, Some(1), "{finished:?}");
    assert!(finished.stdout.contains("NOT READY") && finished.stdout.contains("b1"));

    let answer = resp.call(&["GET", &object]);
    let text = answer.error();
    assert!(text.starts_with("TRYAGAIN group ") && text.contains("b1"), "{text}");
    let answer = cluster.http().get(&format!("/v1/kv/-/{object}")).expect(503);
    assert!(!answer.header("retry-after").is_empty());
    assert!(answer.text().contains("b1"), "{}", answer.text());
    assert_eq!(cluster.fastdht().get("", "", &object), Err(11));
    assert_eq!(cluster.fastdht().set("", "", &object, b"w"), 11);
    // A command of many keys fails as a whole, and names the group.
    let keys: Vec<String> = (0..40).map(|n| format!("key:{n}")).collect();
    let mget: Vec<&str> = ["MGET"].into_iter().chain(keys.iter().map(String::as_str)).collect();
    assert!(resp.call(&mget).error().starts_with("TRYAGAIN group "));
    assert_eq!(resp.call(&["PING"]), "PONG");

    cluster.ask_dev("start", "b1").ok();
    cluster.wait_ready();
    assert_eq!(resp.call(&["GET", &object]), "v");
    cluster.wait_whole();
}

#[test]
fn a_refused_topology_changes_nothing_and_is_shown() {
    let cluster = Options::small().start();
    let old = cluster.admin().get("/v1/topology").json();
    let has_error = || cluster.admin().get("/v1/topology").json()["last_error"].is_string();
    type Edit = fn(String) -> String;
    let edits: [(Edit, &str); 3] = [
        (|text| text + "nonsense: 1\n", "nonsense"),
        (|text| text.replace(": 5\n", ": 7\n").replace("\"0-4\"", "\"0-6\""), "logic_groups"),
        (|text| text.replace("cluster: dev", "cluster: other"), "cluster"),
    ];
    for (edit, word) in edits {
        let path = cluster.root().join("topology.yaml");
        let good = fs::read_to_string(&path).unwrap();
        cluster.edit_topology(edit);
        wait_until("the refusal is shown", SOON, has_error);
        let now = cluster.admin().get("/v1/topology").json();
        let error = now["last_error"].as_str().unwrap();
        assert!(error.contains(word), "{error}");
        assert_eq!((&now["epoch"], &now["hash"]), (&old["epoch"], &old["hash"]));
        let ready = cluster.admin().get("/readyz").expect(200).json();
        assert_eq!(ready["ready"], true, "the last good one is in force");
        assert!(ready["detail"].to_string().contains(word), "{ready}");
        assert!(cluster.operator(&["status"]).ok().contains("refused topology"));
        cluster.assert_serves();
        fs::write(&path, good).unwrap();
        wait_until("the error is gone", SOON, || !has_error());
    }
    let epoch = cluster.edit_topology(|text| text);
    let arrived = || cluster.admin().get("/v1/topology").json()["epoch"] == epoch;
    wait_until("a good one is taken", SOON, arrived);
    wait_until("the node keeps it", SOON, || {
        cluster.node_admin("a1").get("/v1/topology").json()["epoch"] == epoch
    });
    cluster.assert_serves();
}

#[test]
fn topology_check_tells_all_problems_with_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("topology.yaml");
    let path_text = path.to_str().unwrap();
    let check = |text: &str, more: &[&str]| {
        fs::write(&path, text).unwrap();
        fdht(["topology", "check", path_text].iter().chain(more))
    };
    let good = fs::read_to_string(cluster().root().join("topology.yaml")).unwrap();
    assert!(check(&good, &[]).ok().contains("fine: cluster dev"));
    assert_eq!(json_of(&check(&good, &["-o", "json"]).ok())["ok"], true);
    let uneven = good.replace("logic_groups: 17", "logic_groups: 64").replace("8-16", "8-63");
    assert!(check(&uneven, &[]).ok().contains("warning"), "a number that spreads badly");

    let bad = good.replace("epoch: 1", "epoch: one\nextra: 1").replace("[b1, b2]", "[b1, b3]");
    let finished = check(&bad, &[]);
    assert_eq!(finished.status, Some(1));
    finished.says(&["epoch", "extra", "b3", path_text]);
    let finished = check(&bad, &["-o", "json"]);
    assert_eq!(finished.status, Some(1));
    let problems = json_of(&finished.stdout)["problems"].clone();
    assert!(problems.as_array().unwrap().len() >= 3, "all at once: {problems}");
    assert!(problems.as_array().unwrap().iter().all(|p| p["line"].is_u64()), "{problems}");

    let missing = fdht(["topology", "check", "/no/such/file"]);
    missing.refused(1, &["/no/such/file"]);
    assert_eq!(fdht(["topology", "check"]).status, Some(2));
}
