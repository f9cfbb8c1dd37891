//! I13: a changed byte anywhere in a log is found at start. Either the start is refused with file
//! and offset, or a tail is cut, and then nothing is lost but the very last record: a flip there
//! cannot be told from a write that the power failure tore.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::{Opened, agree, bodies, body, dir, inspect, open, segment_path};
use storage_node::binlog::{LogError, LogFs, LogPosition, MemFs};

/// The files of a log, to put on fresh disks with changes.
struct Image {
    files: BTreeMap<PathBuf, Vec<u8>>,
    expected: Vec<Vec<u8>>,
    end: LogPosition,
}

impl Image {
    /// A log of `segments` segments as `write` leaves it.
    fn of(write: impl FnOnce(&Opened) -> Vec<Vec<u8>>) -> Self {
        let fs = MemFs::new();
        let opened = open(&fs).unwrap();
        let expected = write(&opened);
        let end = opened.log.appended();
        drop(opened);
        let paths = fs.list(&dir()).unwrap().into_iter().map(|name| dir().join(name));
        let files = paths.map(|path| (path.clone(), fs.bytes(&path))).collect();
        Self { files, expected, end }
    }

    fn disk(&self) -> MemFs {
        let fs = MemFs::new();
        fs.create_dir(&dir()).unwrap();
        for (path, bytes) in &self.files {
            fs.put_bytes(path, bytes.clone());
        }
        fs
    }

    fn with_change(&self, path: &PathBuf, change: impl FnOnce(&mut Vec<u8>)) -> MemFs {
        let fs = self.disk();
        let mut bytes = self.files[path].clone();
        change(&mut bytes);
        fs.put_bytes(path, bytes);
        fs
    }

    /// Opens a log of which one byte was changed and judges the outcome.
    fn judge(&self, fs: &MemFs, path: &Path, offset: usize) -> Outcome {
        let story = format!("{} offset {offset}", path.display());
        let seen = inspect(fs);
        let start = open(fs);
        agree(&seen, &start, &story);
        match start {
            Err(error) => {
                let text = error.to_string();
                let named = self.files.keys().any(|file| text.contains(file.to_str().unwrap()));
                assert!(named, "{story}: {text}");
                Outcome::Refused
            }
            Ok(opened) => {
                let left = bodies(&opened.records);
                let lost = self.expected.len() - left.len();
                assert_eq!(left[..], self.expected[..left.len()], "{story}");
                assert!(lost <= 1, "{story}: {lost} records are silently gone");
                drop(opened);
                // Found means changed back, too: the next start has nothing to report.
                assert_eq!(open(fs).unwrap().report.cut, None, "{story}");
                if lost == 1 { Outcome::LastCut } else { Outcome::Cleaned }
            }
        }
    }

