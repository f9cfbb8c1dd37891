//! Looking at a log: all of it is found, behind flaws as well, nothing is changed, and a log that is
//! being written has no flaws. (`damage.rs` and `power_cut.rs` compare each verdict with a start's.)

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{
    IDENTITY, OPTIONS, Opened, Seen, bodies, body, dir, inspect, open, open_with, segment_path,
};
use crate::watched::WatchedFs;
use storage_node::binlog::{
    Inspector, LogFs, LogOptions, LogPosition, MemFs, RealFs, SEGMENT_BYTES_MIN,
};

/// A log of nine records in three segments, and a fourth in waiting.
fn three_segments() -> (MemFs, Vec<Vec<u8>>) {
    let fs = MemFs::new();
    let opened = open(&fs).unwrap();
    let written: Vec<_> = (0..9).map(|i| body(i, 1200)).collect();
    for body in &written {
        let receipt = opened.append(std::slice::from_ref(body)).unwrap();
        assert!(opened.sync(receipt.end));
    }
    assert_eq!(opened.log.appended().segment, 3);
    // Two turns of the sync thread after the segment is half full.
    assert_eq!(opened.log.stats().segments, 4);
    (fs, written)
}

fn flip(fs: &MemFs, segment: u64, offset: usize) {
    let mut bytes = fs.bytes(&segment_path(segment));
    bytes[offset] ^= 0x40;
    fs.put_bytes(&segment_path(segment), bytes);
}

#[test]
fn what_stands_behind_damage_is_found_and_each_damage_is_named() {
    let (fs, written) = three_segments();
    // The second record of the first segment, and the header and the first record of the second.
    flip(&fs, 1, 4096 + 1300);
    flip(&fs, 2, 100);
    flip(&fs, 2, 4096 + 50);
    let seen = inspect(&fs);
    let named = |segment, offset: u64| {
        let place = format!("{} is damaged at offset {offset}:", segment_path(segment).display());
        seen.refused.iter().any(|text| text.contains(&place))
    };
    assert_eq!(seen.refused.len(), 3, "{seen:?}");
    assert!(named(1, 4096 + 1208 + 25) && named(2, 0), "{seen:?}");
    let left: Vec<_> = [0, 2, 4, 5, 6, 7, 8].map(|i: usize| written[i].clone()).to_vec();
    assert_eq!(bodies(&seen.records), left);
    assert_eq!((seen.segments, seen.seals, seen.torn), (vec![1, 2, 3, 4], 2, None));
    assert!(seen.end.is_some());
}

#[test]
fn looking_changes_nothing_on_the_disk() {
    let (fs, _) = three_segments();
    flip(&fs, 2, 4096 + 50);
    let mut tail = fs.bytes(&segment_path(3));
    tail[8000] = 1;
    fs.put_bytes(&segment_path(3), tail);
    fs.put_bytes(&dir().join("0000000000000004.binlog.new"), b"unfinished".to_vec());
    let image = || -> Vec<(PathBuf, Vec<u8>)> {
        let paths = fs.list(&dir()).unwrap().into_iter().map(|name| dir().join(name));
        paths.map(|path| (path.clone(), fs.bytes(&path))).collect()
    };
    let (before, syncs) = (image(), fs.syncs());
    let seen = inspect(&fs);
    assert!(seen.torn.is_some() && !seen.refused.is_empty(), "{seen:?}");
    assert_eq!((image(), fs.syncs()), (before, syncs));
}

#[test]
fn a_part_of_a_log_is_looked_at_as_files_and_from_a_segment_on() {
    let (fs, written) = three_segments();
    let shared: Arc<dyn LogFs> = Arc::new(fs.clone());
    let some = Inspector::of_files(Arc::clone(&shared), [segment_path(3), segment_path(1)]);
    let seen = Seen::of(some);
    assert_eq!((seen.segments, seen.refused), (vec![1, 3], Vec::new()));
    assert_eq!(bodies(&seen.records), [&written[..3], &written[6..]].concat());

    let from = Inspector::of_folder(Arc::clone(&shared), &dir(), None).begin_at(2);
    let seen = Seen::of(from);
    assert_eq!((seen.segments, seen.refused), (vec![2, 3, 4], Vec::new()));

    // A copy under another name has the number that its header says, and is looked at for itself.
    let copy = dir().join("saved");
    fs.put_bytes(&copy, fs.bytes(&segment_path(1)));
    let seen = Seen::of(Inspector::of_files(shared, [segment_path(1), segment_path(2), copy]));
    assert_eq!((seen.segments, seen.refused), (vec![1, 2, 1], Vec::new()));
    assert_eq!(seen.records.len(), 9);
}

