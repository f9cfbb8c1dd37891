//! Files of logic groups that were damaged while the node was down: a wrong answer is never given, and
//! what is wrong is said with the file's name.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::lone::LoneSite;
use harness::process::{command, finish};
use harness::resp::Value;
use harness::{Http, Running, fdht, wait_until};

const SOON: Duration = Duration::from_secs(30);
/// Several times what memtables may take of `--memory 32MiB`, so that most of it is in the files.
const KEYS: usize = 24_000;
/// Keys in a pipeline.
const PIPELINE: usize = 500;

fn key(number: usize) -> String {
    format!("key {number}")
}

/// About 1 KiB that no other key has.
fn value(number: usize) -> String {
    format!("value of {number}, ").repeat(64)
}

/// A site that was written to and whose node was stopped.
fn written() -> LoneSite {
    let mut site = LoneSite::start("32MiB");
    let mut resp = site.resp();
    for numbers in (0..KEYS).collect::<Vec<_>>().chunks(PIPELINE) {
        numbers.iter().for_each(|&n| resp.send(&["SET", &key(n), &value(n)]));
        numbers.iter().for_each(|_| assert_eq!(resp.read(), "OK"));
    }
    site.stop();
    site
}

/// How many keys were read with their value, and the errors that others were answered with. Panics
/// for any other answer.
fn read_all(site: &LoneSite) -> (usize, Vec<String>) {
    let mut resp = site.resp();
    let (mut right, mut errors) = (0, Vec::new());
    for numbers in (0..KEYS).collect::<Vec<_>>().chunks(PIPELINE) {
        numbers.iter().for_each(|&n| resp.send(&["GET", &key(n)]));
        for &number in numbers {
            match resp.read() {
                Value::Error(text) => errors.push(text),
                answer => {
                    assert_eq!(answer, value(number).as_str(), "{}", key(number));
                    right += 1;
                }
            }
        }
    }
    (right, errors)
}

/// The files of the groups, by name.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("groups")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The file with most bytes, and these.
fn largest(dir: &Path) -> (PathBuf, Vec<u8>) {
    let all = files(dir).into_iter().map(|path| (path.clone(), fs::read(path).unwrap()));
    all.max_by_key(|(_, bytes)| bytes.len()).unwrap()
}

fn find(bytes: &[u8], text: &str) -> Vec<usize> {
    let windows = bytes.windows(text.len()).enumerate();
    windows.filter(|(_, window)| *window == text.as_bytes()).map(|(at, _)| at).collect()
}

#[test]
fn bits_that_flip_while_a_node_runs_are_errors_and_stop_their_group_only() {
    let mut site = written();
    let (file, good) = largest(&site.node.dir);
    let places: Vec<_> = (0..KEYS).step_by(40).flat_map(|n| find(&good, &value(n))).collect();
    assert!(places.len() > 50, "most keys are in the files: {}", places.len());
    site.start_again();
    let changed = fs::OpenOptions::new().write(true).open(&file).unwrap();
    for at in places {
        changed.write_all_at(&[good[at + 9] ^ 1], (at + 9) as u64).unwrap();
    }

    let (right, errors) = read_all(&site);
    assert!(right > KEYS / 2, "the other groups serve: {right}");
    assert!(errors.len() > 100, "the group of the file does not: {}", errors.len());
    let wrong =
        errors.iter().find(|text| !text.starts_with("MISCONF") || !text.contains("stopped"));
    assert_eq!(wrong, None);
    let status = fdht(["status", "--admin", &site.proxy.admin]);
    assert_eq!(status.status, Some(1), "{status:#?}");
    assert!(status.stdout.contains("a1 has stopped"), "{status:#?}");
    let output = site.running.output();
    assert!(output.contains(file.to_str().unwrap()) && !output.contains("panicked"), "{output}");

    site.stop();
    fs::write(&file, &good).unwrap();
    site.start_again();
    assert_eq!(read_all(&site), (KEYS, Vec::new()));
}

#[test]
fn a_node_does_not_start_on_a_file_that_is_not_the_groups() {
    let mut site = written();
    let (file, good) = largest(&site.node.dir);
    let mut headless = good.clone();
    headless[..4096].fill(0);
    let damages = [
        ("empty", Vec::new()),
        ("half of it", good[..good.len() / 2].to_vec()),
        ("without its first page", headless),
        ("something else", b"#!/bin/sh\nexit 0\n".repeat(1000)),
    ];
    let refused = |words: &[&str]| finish(command(site.node.words())).refused(1, words);
    for (what, bytes) in damages {
        fs::write(&file, &bytes).unwrap();
        refused(&[file.to_str().unwrap(), "damaged", "`Errors at start` in docs/OPERATIONS.md"]);
        assert!(fs::read(&file).unwrap() == bytes, "the file that is {what} was changed");
    }
    fs::write(&file, &good).unwrap();

    let other = files(&site.node.dir).into_iter().find(|path| *path != file).unwrap();
    let exchange = || {
        let aside = site.folder().join("aside");
        fs::rename(&file, &aside).unwrap();
        fs::rename(&other, &file).unwrap();
        fs::rename(&aside, &other).unwrap();
    };
    exchange();
    refused(&[site.node.dir.to_str().unwrap(), "put the right file back in its place"]);
    exchange();
    site.start_again();
    assert_eq!(read_all(&site), (KEYS, Vec::new()));
}

/// Copies the data directory of a node that does not run.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn wherever_a_bit_of_a_groups_file_flips_no_answer_is_wrong() {
    let site = written();
    let whole = site.folder().join("whole");
    fs::rename(&site.node.dir, &whole).unwrap();
    let (largest, good) = largest(&whole);
    let file = site.node.dir.join("groups").join(largest.file_name().unwrap());
    // The checksums, the header with its two commit slots, and places all over the file.
    let heads = [3, 9, 130, 4096 + 3, 4096 + 9, 4096 + 70, 4096 + 199, 4096 + 510];
    let spread = (1..=10).map(|n| good.len() * n / 11 + n * 397);
    let mut refused = 0;
    for at in heads.into_iter().chain(spread) {
        copy(&whole, &site.node.dir);
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&file, &bad).unwrap();
        let mut node = Running::fdht(site.node.words());
        let live = Http::new(&site.node.admin);
        wait_until("the node is live, or has ended", SOON, || {
            node.try_end().is_some()
                || live.try_get("/livez").is_some_and(|reply| reply.status == 200)
        });
        if let Some(status) = node.try_end() {
            let output = node.output();
            assert_eq!(status.code(), Some(1), "byte {at}: {output}");
            assert!(output.contains(file.to_str().unwrap()), "byte {at}: {output}");
            refused += 1;
        } else {
            let first =
                || (0..50).any(|n| site.resp().call(&["GET", &key(n)]) == value(n).as_str());
            wait_until("the proxy reaches the node", SOON, first);
            let (right, _) = read_all(&site);
            assert!(right > KEYS / 2, "byte {at}: {right}");
            assert!(node.try_end().is_none(), "byte {at}: {}", node.output());
        }
        assert!(!node.output().contains("panicked at"), "byte {at}: {}", node.output());
        drop(node);
        fs::remove_dir_all(&site.node.dir).unwrap();
    }
    assert!(refused > 4, "{refused} starts were refused");
}
