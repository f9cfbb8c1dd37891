//! What is wrong with the files of a log is told by a start and by looking at it in the same words:
//! which file, where in it, and what to do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::ids::{ClusterId, NodeId};
use storage_node::binlog::{
    Inspector, Log, LogFs, LogIdentity, LogOptions, MemFs, RealFs, WhenAbsent,
};

use crate::support::{IDENTITY, OPTIONS, Seen, body, dir, open, segment_path};
use crate::watched::WatchedFs;

const DAMAGED: &str =
    "restore the file from a copy of this node, or re-create the node from its peers";

/// A log of three segments, all of it durable.
fn three_segments() -> MemFs {
    let fs = MemFs::new();
    let opened = open(&fs).unwrap();
    for number in 0..9 {
        let receipt = opened.append(&[body(number, 1200)]).unwrap();
        assert!(opened.sync(receipt.end));
    }
    assert_eq!(opened.log.appended().segment, 3);
    drop(opened);
    fs
}

fn with_change(segment: u64, change: impl FnOnce(&mut Vec<u8>)) -> MemFs {
    let fs = three_segments();
    let mut bytes = fs.bytes(&segment_path(segment));
    change(&mut bytes);
    fs.put_bytes(&segment_path(segment), bytes);
    fs
}

/// Looks at the log, then opens it: both must refuse it with all of `words`.
#[track_caller]
fn refused(fs: impl LogFs, dir: &Path, identity: LogIdentity, words: &[&str]) {
    let fs: Arc<dyn LogFs> = Arc::new(fs);
    let seen = Seen::of(Inspector::of_folder(Arc::clone(&fs), dir, Some(identity)));
    let options = LogOptions { when_absent: WhenAbsent::Refuse, ..OPTIONS };
    let error = Log::open(fs, dir, identity, options, &mut |_, _| Ok(())).err().unwrap();
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} is not in {error}");
    }
    assert!(seen.refused.contains(&error.to_string()), "{error} is not in {seen:?}");
}

#[track_caller]
fn refused_here(fs: impl LogFs, segment: u64, words: &[&str]) {
    let file = segment_path(segment);
    let words: Vec<&str> = words.iter().copied().chain([file.to_str().unwrap()]).collect();
    refused(fs, &dir(), IDENTITY, &words);
}

#[test]
fn a_missing_segment() {
    for segment in [2, 3] {
        let fs = three_segments();
        fs.remove(&segment_path(segment)).unwrap();
        refused_here(fs, segment, &["is missing", "put it back, or re-create the node"]);
    }
}

#[test]
fn every_one_of_several_missing_segments() {
    let fs = three_segments();
    fs.put_bytes(&segment_path(7), fs.bytes(&segment_path(3)));
    let seen = Seen::of(Inspector::of_folder(Arc::new(fs), &dir(), None));
    let missing = |segment| {
        let text = format!("{} is missing", segment_path(segment).display());
        seen.refused.iter().any(|refused| refused.contains(&text))
    };
    assert!((5..7).all(missing) && !missing(4) && !missing(8), "{:?}", seen.refused);
}

#[test]
fn a_log_of_another_node_or_cluster() {
    let other = LogIdentity { node: NodeId(5), ..IDENTITY };
    let path = segment_path(1);
    let file = path.to_str().unwrap();
    let words = ["node#2711790500, expected node#5", "start the node with its own", file];
    refused(three_segments(), &dir(), other, &words);
    let other = LogIdentity { cluster: ClusterId(5), ..IDENTITY };
    refused(three_segments(), &dir(), other, &["cluster#", "expected cluster#5", file]);
}

#[test]
fn a_segment_of_another_log_between_those_of_this_one() {
    let other = MemFs::new();
    let identity = LogIdentity { node: NodeId(5), ..IDENTITY };
    let shared = Arc::new(other.clone());
    let (log, _) = Log::open(shared, &dir(), identity, OPTIONS, &mut |_, _| Ok(())).unwrap();
    drop(log);
    let foreign = other.bytes(&segment_path(1));
    refused_here(
        with_change(1, |bytes| *bytes = foreign),
        1,
        &["belongs to node node#5, expected node#2711790500", "its own data directory"],
    );
    // A segment of this log under the name of another one.
    let first = three_segments().bytes(&segment_path(1));
    refused_here(with_change(2, |bytes| *bytes = first), 2, &["segment 1, expected 2"]);
}

#[test]
fn a_flipped_byte() {
    let middle = with_change(2, |bytes| bytes[4096 + 1208 + 25 + 700] ^= 1);
    refused_here(middle, 2, &["damaged at offset 5329", "a valid record follows", DAMAGED]);
    // In the seal, the last frame of a segment.
    let end = three_segments().bytes(&segment_path(2));
    let last = end.iter().rposition(|byte| *byte != 0).unwrap();
    let sealed = with_change(2, |bytes| bytes[last] ^= 8);
    let offset = format!("damaged at offset {}", last + 1 - 25);
    refused_here(sealed, 2, &[&offset, "log:3/4096", DAMAGED]);
    refused_here(with_change(2, |bytes| bytes[40] ^= 1), 2, &["damaged at offset 0", DAMAGED]);
}

#[test]
fn a_truncated_and_an_empty_file() {
    let short = with_change(2, |bytes| bytes.truncate(6000));
    refused_here(short, 2, &["damaged at offset 5329", DAMAGED]);
    let header = with_change(3, |bytes| bytes.truncate(40));
    refused_here(header, 3, &["damaged at offset 40", "ends inside the segment header", DAMAGED]);
    refused_here(with_change(1, Vec::clear), 1, &["damaged at offset 0", "ends inside", DAMAGED]);
}

#[test]
fn a_file_that_may_not_be_read() {
    for segment in [1, 2, 3] {
        let fs = WatchedFs::deny(three_segments(), segment_path(segment));
        refused_here(fs, segment, &["could not open", "check the disk and the permissions"]);
    }
}

#[test]
fn a_directory_that_is_named_like_a_segment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    drop(Log::open(Arc::new(RealFs), &path, IDENTITY, OPTIONS, &mut |_, _| Ok(())).unwrap());
    let named: PathBuf = path.join("0000000000000002.binlog");
    std::fs::create_dir(&named).unwrap();
    let words = ["is a directory, not a log segment", "move it out", named.to_str().unwrap()];
    refused(RealFs, &path, IDENTITY, &words);
}

#[test]
fn a_folder_without_a_log_and_a_file_with_a_wrong_name() {
    let fs = MemFs::new();
    fs.create_dir(&dir()).unwrap();
    let name = dir();
    refused(
        fs,
        &dir(),
        IDENTITY,
        &["holds no log", "check the data directory", name.to_str().unwrap()],
    );
    let fs = three_segments();
    let odd = dir().join("copy of 1.binlog");
    fs.put_bytes(&odd, Vec::new());
    refused(fs, &dir(), IDENTITY, &["is not named like a log segment", odd.to_str().unwrap()]);
}