    fn flip_every_byte(&self) -> BTreeMap<Outcome, usize> {
        let mut outcomes = BTreeMap::new();
        for (path, bytes) in &self.files {
            for offset in 0..bytes.len() {
                for mask in [1 << (offset % 8), 0xff] {
                    let fs = self.with_change(path, |bytes| bytes[offset] ^= mask);
                    *outcomes.entry(self.judge(&fs, path, offset)).or_default() += 1;
                }
            }
        }
        outcomes
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Refused,
    /// The last record was taken for a torn tail.
    LastCut,
    /// The byte stood where no data is.
    Cleaned,
}

fn append_all(opened: &Opened, bodies: &[Vec<u8>], sync_each: bool) -> Vec<Vec<u8>> {
    for body in bodies {
        let receipt = opened.append(std::slice::from_ref(body)).unwrap();
        if sync_each {
            assert!(opened.sync(receipt.end));
        }
    }
    assert!(opened.sync(opened.log.appended()));
    bodies.to_vec()
}

#[test]
fn every_flipped_byte_of_records_synced_one_by_one_is_found() {
    let bodies: Vec<_> = (0..5).map(|i| body(i, 100 + i * 40)).collect();
    let last_frame = 8 + bodies[4].len();
    let image = Image::of(|opened| append_all(opened, &bodies, true));
    let outcomes = image.flip_every_byte();
    assert_eq!(outcomes[&Outcome::LastCut], last_frame * 2);
    assert!(outcomes[&Outcome::Refused] > 2 * 4096);
}

#[test]
fn every_flipped_byte_of_records_synced_together_is_found() {
    // No mark stands between them, so only their own sums and the absence of a hole speak.
    let bodies: Vec<_> = (0..6).map(|i| body(i, 30 + i * 200)).collect();
    let image = Image::of(|opened| append_all(opened, &bodies, false));
    let outcomes = image.flip_every_byte();
    assert_eq!(outcomes[&Outcome::LastCut], (8 + bodies[5].len()) * 2);
}

#[test]
fn every_flipped_byte_of_two_segments_synced_together_is_found() {
    // The first segment is nearly full, its seal stands across two sectors.
    let bodies = [body(0, 1500), body(1, 1550), body(2, 500), body(3, 500)];
    let image = Image::of(|opened| append_all(opened, &bodies, false));
    assert_eq!(image.end.segment, 2);
    let outcomes = image.flip_every_byte();
    assert_eq!(outcomes[&Outcome::LastCut], (8 + 500) * 2);
}

#[test]
fn lost_sectors_that_were_confirmed_are_refused_and_unconfirmed_ones_are_cut() {
    let bodies: Vec<_> = (0..4).map(|i| body(i, 700)).collect();
    let confirmed = Image::of(|opened| append_all(opened, &bodies, true));
    let path = segment_path(1);
    let wipe = |bytes: &mut Vec<u8>| bytes[4096 + 512..4096 + 1024].fill(0);
    let error = open(&confirmed.with_change(&path, wipe)).err().unwrap();
    let text = error.to_string();
    assert!(matches!(error, LogError::Damaged { offset: 4096, .. }), "{text}");
    assert!(text.contains("says the log was durable up to"), "{text}");

    // The same hole in front of records that no sync had confirmed when they were written.
    let together = Image::of(|opened| append_all(opened, &bodies, false));
    let fs = together.with_change(&path, wipe);
    let opened = open(&fs).unwrap();
    assert_eq!(opened.records.len(), 0);
    let cut = opened.report.cut.unwrap();
    assert_eq!((cut.at, cut.records), (LogPosition::new(1, 4096), 2));
    // Records of the same length in the old places do not bring back those that followed.
    opened.append(&[body(8, 700), body(9, 700)]).unwrap();
    drop(opened);
    assert_eq!(open(&fs).unwrap().records.len(), 2);
}

#[test]
fn a_truncated_segment_is_cut_at_the_end_and_refused_in_the_middle() {
    let written: Vec<_> = (0..9).map(|i| body(i, 1200)).collect();
    let image = Image::of(|opened| append_all(opened, &written, true));
    assert_eq!(image.end.segment, 3);
    let middle = open(&image.with_change(&segment_path(2), |bytes| bytes.truncate(6000)));
    assert!(matches!(middle.err().unwrap(), LogError::Damaged { .. }));
    let header = open(&image.with_change(&segment_path(3), |bytes| bytes.truncate(40)));
    assert!(matches!(header.err().unwrap(), LogError::Damaged { offset: 40, .. }));
    let last = image.with_change(&segment_path(3), |bytes| bytes.truncate(4096 + 1300 + 50));
    let opened = open(&last).unwrap();
    assert_eq!(written[..7], bodies(&opened.records)[..]);
    // The cut segment goes on to be used.
    opened.append(&["more"]).unwrap();
    drop(opened);
    assert_eq!(open(&last).unwrap().records.len(), 8);
}

#[test]
fn a_missing_segment_is_named() {
    let written: Vec<_> = (0..9).map(|i| body(i, 1200)).collect();
    let image = Image::of(|opened| append_all(opened, &written, true));
    for (missing, refused) in [(2, true), (3, true), (1, false)] {
        let mut files = image.files.clone();
        files.remove(&segment_path(missing));
        let fs = MemFs::new();
        fs.create_dir(&dir()).unwrap();
        for (path, bytes) in files {
            fs.put_bytes(&path, bytes);
        }
        match open(&fs) {
            Err(LogError::MissingSegment { path }) if refused => {
                assert_eq!(path, segment_path(missing));
            }
            // That the log begins later is what retention does: the owner compares positions.
            Ok(opened) if !refused => assert_eq!(opened.report.first.segment, 2),
            other => panic!("segment {missing}: {:?}", other.err()),
        }
    }
}

#[test]
fn files_that_are_no_segments_are_refused_or_left_alone() {
    let image = Image::of(|opened| append_all(opened, &[body(0, 50)], true));
    let directory = dir();
    let fs = image.disk();
    fs.put_bytes(&directory.join("notes.txt"), b"left alone".to_vec());
    fs.put_bytes(&directory.join("0000000000000002.binlog.new"), b"unfinished".to_vec());
    assert_eq!(open(&fs).unwrap().records.len(), 1);
    fs.put_bytes(&directory.join("copy of 1.binlog"), Vec::new());
    assert!(matches!(open(&fs).err().unwrap(), LogError::UnknownFile { .. }));

    let newer = image.with_change(&segment_path(1), |bytes| bytes[8] = 2);
    let error = open(&newer).err().unwrap();
    assert!(matches!(error, LogError::UnknownFormat { found: 2, known: 1, .. }), "{error}");
}