/// Looks at a log to which something happens meanwhile; nothing of it may be called a flaw.
fn look_at(fs: WatchedFs<MemFs>) -> Seen {
    let seen = Seen::of(Inspector::of_folder(Arc::new(fs), &dir(), Some(IDENTITY)));
    assert_eq!((&seen.refused[..], seen.torn, seen.stray), (&[][..], None, None));
    seen
}

fn append_synced(opened: &Opened, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let receipt = opened.append(&[body(number, 1200)]).unwrap();
        assert!(opened.sync(receipt.end));
    }
}

#[test]
fn what_is_written_after_a_segment_was_read_is_found_and_no_flaw() {
    let fs = MemFs::new();
    let opened = Arc::new(open(&fs).unwrap());
    append_synced(&opened, 0..2);
    let writer = Arc::clone(&opened);
    // The rest of the first segment, its seal, and more: what was read of it ends in the middle.
    let seen = look_at(WatchedFs::after_read(fs, move || append_synced(&writer, 2..9)));
    assert_eq!(seen.records.len(), 9);
    assert_eq!(seen.end, Some(opened.log.appended()));
}

#[test]
fn what_is_only_half_written_when_a_segment_is_read_is_found_and_no_flaw() {
    let fs = MemFs::new();
    let opened = open(&fs).unwrap();
    append_synced(&opened, 0..2);
    let whole = fs.bytes(&segment_path(1));
    let mut half = whole.clone();
    half[4096 + 1208 + 600..].fill(0);
    fs.put_bytes(&segment_path(1), half);
    let disk = fs.clone();
    let rest = move || disk.put_bytes(&segment_path(1), whole);
    assert_eq!(look_at(WatchedFs::after_read(fs, rest)).records.len(), 2);
}

#[test]
fn segments_that_are_released_meanwhile_are_not_missing() {
    let log = || {
        let fs = MemFs::new();
        let opened = Arc::new(open(&fs).unwrap());
        append_synced(&opened, 0..12);
        let writer = Arc::clone(&opened);
        let release = move || assert_eq!(writer.log.release(writer.log.appended()).unwrap(), 3);
        (fs, opened, release)
    };
    let (fs, opened, release) = log();
    let seen = look_at(WatchedFs::after_list(fs, release));
    assert_eq!((seen.records.len(), seen.end), (3, Some(opened.log.appended())));
    let (fs, opened, release) = log();
    let seen = look_at(WatchedFs::after_read(fs, release));
    assert_eq!((seen.segments[0], seen.segments[1]), (1, 4));
    assert_eq!((seen.records.len(), seen.end), (6, Some(opened.log.appended())));
}

#[test]
fn a_log_that_is_written_to_has_no_flaws_but_an_unfinished_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let options = LogOptions { segment_bytes: 16 * SEGMENT_BYTES_MIN, ..OPTIONS };
    let opened = open_with(Arc::new(RealFs), &path, options).unwrap();
    let stop = AtomicBool::new(false);
    let write = |opened: &Opened| {
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let bodies: Vec<_> =
                (0..4).map(|i| body(number * 4 + i, 100 + number % 3000)).collect();
            let receipt = opened.append(&bodies).unwrap();
            if number % 50 == 49 {
                assert!(opened.sync(receipt.end));
                opened.log.release(opened.log.before_end(1 << 20)).unwrap();
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| write(&opened));
        let mut last = LogPosition::default();
        while last.segment < 60 {
            let begun = opened.log.appended();
            let seen = Seen::of(Inspector::of_folder(Arc::new(RealFs), &path, Some(IDENTITY)));
            if !seen.refused.is_empty() {
                stop.store(true, Ordering::Relaxed);
            }
            assert_eq!(seen.refused, [""; 0]);
            assert_eq!(seen.stray, None);
            last = seen.end.unwrap();
            assert!(last >= begun, "{last}, {begun} was written before");
            assert!(seen.records.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
        stop.store(true, Ordering::Relaxed);
    });
}
