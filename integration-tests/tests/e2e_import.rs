//! The main story: a real folder tree goes in, is read back through every protocol, and survives both
//! an ordinary stop and `kill -9` of everything in the middle of an import.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use harness::http::percent;
use harness::net_fault::Mode;
use harness::process::{Running, finish, program};
use harness::tree::Tree;
use harness::{
    Finished, Options, Relay, Resp, TestCluster, Value, fdht, unix_ms, wait_for, wait_until,
};

const LONG: Duration = Duration::from_secs(120);

fn path_text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

fn in_namespace(cluster: &TestCluster, namespace: &str) -> Resp {
    let mut resp = cluster.resp();
    assert_eq!(resp.call(&["SELECT", namespace]), "OK");
    resp
}

fn export(cluster: &TestCluster, namespace: &str) -> Vec<String> {
    let out = cluster.data_command(&["export", "--namespace", namespace]).ok();
    let mut lines: Vec<String> = out.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// The number in `imported N records`.
fn imported(out: &str) -> usize {
    let rest = out.strip_prefix("imported ").unwrap_or_else(|| panic!("{out}"));
    rest.split(' ').next().unwrap().parse().unwrap()
}

fn assert_tree_is_readable(cluster: &TestCluster, tree: &Tree) {
    let folder = tree.folder(7);
    let (folder, names) = (path_text(&folder), tree.names());
    // redis-cli: SELECT files, HGETALL of one folder.
    let listing = in_namespace(cluster, "files").call(&["HGETALL", folder]).pairs();
    let listed: Vec<String> = listing.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(listed, names);
    let about: serde_json::Value = serde_json::from_str(&listing[0].1.text()).unwrap();
    assert_eq!((&about["size"], &about["type"]), (&0.into(), &"file".into()));
    assert!(about["mtime"].is_i64() && about["mode"].is_u64(), "{about}");
    // The same listing over HTTP.
    let page = cluster.http().get(&format!("/v1/objects/files/{}", percent(folder))).expect(200);
    let page = page.json();
    let fields = page["fields"].as_array().unwrap();
    let same = fields
        .iter()
        .zip(&listing)
        .all(|(field, (name, value))| field["field"] == **name && field["value"] == *value.text());
    assert!(same && fields.len() == names.len());
    // FastDHT GET of one file.
    let value = cluster.fastdht().get("files", folder, &names[3]);
    assert_eq!(value, Ok(listing[3].1.text().into_bytes()));
    // Where it is.
    let place = cluster.operator(&["where", "files", folder, &names[3], "-o", "json"]).ok();
    let place: serde_json::Value = serde_json::from_str(&place).unwrap();
    assert_eq!((&place["object"], &place["field"]), (&folder.into(), &names[3].as_str().into()));
    assert!(cluster.nodes().iter().any(|id| place["server"] == **id), "{place}");
}

#[test]
fn a_tree_of_20000_entries_goes_in_is_read_everywhere_and_is_kept() {
    let mut cluster = Options::shape(2, 2, 17).start();
    let folder = tempfile::tempdir().unwrap();
    let tree = Tree::make(&folder.path().join("tree"), 200, 100);
    assert!(tree.entries() >= 20_000);
    let root = path_text(&tree.root);

    let out = cluster.data_command(&["import", "--namespace", "files", "--tree", root]).ok();
    assert_eq!(imported(&out), tree.entries(), "{out}");
    assert!(out.contains("0 unreadable, 0 failed"), "{out}");
    assert_tree_is_readable(&cluster, &tree);
    // `fdht export --namespace files | wc -l`, as a shell does it.
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "\"$0\" export --namespace files --proxy $1 | wc -l"]);
    shell.arg(program()).arg(cluster.address());
    assert_eq!(finish(shell).ok().trim(), imported(&out).to_string());
    let before = export(&cluster, "files");
    assert_eq!(before.len(), tree.entries());
    assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), tree.entries(), "each once");

    cluster.stop();
    cluster.start_again();
    assert_tree_is_readable(&cluster, &tree);
    assert!(export(&cluster, "files") == before, "all still there, nothing more");
    // Objects, not records, are what DBSIZE counts: the folders and the root.
    assert_eq!(in_namespace(&cluster, "files").call(&["DBSIZE"]), 201);
}

/// What the checkpoint file says is acknowledged.
fn acknowledged(path: &Path) -> Option<usize> {
    let text: serde_json::Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    usize::try_from(text["acknowledged"].as_u64()?).ok()
}

