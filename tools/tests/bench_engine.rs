//! `fdht bench engine` as a process, small: that it runs, measures what it says, and leaves nothing
//! behind. Nothing here depends on how fast anything is.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const FDHT: &str = env!("CARGO_BIN_EXE_fdht");

fn command(dir: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(FDHT);
    command.args(["bench", "engine", "--dir"]).arg(dir).args(flags);
    command
}

fn engine(dir: &Path, flags: &[&str]) -> Output {
    command(dir, flags).output().expect("run fdht")
}

/// The Markdown of a run that went well.
fn measured(dir: &Path, flags: &[&str]) -> String {
    let output = engine(dir, flags);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The cells behind the first one of the row that begins with `name`, in the case's section.
fn cells<'t>(text: &'t str, case: &str, name: &str) -> Vec<&'t str> {
    let title = format!("## {case}:");
    let section = text.split("\n## ").find(|s| title.ends_with(s.split_at(case.len() + 1).0));
    let section = section.unwrap_or_else(|| panic!("no {case} in {text}"));
    let row = section.lines().find(|line| line.starts_with(&format!("| {name} |")));
    let row = row.unwrap_or_else(|| panic!("no row {name} in {section}"));
    row.trim_matches('|').split('|').map(str::trim).skip(1).collect()
}

/// A cell that is a number.
fn number(cell: &str) -> f64 {
    cell.parse().unwrap_or_else(|e| panic!("{cell}: {e}"))
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).expect("the folder is there").next().is_none()
}

#[test]
fn every_case_runs_and_finds_what_it_wrote() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = measured(dir.path(), &["--scale", "small", "--rounds", "1"]);
    assert_eq!(text.matches("\nChecked: ").count(), 9, "{text}");
    for case in ["puts", "zipf"] {
        let engine: Vec<f64> = cells(&text, case, "engine").into_iter().map(number).collect();
        let [rate, cpu, written, p50, p99, p999, max, pause, flushed, resident] = engine[..] else {
            panic!("{engine:?}");
        };
        assert!(rate > 0.0 && cpu > 0.0 && resident > 0.0, "{engine:?}");
        // The log alone has more than key and value of each operation.
        assert!(written > 140.0, "{engine:?}");
        assert!(p50 <= p99 && p99 <= p999 && p999 <= max && pause <= max + 1.0, "{engine:?}");
        assert!(flushed > 0.0 && flushed <= 1.0, "{engine:?}");
        assert!(number(cells(&text, case, "plain redb")[0]) > 0.0);
    }
    for side in ["engine: record", "engine: GET evaluated", "plain redb: get"] {
        assert_eq!(cells(&text, "reads", side)[2], "20000", "{text}");
    }
    assert_eq!(cells(&text, "memtable", "1000")[4], "50000");
    assert_eq!(cells(&text, "range", "file")[2], "10000");
    let one = cells(&text, "always", "1 writer")[4];
    // The clock asks for syncs as well.
    assert!(number(one) <= 1.0, "a sync for each write of one writer: {one}");
    assert!(number(cells(&text, "always", "64 writers")[4]) >= 1.0);
    assert!(number(cells(&text, "density", "2000")[0]) > 0.0);
    for place in ["memtable", "file"] {
        let row = cells(&text, "expiry", &format!("{place}, while"));
        let row: Vec<f64> = row.into_iter().map(number).collect();
        let [rate, p50, p99, p999, max, gone, cpu] = row[..] else { panic!("{row:?}") };
        assert!(rate > 0.0 && gone > 0.0 && cpu > 0.0, "{row:?}");
        assert!(p50 <= p99 && p99 <= p999 && p999 <= max, "{row:?}");
    }
    assert!(text.contains("4000 objects counted before the expiry, 2000 when"), "{text}");
    assert!(text.contains("32 groups counted their 100 keys"), "{text}");
    assert!(is_empty(dir.path()), "the files are removed");
}

#[test]
fn flags_change_what_is_measured() {
    let dir = tempfile::tempdir().expect("a folder");
    let sizes = ["--keys", "3000", "--value-size", "20", "--groups", "4", "--turn", "7"];
    let flow = ["--mix", "50%set", "--ops", "5001", "--sync", "always", "--memory", "64KiB"];
    let rest = ["--case", "zipf,puts", "--rounds", "1", "--cache", "8MiB", "--log-limit", "1MiB"];
    let text = measured(dir.path(), &[&sizes[..], &flow, &rest].concat());
    assert!(text.contains("20-byte values, 4 group(s), page cache 8 MiB"), "{text}");
    assert!(text.contains("50% SET of 3000 keys, uniform; flushes above 64KiB."), "{text}");
    assert!(text.contains("has 5001 operations"), "{text}");
    let (puts, zipf) = (text.find("## puts"), text.find("## zipf"));
    assert!(puts.is_some() && puts < zipf, "in their own order: {text}");
    assert!(!text.contains("## reads"), "{text}");
}

#[test]
fn what_cannot_be_measured_is_said_clearly() {
    let dir = tempfile::tempdir().expect("a folder");
    for (flags, status, text) in [
        (&["--case", "writes"][..], 2, "possible values: open, memtable, range, always, puts"),
        (&["--scale", "huge"], 2, "possible values: small, full"),
        (&["--sync", "sometimes"], 2, "write one of: none, everysec, always"),
        (&["--keys", "5"], 2, "5 is not in 1000..=1000000000"),
        (&["--mix", "20%set"], 2, "--mix with reads needs --ops or --seconds"),
        (&["--memtable-entries", "50000"], 2, "never fill with 20000 keys"),
        (&["--memory", "1GiB", "--memtable-entries", "500"], 2, "cannot be used with"),
        (&["--cache", "3G"], 2, "KiB, MiB, GiB or TiB"),
    ] {
        let output = engine(dir.path(), flags);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{flags:?}: {said}");
        assert!(said.contains(text), "{flags:?}: {said}");
    }
    let absent = dir.path().join("absent");
    let output = engine(&absent, &["--case", "range"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("absent") && said.contains("(--dir)"), "{said}");
    assert!(is_empty(dir.path()));
}

#[test]
fn a_killed_measurement_leaves_no_files() {
    let dir = tempfile::tempdir().expect("a folder");
    let flags = ["--case", "puts", "--seconds", "3600"];
    let mut child =
        command(dir.path(), &flags).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("round 1")), "it writes");
    assert!(!is_empty(dir.path()));
    child.kill().unwrap();
    child.wait().unwrap();
    let deadline = now() + Duration::from_secs(30);
    while !is_empty(dir.path()) {
        assert!(now() < deadline, "the folder stays");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's deadline")]
fn now() -> Instant {
    Instant::now()
}
