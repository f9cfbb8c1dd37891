//! Exit statuses: 0 fine, 1 a problem found, 2 wrong usage, 3 could not reach.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use serde_json::json;

fn fdht(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_fdht")).args(args).output().expect("run fdht");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("UTF-8"))
}

/// An address where nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.local_addr().expect("its address").to_string()
}

#[test]
fn a_wrong_flag_is_named_with_status_2() {
    let (status, text) = fdht(&["dev", "--gruops", "3"]);
    assert_eq!(status, Some(2), "{text}");
    assert!(text.contains("--gruops") && text.contains("--groups"), "{text}");
    assert_eq!(fdht(&["nonsense"]).0, Some(2));
    assert_eq!(fdht(&["dev", "--help"]).0, Some(0));
    assert_eq!(fdht(&["--version"]).0, Some(0));
}

#[test]
fn what_cannot_be_reached_is_named_with_status_3() {
    let nobody = nobody();
    for args in [
        &["status", "--admin", &nobody][..],
        &["where", "files", "/usr/bin", "ls", "--admin", &nobody],
        &["export", "--proxy", &nobody],
        &["import", "--proxy", &nobody, "--tree", "/usr"],
        &["bench", "load", "--proxy", &nobody],
    ] {
        let (status, text) = fdht(args);
        assert_eq!(status, Some(3), "{args:?}: {text}");
        assert!(text.contains(&nobody) && text.lines().count() <= 2, "{text}");
    }
}

#[test]
fn a_topology_file_is_checked_without_a_cluster() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("topology.yaml");
    let file = path.to_str().expect("UTF-8");
    assert_eq!(fdht(&["topology", "check", file]).0, Some(1), "there is none");

    let fine = "format: 1\ncluster: demo\nepoch: 1\nlogic_groups: 17\nservers:\n  a1: { address: \
                \"127.0.0.1:1\", admin: \"127.0.0.1:2\" }\nvoters: [a1]\nphysical_groups:\n  a: { \
                servers: [a1], logic_groups: \"0-16\" }\n";
    std::fs::write(&path, fine).expect("write");
    let (status, text) = fdht(&["topology", "check", file]);
    assert_eq!(status, Some(0), "{text}");

    std::fs::write(&path, fine.replace("0-16", "0-15").replace("voters", "votres")).expect("write");
    let (status, text) = fdht(&["topology", "check", file]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("votres") && text.contains("16"), "all problems at once: {text}");
    let (status, text) = fdht(&["topology", "check", file, "-o", "json"]);
    assert_eq!(status, Some(1), "{text}");
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert!(value["problems"].as_array().expect("a list").len() >= 2, "{value}");
}

#[test]
fn dev_refuses_before_it_starts_anything() {
    let dir = tempfile::tempdir().expect("a folder");
    let root = dir.path().join("cluster");
    let root = root.to_str().expect("UTF-8");
    let (status, text) = fdht(&["dev", "--dir", root, "stop", "a1"]);
    assert_eq!(status, Some(3), "{text}");
    let (status, text) = fdht(&["dev", "--dir", root, "--groups", "3", "--logic-groups", "2"]);
    assert_eq!(status, Some(2), "{text}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = taken.local_addr().expect("its address").port().to_string();
    let (status, text) = fdht(&["dev", "--dir", root, "--port", &port, "--admin-port", "0"]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains(&port) && text.contains("--port"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    let logs = std::fs::read_dir(dir.path().join("cluster/logs")).expect("the folder is there");
    assert_eq!(logs.count(), 0, "nothing was started");
    for name in ["settings.json", "topology.yaml"] {
        let path = dir.path().join("cluster").join(name);
        assert!(!path.exists(), "{name} keeps what was refused");
    }
}

/// An admin port that gives the same answers for ever; 404 where there is none.
fn serve(answer: impl Fn(&str) -> Option<(u16, String)> + Send + 'static) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("its address").to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut line = String::new();
            let mut input = BufReader::new(stream.try_clone().expect("clone a socket"));
            input.read_line(&mut line).expect("a request line");
            let mut header = String::new();
            while header != "\r\n" {
                header.clear();
                input.read_line(&mut header).expect("a header");
            }
            let target = line.split(' ').nth(1).expect("a target");
            let missing = || (404, r#"{"error":"no such path"}"#.to_owned());
            let (status, body) = answer(target).unwrap_or_else(missing);
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).expect("answer");
        }
    });
    address
}