#[test]
fn kill_9_in_the_middle_of_an_import_loses_no_acknowledged_entry() {
    let mut cluster = Options::shape(2, 1, 7).start();
    let folder = tempfile::tempdir().unwrap();
    let tree = Tree::make(&folder.path().join("tree"), 200, 100);
    let checkpoint = folder.path().join("checkpoint");
    let words = [
        "import",
        "--namespace",
        "files",
        "--tree",
        path_text(&tree.root),
        "--checkpoint",
        path_text(&checkpoint),
    ];
    // Over a link so slow that the import is still under way after the first checkpoint.
    let relay = Relay::to(&cluster.address());
    relay.set(Mode::OneByOne);
    let slowly = ["--batch", "1", "--proxy", relay.address()];
    let mut import = Running::fdht(words.iter().chain(&slowly));
    wait_until("some of it is acknowledged", LONG, || {
        assert!(import.try_end().is_none(), "too early: {}", import.output());
        acknowledged(&checkpoint).is_some_and(|count| count > 0)
    });
    cluster.kill_everything();
    import.kill();

    let count = acknowledged(&checkpoint).unwrap();
    assert!(count < tree.entries(), "not in the middle: {count}");
    cluster.start_again();
    let mut resp = in_namespace(&cluster, "files");
    let entries = tree.walk();
    for chunk in entries[..count].chunks(500) {
        chunk.iter().for_each(|(object, name)| resp.send(&["HEXISTS", object, name]));
        for (object, name) in chunk {
            assert_eq!(resp.read(), 1, "{object} {name} was acknowledged and is lost");
        }
    }
    // The import goes on where it was.
    let out = cluster.data_command(&words).ok();
    assert!(out.contains(&format!("({count} were imported before)")), "{out}");
    assert_eq!(imported(&out), tree.entries() - count, "{out}");
    assert_eq!(export(&cluster, "files").len(), tree.entries());
}

#[test]
fn lines_of_both_forms_come_in_and_go_out_again() {
    let cluster = Options::small().start();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path_text(&path).to_owned()
    };
    let later = unix_ms() + 3_600_000;
    let lines = format!(
        "{{\"ns\":\"forms\",\"obj\":\"o\",\"field\":\"f\",\"value\":\"v\"}}\n\
         {{\"ns\":\"forms\",\"obj\":\"o\",\"field\":\"\",\"value\":\"empty name\"}}\n\
         {{\"ns\":\"forms\",\"obj\":\"s\",\"value\":\"a string\",\"expire_at_ms\":{later}}}\n\
         {{\"ns\":\"forms\",\"obj_base64\":\"/w==\",\"value_base64\":\"AAH/\"}}\n"
    );
    let out = cluster.data_command(&["import", &write("lines.jsonl", &lines)]).ok();
    assert_eq!(imported(&out), 4);
    let mut resp = in_namespace(&cluster, "forms");
    assert_eq!(resp.call(&["HGET", "o", "f"]), "v");
    assert_eq!(resp.call(&["HGET", "o", ""]), "empty name");
    assert!((3_590..=3_600).contains(&resp.call(&["TTL", "s"]).int()));
    assert_eq!(resp.call(&[b"GET", &b"\xff"[..]]), Value::Bulk(vec![0, 1, 255]));

    let tsv = "o2\tf\ta\\tb\\nc\\\\d\ns2\t\tunnamed\n";
    let from = write("lines.tsv", tsv);
    let words = ["import", "--namespace", "forms", "--format", "tsv", &from];
    assert_eq!(imported(&cluster.data_command(&words).ok()), 2);
    assert_eq!(resp.call(&["HGET", "o2", "f"]), "a\tb\nc\\d");
    assert_eq!(resp.call(&["GET", "s2"]), "unnamed");

    // Out of one namespace and into another, through a file.
    let path = folder.path().join("all.jsonl");
    let words = ["export", "--namespace", "forms", path_text(&path)];
    cluster.data_command(&words).ok();
    let words = ["import", "--namespace", "copy", path_text(&path)];
    assert_eq!(imported(&cluster.data_command(&words).ok()), 6);
    let [forms, copy] = ["forms", "copy"].map(|namespace| parsed(export(&cluster, namespace)));
    assert_eq!(forms.len(), 6);
    for (mut one, mut other) in forms.into_iter().zip(copy) {
        // Redis' commands tell an expiry as the time that is left, so a millisecond may be lost.
        let [mine, its] = [&mut one, &mut other].map(|record| record.remove("expire_at_ms"));
        let [mine, its] = [mine, its].map(|at| at.map_or(0, |at| at.as_u64().unwrap()));
        assert!(mine.abs_diff(its) <= 1_000, "{mine} {its}");
        assert_eq!(
            (one.remove("ns"), other.remove("ns")),
            (Some("forms".into()), Some("copy".into()))
        );
        assert_eq!(one, other);
    }
}

