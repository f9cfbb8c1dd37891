//! `fdht binlog`: the log of a real node, while it runs, after it was stopped, and damaged.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use harness::lone::LoneSite;
use harness::process::{command, finish};
use harness::{Finished, fdht, wait_until};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(30);
const KEYS: usize = 2_000;

/// A node with a log to look at.
struct Site(LoneSite);

impl Site {
    fn new() -> Self {
        Self(LoneSite::start("128MiB"))
    }

    fn write(&self) {
        let mut resp = self.0.resp();
        for number in 0..KEYS {
            let key = format!("key {number}");
            assert_eq!(resp.call(&["SET", &key, &format!("value of {number}")]), "OK");
        }
        assert_eq!(resp.call(&["HSET", "größe", "tief", "3 m"]), 1);
        assert_eq!(resp.call(&["DEL", "key 0"]), 1);
    }

    fn stop(&mut self) {
        self.0.stop();
    }

    fn dir(&self) -> &str {
        self.0.node.dir.to_str().unwrap()
    }

    fn verify(&self) -> Finished {
        fdht(["binlog", "verify", self.dir()])
    }

    fn segment(&self) -> PathBuf {
        self.0.node.dir.join("log").join("0000000000000001.binlog")
    }

    fn flip(&self, offset: usize) {
        let mut bytes = fs::read(self.segment()).unwrap();
        bytes[offset] ^= 0x10;
        fs::write(self.segment(), bytes).unwrap();
    }
}

fn lines(dumped: &str) -> Vec<Value> {
    dumped.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the dump says of the value of every object's unnamed field.
fn values(lines: &[Value]) -> BTreeSet<(String, String)> {
    let mutations = lines.iter().filter_map(|line| line["mutations"].as_array()).flatten();
    let set = mutations.filter(|change| change["op"] == "set" && change.get("field").is_none());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    set.map(|change| (text(&change["obj"]), text(&change["value"]))).collect()
}

/// Every file below a folder with its bytes and the time of its last change.
fn image(folder: &Path) -> Vec<(PathBuf, Vec<u8>, SystemTime)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let changed = entry.metadata().unwrap().modified().unwrap();
                files.push((entry.path(), fs::read(entry.path()).unwrap(), changed));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn the_log_of_a_stopped_node_is_verified_and_shown_and_a_flipped_byte_is_found() {
    let mut site = Site::new();
    site.write();
    site.stop();
    let before = image(&site.0.node.dir);

    let summary = site.verify().ok();
    assert!(summary.trim_end().ends_with(": fine"), "{summary}");
    let dumped = lines(&fdht(["binlog", "dump", "--json", "--values", site.dir()]).ok());
    let written: BTreeSet<_> =
        (0..KEYS).map(|i| (format!("key {i}"), format!("value of {i}"))).collect();
    assert_eq!(values(&dumped), written);
    let text = fdht(["binlog", "dump", site.dir()]).ok();
    assert!(text.contains("set \"\" \"größe\" \"tief\" 3 bytes"), "a hash is there");
    assert!(text.contains("delete \"\" \"key 0\""), "a deletion is there");
    assert!(!text.contains("value of 7"), "values only when they are asked for");
    assert!(image(&site.0.node.dir) == before, "only read");

    let middle = dumped.iter().find(|line| line["kind"] == "write" && line["lsn"] == 40).unwrap();
    let offset = middle["offset"].as_u64().unwrap();
    site.flip(usize::try_from(offset).unwrap() + 30);
    let file = site.segment();
    let place = format!("log file {} is damaged at offset {offset}", file.display());
    let verified = site.verify();
    assert_eq!(verified.status, Some(1), "{verified:#?}");
    assert!(verified.stdout.contains(&format!("damage: {place}")), "{verified:#?}");
    assert!(verified.stdout.contains("re-create the node from its peers"), "{verified:#?}");
    fdht(["binlog", "dump", site.dir()]).refused(1, &[&place]);
    finish(command(site.0.node.words())).refused(1, &[&place]);
    // As one file, without the others of the folder.
    assert_eq!(fdht(["binlog", "verify", file.to_str().unwrap()]).status, Some(1));

    site.flip(usize::try_from(offset).unwrap() + 30);
    site.verify().ok();
}

#[test]
fn a_flip_in_the_last_record_is_a_torn_end_and_the_node_starts() {
    let mut site = Site::new();
    site.write();
    site.stop();
    let dumped = lines(&fdht(["binlog", "dump", "--json", site.dir()]).ok());
    let last = dumped.iter().rev().find(|line| line["kind"] == "write").unwrap();
    let offset = last["offset"].as_u64().unwrap();
    site.flip(usize::try_from(offset).unwrap() + 30);
    let summary = site.verify().ok();
    let says =
        format!("note: log file {} has a torn end at offset {offset}", site.segment().display());
    assert!(summary.contains(&says), "{summary}");
    let mut node = site.0.node.start();
    wait_until("the cut is told", SOON, || node.output().contains("cut a torn tail off the log"));
    node.kill();
    let summary = site.verify().ok();
    assert!(!summary.contains("note:"), "{summary}");
}

#[test]
fn the_log_of_a_running_node_can_be_read() {
    let site = Site::new();
    site.write();
    site.verify().ok();
    let dumped = lines(&fdht(["binlog", "dump", "--json", "--values", site.dir()]).ok());
    assert_eq!(values(&dumped).len(), KEYS);
    let output = site.0.running.output();
    assert!(!output.contains("ERROR"), "{output}");
    assert_eq!(site.0.resp().call(&["GET", "key 1"]), "value of 1");
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_dump_quietly() {
    let mut site = Site::new();
    site.write();
    site.stop();
    let mut dump = command(["binlog", "dump", site.dir()]);
    let mut child = dump.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    assert!(first.starts_with("1:4096 "), "{first}");
    drop(out);
    let mut warnings = String::new();
    child.stderr.take().unwrap().read_to_string(&mut warnings).unwrap();
    assert_eq!((child.wait().unwrap().code(), warnings.as_str()), (Some(0), ""));
}

#[test]
fn what_is_no_log_is_told_with_its_status() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fdht(["binlog", "verify", &path("nothing")]).refused(2, &["fdht binlog verify", "nothing"]);
    fdht(["binlog", "dump", &path("nothing")]).refused(2, &["fdht binlog dump", "nothing"]);
    fs::create_dir(path("empty")).unwrap();
    fdht(["binlog", "dump", &path("empty")]).refused(1, &["holds no log", &path("empty")]);
    fs::write(path("photo.jpg"), "x".repeat(5000)).unwrap();
    let words = ["photo.jpg", "offset 0", "does not begin like a log segment"];
    fdht(["binlog", "dump", &path("photo.jpg")]).refused(1, &words);
    let verified = fdht(["binlog", "verify", &path("photo.jpg")]);
    assert_eq!(verified.status, Some(1));
    assert!(words.iter().all(|word| verified.stdout.contains(word)), "{verified:#?}");
}
