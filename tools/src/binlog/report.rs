//! What `fdht binlog verify` says of a log.

use common::version::Hlc;
use serde_json::{Value, json};

use super::format::LogPosition;
use super::text::{hlc, position, time};
use super::verify::{Findings, Weight};
use crate::console;

/// For people.
pub(super) fn as_text(findings: &Findings) -> String {
    let Findings { identity, segments, numbers, records, marks, seals, .. } = findings;
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    if let Some(whose) = identity {
        row("log of", format!("{} in {}, store {}", whose.node, whose.cluster, whose.store));
    }
    let numbers = numbers.map_or(String::new(), |(first, last)| format!(" ({first} to {last})"));
    row("segments", format!("{segments}{numbers}"));
    row("bytes", format!("{} in files of {}", findings.frame_bytes, findings.file_bytes));
    row(
        "frames",
        format!("{}, {}, {}", many(*records, "record"), many(*marks, "mark"), many(*seals, "seal")),
    );
    if let Some(end) = findings.end {
        row("end", position(end));
    }
    if let Some((first, last)) = findings.streams.times() {
        row("time", format!("{} to {}", hlc(first), hlc(last)));
    }
    let mut text = console::table(&[&findings.folder.display().to_string(), ""], rows);
    let streams: Vec<Vec<String>> = streams(findings);
    if !streams.is_empty() {
        let header = ["lane", "epoch", "first lsn", "last lsn", "records", "from", "to"];
        text.push('\n');
        text.push_str(&console::table(&header, streams));
    }
    for problem in &findings.problems {
        text.push_str(&format!("\n{}: {}", problem.weight.word(), problem.text));
    }
    text.push('\n');
    text.push_str(&format!("{}: {}", findings.folder.display(), judgement(findings)));
    text
}

fn streams(findings: &Findings) -> Vec<Vec<String>> {
    let row = |(stream, kept): (common::ids::Stream, &super::streams::Kept)| {
        vec![
            format!("{}.{}", stream.lane.group.0, stream.lane.server.0),
            stream.epoch.0.to_string(),
            kept.first.0.to_string(),
            kept.last.0.to_string(),
            kept.records.to_string(),
            hlc(kept.times.0),
            hlc(kept.times.1),
        ]
    };
    findings.streams.iter().map(row).collect()
}

/// The last line: whether a node starts on this log.
fn judgement(findings: &Findings) -> String {
    let count = |weight| findings.problems.iter().filter(|p| p.weight == weight).count() as u64;
    match (count(Weight::Damage), count(Weight::Unreadable)) {
        (0, 0) => "fine".to_owned(),
        (0, unread) => format!("{} could not be read, the rest is fine", many(unread, "file")),
        (damage, 0) => {
            format!("damaged: a start of the node refuses it ({})", many(damage, "problem"))
        }
        (damage, unread) => format!(
            "damaged: a start of the node refuses it ({}; {} could not be read)",
            many(damage, "problem"),
            many(unread, "file"),
        ),
    }
}

fn many(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// For programs.
pub(super) fn as_json(findings: &Findings) -> Value {
    let time_of = |at: Hlc| time(at.ms());
    let place = |at: LogPosition| json!({"segment": at.segment, "offset": at.offset});
    let streams = findings.streams.iter().map(|(stream, kept)| {
        json!({
            "group": stream.lane.group.0, "server": stream.lane.server.0, "epoch": stream.epoch.0,
            "first_lsn": kept.first.0, "last_lsn": kept.last.0, "records": kept.records,
            "from": time_of(kept.times.0), "to": time_of(kept.times.1),
        })
    });
    let problems = findings
        .problems
        .iter()
        .map(|problem| json!({"kind": problem.weight.word(), "text": problem.text}));
    json!({
        "folder": findings.folder.to_string_lossy(),
        "ok": findings.problems.iter().all(|problem| problem.weight == Weight::Passing),
        "node": findings.identity.map(|whose| whose.node.0),
        "cluster": findings.identity.map(|whose| whose.cluster.0),
        "store": findings.identity.map(|whose| whose.store.to_string()),
        "segments": findings.segments,
        "first_segment": findings.numbers.map(|(first, _)| first),
        "last_segment": findings.numbers.map(|(_, last)| last),
        "file_bytes": findings.file_bytes,
        "frame_bytes": findings.frame_bytes,
        "records": findings.records,
        "marks": findings.marks,
        "seals": findings.seals,
        "end": findings.end.map(place),
        "from": findings.streams.times().map(|(first, _)| time_of(first)),
        "to": findings.streams.times().map(|(_, last)| time_of(last)),
        "streams": streams.collect::<Value>(),
        "problems": problems.collect::<Value>(),
    })
}
