//! The output of both commands for `storage-node/tests/golden/segment.hex`, and for what becomes of
//! it when it is damaged.

use std::path::{Path, PathBuf};

use clap::Parser;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::args::DumpArgs;
use super::dump::dump;
use super::outcome::Outcome;
use super::place::Place;
use super::report;
use super::verify::{Weight, verify};

const FILE: &str = include_str!("../../../storage-node/tests/golden/segment.hex");
const BYTES: usize = 8192;
const NAME: &str = "0000000000000001.binlog";

/// The file's bytes: each case at its offset, zeros elsewhere.
fn golden() -> Vec<u8> {
    let mut bytes = vec![0; BYTES];
    let mut at = 0;
    for line in FILE.lines() {
        let line = line.split('#').next().unwrap().trim();
        if let Some(name) = line.strip_prefix('[') {
            at = name.split(' ').next().unwrap().parse().unwrap();
            continue;
        }
        for byte in line.split_whitespace() {
            bytes[at] = u8::from_str_radix(byte, 16).unwrap();
            at += 1;
        }
    }
    bytes
}

/// Makes this the only frame of a segment.
fn put_frame(bytes: &mut [u8], body: &[u8], checksum: u32) {
    bytes[4096..].fill(0);
    let length = u32::try_from(body.len()).unwrap();
    bytes[4096..4100].copy_from_slice(&length.to_le_bytes());
    bytes[4100..4104].copy_from_slice(&checksum.to_le_bytes());
    bytes[4104..4104 + body.len()].copy_from_slice(body);
}

/// A folder with the golden segment after a change.
fn folder(change: impl FnOnce(&mut Vec<u8>)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = golden();
    change(&mut bytes);
    std::fs::write(folder.path().join(NAME), bytes).unwrap();
    folder
}

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: DumpArgs,
}

/// Standard output, standard error and outcome of a dump.
fn dumped(path: &Path, flags: &[&str]) -> (String, Vec<String>, Outcome) {
    let words = ["dump", path.to_str().unwrap()];
    let Cli { args } = Cli::parse_from(words.iter().chain(flags));
    let (mut out, mut warnings, mut lines) = (Vec::new(), Vec::new(), 0);
    let mut outcome = Outcome::default();
    for place in Place::all(&args.paths).unwrap() {
        let mut warn = |text| warnings.push(text);
        outcome.add(dump(&place, &args, &mut lines, &mut out, &mut warn).unwrap());
    }
    (String::from_utf8(out).unwrap(), warnings, outcome)
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join(NAME)
}

const START: &str = "1:4096 12.1 epoch 9 lsn 1 2026-01-02T03:04:05.678Z node#2899718708 start, 2 older streams end 1:42 4:7\n";
const MARK: &str = "1:4192 mark durable to 1:4192\n";
const OBJECT: &str = r#"1:4217 12.1 epoch 9 lsn 2 2026-01-02T03:04:05.678Z+1 node#2899718708 request 0102030405060708090a0b0c0d0e0f10 open 0: header "files" "/usr/bin" cleared up to epoch 4 2026-01-02T03:04:04.678Z node#2899718708; set "files" "/usr/bin" "ls" 6 bytes expires 2030-01-01T00:00:00.000Z"#;
const BINARY: &str = r#"1:4431 12.1 epoch 9 lsn 3 2026-01-02T03:04:05.678Z+2 node#2899718708 request 0102030405060708090a0b0c0d0e0f11 open 1: delete "" "k1"; set "\x00\xff" "\xff\x00" "\x00\x01\xff" 2 bytes"#;
const SEAL: &str = "1:4584 seal durable to 1:4192\n";