/// The admin port of a server of physical group a, which leads its own lane.
fn node(index: usize) -> String {
    serve(move |target| {
        let lane = |at: usize| {
            let (role, phase) =
                if at == index { ("leading", "serving") } else { ("following", "pulling") };
            json!({ "server_index": at, "role": role, "phase": phase, "since_epoch": 1,
                    "lease_ms": 1_200, "followers": [] })
        };
        let group = json!([{ "group": 0, "register_epoch": 1, "in_step": ["a1", "a2"],
                             "stopped": null, "lanes": [lane(0), lane(1)] }]);
        match target {
            "/v1/groups" => Some((200, group.to_string())),
            "/v1/peers" => Some((200, "[]".to_owned())),
            _ => None,
        }
    })
}

/// The admin port of a proxy of the servers a1 and a2: all is well, or a2 is down.
fn admin(is_ready: bool) -> String {
    let a2 = if is_ready { node(1) } else { nobody() };
    let topology = json!({
        "cluster": "dev", "epoch": 7, "hash": "00000000000000ab", "logic_groups": 1,
        "source": "topology.yaml", "last_error": "line 3: epoch: falls", "namespaces": {},
        "servers": { "a1": { "admin": node(0) }, "a2": { "admin": a2 } },
        "physical_groups": { "a": { "servers": ["a1", "a2"], "logic_groups": "0" } },
    });
    let lane = |server: &str, state: &str| json!({ "server": server, "leader": server, "since_epoch": 1, "state": state, "waiting": 0 });
    let lanes = [lane("a1", "up"), lane("a2", if is_ready { "up" } else { "down" })];
    let groups = json!([{ "group": 0, "physical_group": "a", "lanes": lanes }]);
    serve(move |target| {
        let (status, body) = match target {
            "/readyz" if is_ready => (200, r#"{"ready":true,"detail":[]}"#.to_owned()),
            "/readyz" => (503, r#"{"ready":false,"detail":["node a2 is down"]}"#.to_owned()),
            "/version" => (200, r#"{"name":"fdht-proxy","version":"0.1.0"}"#.to_owned()),
            "/v1/topology" => (200, topology.to_string()),
            "/v1/nodes" => (200, NODES.to_owned()),
            "/v1/groups" => (200, groups.to_string()),
            "/v1/where?ns=files&obj=%2Fusr%2Fbin&field=a%20%FF" | "/v1/where?ns=&obj=x" => {
                (200, PLACE.to_owned())
            }
            _ => return None,
        };
        Some((status, body))
    })
}

const NODES: &str = r#"[{"id":"a1","address":"127.0.0.1:1","admin":"127.0.0.1:2","state":"up",
    "in_flight":0,"requests":5,"failures":0,"last_error":null}]"#;
const PLACE: &str = r#"{"namespace":"files","object":"/usr/bin","field_hex":"6120ff","hash":77,
    "logic_group":9,"physical_group":"b","server":"b2","address":"127.0.0.1:3","lane":1}"#;

#[test]
fn status_shows_the_cluster_and_says_by_its_status_whether_all_is_well() {
    let (status, text) = fdht(&["status", "--admin", &admin(true)]);
    assert_eq!(status, Some(0), "{text}");
    for part in ["cluster dev epoch 7", "a1", "2 of 2", "1200 ms", "line 3: epoch: falls"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (status, text) = fdht(&["status", "--admin", &admin(false)]);
    assert_eq!(status, Some(1), "{text}");
    let away = ["NOT READY", "node a2 is down", "0/a2 down", "unreachable", "a2 cannot be asked"];
    for part in away.into_iter().chain(["the lane of a2 has no leader"]) {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (status, text) = fdht(&["status", "-o", "json", "--admin", &admin(false)]);
    assert_eq!(status, Some(1));
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&value["ready"], &value["topology"]["epoch"]), (&false.into(), &7.into()));
    assert_eq!(value["problems"].as_array().map(Vec::len), Some(2), "{value}");
}

#[test]
fn where_shows_the_place_of_names_of_any_bytes() {
    let address = admin(true);
    let field = OsStr::from_bytes(b"a \xff");
    let output = Command::new(env!("CARGO_BIN_EXE_fdht"))
        .args(["where", "files", "/usr/bin"])
        .arg(field)
        .args(["--admin", &address])
        .output()
        .expect("run fdht");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{text}");
    assert!(text.contains("b2") && text.contains("0x6120ff"), "{text}");
    assert_eq!(fdht(&["where", "-", "x", "--admin", &address]).0, Some(0));
    let (status, text) = fdht(&["where", "", "y", "--admin", &address]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("404: no such path"), "{text}");
}