fn parsed(lines: Vec<String>) -> Vec<serde_json::Map<String, serde_json::Value>> {
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_field_keeps_its_own_expiry_on_the_way_out_and_in() {
    let cluster = Options::small().start();
    let http = cluster.http();
    let at = (unix_ms() + 3_600_000).to_string();
    let expires = [("Fdht-Expire-At-Ms", at.as_str())];
    http.send("PUT", "/v1/kv/from/o/dies", &expires, Some(b"v")).expect(204);
    http.put("/v1/kv/from/o/lives", "v").expect(204);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.jsonl");
    cluster.data_command(&["export", "--namespace", "from", path_text(&path)]).ok();
    cluster.data_command(&["import", "--namespace", "to", path_text(&path)]).ok();
    let expiry = |path: &str| http.get(path).expect(200).header("fdht-expire-at-ms").to_owned();
    assert_eq!(expiry("/v1/kv/to/o/dies"), at);
    assert_eq!(expiry("/v1/kv/to/o/lives"), "", "its neighbour's expiry is not its own");
}

#[test]
fn an_import_says_what_it_cannot_read_and_where() {
    let cluster = Options::small().start();
    let folder = tempfile::tempdir().unwrap();
    let import = |text: &str| -> Finished {
        let path = folder.path().join("input");
        fs::write(&path, text).unwrap();
        cluster.data_command(&["import", "--format", "jsonl", path_text(&path)])
    };
    let good = "{\"obj\":\"o\",\"value\":\"v\"}\n";
    for (bad, words) in [
        ("{\"obj\":\"o\",\"value\":}\n", ["line 3"].as_slice()),
        ("{\"obj\":\"o\"}\n", &["line 3", "value"]),
        ("{\"obj\":\"o\",\"value\":\"v\",\"nonsense\":1}\n", &["line 3", "nonsense"]),
        ("not json\n", &["line 3"]),
    ] {
        let finished = import(&format!("{good}{good}{bad}"));
        finished.says(words);
        assert_ne!(finished.status, Some(0), "{finished:?}");
    }
    let long = "k".repeat(9_000);
    let finished = import(&format!("{good}{{\"obj\":\"{long}\",\"value\":\"v\"}}\n"));
    finished.says(&["line 2", "8192"]);
    assert_eq!(finished.status, Some(1));
    let missing = cluster.data_command(&["import", "--tree", "/no/such/folder"]);
    missing.says(&["/no/such/folder"]);
    assert_ne!(missing.status, Some(0));
    let nobody = fdht(["export", "--proxy", "127.0.0.1:1"]);
    nobody.refused(3, &["127.0.0.1:1"]);
}

#[test]
fn an_import_goes_on_when_a_node_comes_back() {
    let cluster = Options::shape(1, 2, 5).start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines");
    let line = |n: usize| format!("{{\"obj\":\"key-{n}\",\"value\":\"{n}\"}}\n");
    fs::write(&path, (0..10_000).map(line).collect::<String>()).unwrap();
    let address = cluster.address();
    let words = ["import", path_text(&path), "--batch", "4", "--proxy", address.as_str()];
    let mut import = Running::fdht(words);
    let mut resp = cluster.resp();
    wait_until("it has begun", LONG, || match resp.call(&["DBSIZE"]) {
        Value::Int(count) => count > 200,
        _ => false,
    });
    cluster.kill("a2");
    wait_until("dev knows", LONG, || cluster.output().contains("a2 ended by itself"));
    cluster.ask_dev("start", "a2").ok();
    let status = import.wait_end(LONG);
    assert!(status.success(), "{}", import.output());
    let output = wait_for("its last line", LONG, || import.line("imported "));
    assert_eq!(imported(&output), 10_000, "{output}");
    assert_eq!(resp.call(&["DBSIZE"]), 10_000);
}