#[test]
fn every_frame_is_one_line() {
    let folder = folder(|_| ());
    let (text, warnings, outcome) = dumped(&file(&folder), &[]);
    assert_eq!(text, [START, MARK, OBJECT, "\n", BINARY, "\n", SEAL].concat());
    assert_eq!((warnings, outcome), (Vec::new(), Outcome::default()));

    let (text, ..) = dumped(&file(&folder), &["--values", "--group", "12"]);
    let (object, binary) = (r#" "a \"b\"\n""#, r#" "\x00\xff""#);
    assert_eq!(text, [START, OBJECT, object, "\n", BINARY, binary, "\n"].concat());
}

#[test]
fn a_part_of_the_frames_can_be_asked_for() {
    let folder = folder(|_| ());
    let lines = |flags: &[&str]| dumped(&file(&folder), flags).0;
    assert_eq!(lines(&["--limit", "2"]), [START, MARK].concat());
    assert_eq!(lines(&["--from", "1:4193", "--limit", "1"]), [OBJECT, "\n"].concat());
    assert_eq!(lines(&["--lsn", "3"]), [BINARY, "\n"].concat());
    assert_eq!(lines(&["--lane", "12.1", "--lsn", "1"]), START);
    for none in [["--lane", "12.0"], ["--group", "11"], ["--lsn", "4"], ["--from", "2:0"]] {
        assert_eq!(lines(&none), "", "{none:?}");
    }
}

#[test]
fn every_frame_is_one_json_object() {
    let folder = folder(|_| ());
    let (text, ..) = dumped(&file(&folder), &["--json", "--values"]);
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let head = |offset: u64, bytes: u64, kind: &str, lsn: u64, more: Value| {
        let mut line = json!({
            "segment": 1, "offset": offset, "bytes": bytes, "kind": kind,
            "group": 12, "server": 1, "epoch": 9, "lsn": lsn, "time": "2026-01-02T03:04:05.678Z",
            "time_ms": 1_767_323_045_678_u64, "counter": lsn - 1, "node": 2_899_718_708_u64,
        });
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line
    };
    let durable = json!({"segment": 1, "offset": 4192});
    let cleared = "0000000000000004019b7ca98b460000acd63234";
    let expected = [
        head(
            4096,
            96,
            "start",
            1,
            json!({
                "open": 0, "ends": [{"epoch": 1, "lsn": 42}, {"epoch": 4, "lsn": 7}],
            }),
        ),
        json!({"segment": 1, "offset": 4192, "bytes": 25, "kind": "mark", "durable": durable}),
        head(
            4217,
            214,
            "write",
            2,
            json!({
                "open": 0, "request": "0102030405060708090a0b0c0d0e0f10", "answer_bytes": 2, "mutations": [
                    {"op": "header", "ns": "files", "obj": "/usr/bin", "cleared": cleared},
                    {"op": "set", "ns": "files", "obj": "/usr/bin", "field": "ls", "value": "a \"b\"\n",
                     "value_bytes": 6, "expire_at_ms": 1_893_456_000_000_u64},
                ],
            }),
        ),
        head(
            4431,
            153,
            "write",
            3,
            json!({
                "open": 1, "request": "0102030405060708090a0b0c0d0e0f11", "answer_bytes": 0, "mutations": [
                    {"op": "delete", "obj": "k1"},
                    {"op": "set", "ns_base64": "AP8=", "obj_base64": "/wA=", "field_base64": "AAH/",
                     "value_base64": "AP8=", "value_bytes": 2},
                ],
            }),
        ),
        json!({"segment": 1, "offset": 4584, "bytes": 25, "kind": "seal", "durable": durable}),
    ];
    assert_eq!(lines, expected);
    let (text, ..) = dumped(&file(&folder), &["--json"]);
    assert!(!text.contains("\"value\"") && !text.contains("value_base64"), "{text}");
    assert!(text.contains("\"value_bytes\":6"), "{text}");
}

#[test]
fn damage_is_told_beside_what_is_left() {
    let folder = folder(|bytes| bytes[4217 + 60] ^= 1);
    let (text, warnings, outcome) = dumped(&file(&folder), &[]);
    assert_eq!(text, [START, MARK, BINARY, "\n", SEAL].concat());
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains(NAME) && warnings[0].contains("damaged at offset 4217"));
    assert_eq!(outcome, Outcome { damage: true, unreadable: false });
}

#[test]
fn a_whole_frame_that_is_no_record_is_damage() {
    // A record kind that nobody knows, under a checksum that fits.
    let folder = folder(|bytes| put_frame(bytes, b"\x09strange", 0xf292_f4aa));
    let (text, warnings, outcome) = dumped(&file(&folder), &[]);
    assert_eq!((warnings, outcome.damage), (Vec::new(), true));
    assert_eq!(text, "1:4096 8 bytes that are no record: record kind has the unknown value 9\n");
    let findings = verify(&Place::all(&[file(&folder)]).unwrap()[0]);
    assert_eq!(findings.problems[0].weight, Weight::Damage);
    let says = ["record at offset 4096", "no record: record kind", "the version that wrote it"];
    assert!(says.iter().all(|word| findings.problems[0].text.contains(word)), "{findings:?}");
}

#[test]
fn a_stream_without_its_first_records_is_damage_where_nothing_has_left_the_log() {
    // lsn 42 of stream 12.1@1, without mutations.
    let record = [
        &[1, 12, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 42, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 147, 1][..],
        &[0x34, 0x32, 0xd6, 0xac, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1],
        &[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    let folder = folder(|bytes| put_frame(bytes, &record.concat(), 0x4569_b31e));
    let findings = verify(&Place::all(&[folder.path().to_owned()]).unwrap()[0]);
    let [problem] = &findings.problems[..] else { panic!("{findings:?}") };
    assert_eq!(problem.weight, Weight::Damage);
    let says = [
        NAME,
        "offset 4096",
        "lsn:42 of stream 12.1@1 follows lsn:0",
        "`Errors at start` in docs/OPERATIONS.md",
    ];
    assert!(says.iter().all(|word| problem.text.contains(word)), "{problem:?}");
}

#[test]
fn the_summary_has_all_that_the_segment_holds() {
    let folder = folder(|_| ());
    let findings = verify(&Place::all(&[file(&folder)]).unwrap()[0]);
    let text = report::as_text(&findings);
    for says in [
        "node#2711790500 in cluster#3250766788, store 00112233445566778899aabbccddeeff",
        "1 (1 to 1)",
        "513 in files of 8192",
        "3 records, 1 mark, 1 seal",
        "2026-01-02T03:04:05.678Z to 2026-01-02T03:04:05.678Z+2",
        ": fine",
    ] {
        assert!(text.contains(says), "{says:?} is not in\n{text}");
    }
    let all = report::as_json(&findings);
    assert_eq!((&all["ok"], &all["frame_bytes"]), (&json!(true), &json!(513)));
    let stream = &all["streams"][0];
    assert_eq!((&stream["first_lsn"], &stream["last_lsn"]), (&json!(1), &json!(3)));

    // As the whole log of a folder, the segment that its seal announces is missing.
    let findings = verify(&Place::all(&[folder.path().to_owned()]).unwrap()[0]);
    let [problem] = &findings.problems[..] else { panic!("{findings:?}") };
    assert!(problem.text.contains("0000000000000002.binlog is missing"), "{problem:?}");
    assert!(
        report::as_text(&findings).ends_with("damaged: a start of the node refuses it (1 problem)")
    );
}

#[test]
fn a_torn_end_is_a_note_and_a_lost_record_is_damage() {
    // Without the last two frames, and with half of the one before.
    let torn = folder(|bytes| bytes[4300..].fill(0));
    let findings = verify(&Place::all(&[torn.path().to_owned()]).unwrap()[0]);
    let [problem] = &findings.problems[..] else { panic!("{findings:?}") };
    assert_eq!((problem.weight, findings.outcome), (Weight::Passing, Outcome::default()));
    let says = [NAME, "torn end at offset 4217", "the next start of the node cuts it off"];
    assert!(says.iter().all(|word| problem.text.contains(word)), "{problem:?}");

    // The first record is gone, and others stand behind it in the same sector.
    let late = folder(|bytes| bytes[4096..4192].fill(0));
    let findings = verify(&Place::all(&[late.path().to_owned()]).unwrap()[0]);
    let [hole, ..] = &findings.problems[..] else { panic!("{findings:?}") };
    assert!(
        hole.text.contains("offset 4096") && hole.text.contains("a valid record follows"),
        "{hole:?}"
    );
    assert_eq!(findings.outcome, Outcome { damage: true, unreadable: false });
}

#[test]
fn a_file_that_cannot_be_read_is_unreadable_and_not_damaged() {
    let folder = folder(|_| ());
    let gone = folder.path().join("0000000000000002.binlog");
    std::os::unix::fs::symlink(folder.path().join("nowhere"), &gone).unwrap();
    let findings = verify(&Place::all(&[folder.path().to_owned()]).unwrap()[0]);
    assert_eq!(findings.outcome, Outcome { damage: false, unreadable: true });
    assert_eq!(findings.problems[0].weight, Weight::Unreadable);
    assert!(findings.problems[0].text.contains("check the disk and the permissions"));
}
