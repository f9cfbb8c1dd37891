//! Any (stream, LSN) is found by reading a small part of the log, also in a stream whose records
//! stand far apart between those of others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;

use common::ids::{Epoch, Lane, LogicGroup, Lsn, NodeId, RequestId, ServerIndex, Stream};
use common::log_record::{self, LogHead, LogRecordWriter};
use common::version::Hlc;
use storage_node::binlog::{LogOptions, RealFs, SEGMENT_BYTES_DEFAULT};
use storage_node::catch_up::{self, CatchUp, Job, Want};
use storage_node::lane::StreamIndex;
use storage_node::replication::message::{Records, Term};
use storage_node::replication::position::{Position, Span};

use crate::support::{OPTIONS, Opened, open_with};
use crate::watched::WatchedFs;

const EPOCH: Epoch = Epoch(3);
/// Length of the busy lane's records.
const BUSY_BYTES: usize = 64 << 10;
/// Bytes of the busy lane's records between two of the quiet lane's: 63 of those are more than one
/// pass of the catch-up thread reads.
const APART: usize = 640 << 10;
const QUIET: u16 = 1;
const BUSY: u16 = 2;

fn lane(group: u16) -> Lane {
    Lane { group: LogicGroup(group), server: ServerIndex(0) }
}

fn position(lsn: u64) -> Position {
    Position { epoch: EPOCH, lsn: Lsn(lsn) }
}

fn body(group: u16, lsn: u64, bytes: usize) -> Vec<u8> {
    let stream = Stream { lane: lane(group), epoch: EPOCH };
    let (hlc, node, request) = (Hlc(lsn), NodeId(1), RequestId(0));
    let head = LogHead { stream, lsn: Lsn(lsn), hlc, node, request, open: 0 };
    let mut body = Vec::new();
    LogRecordWriter::new(&mut body, &head).finish(&vec![b'a'; bytes]);
    body
}

/// A log of two lanes with their indexes, on a disk that counts.
struct Large {
    opened: Arc<Opened>,
    index: [StreamIndex; 3],
    last: [u64; 3],
    read: Arc<AtomicU64>,
    _folder: tempfile::TempDir,
}

impl Large {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fs = WatchedFs::new(RealFs);
        let read = fs.bytes_read();
        let options = LogOptions { segment_bytes: SEGMENT_BYTES_DEFAULT, ..OPTIONS };
        let opened = open_with(Arc::new(fs), &folder.path().join("log"), options).unwrap();
        let (index, last) = (Default::default(), [0; 3]);
        let opened = Arc::new(opened);
        let mut large = Self { opened, index, last, read, _folder: folder };
        while large.opened.log.appended().segment < 3 {
            large.append(QUIET, 100);
            (0..APART / BUSY_BYTES).for_each(|_| large.append(BUSY, BUSY_BYTES));
        }
        large
    }

    fn append(&mut self, group: u16, bytes: usize) {
        let lane = usize::from(group);
        self.last[lane] += 1;
        let lsn = self.last[lane];
        let receipt = self.opened.append(&[body(group, lsn, bytes)]).unwrap();
        self.index[lane].note(position(lsn), receipt.first);
    }

    /// Finds a record as the catch-up thread does; returns how many bytes were read for it.
    fn find(&self, group: u16, lsn: u64) -> u64 {
        let before = self.read.load(Ordering::Relaxed);
        let (_, from) = self.index[usize::from(group)].find(position(lsn)).unwrap();
        let mut reader = self.opened.log.reader(from);
        loop {
            let (_, body) = reader.next_record().unwrap().unwrap();
            let head = log_record::decode_head(body).unwrap();
            if head.stream.lane == lane(group) && head.lsn == Lsn(lsn) {
                return self.read.load(Ordering::Relaxed) - before;
            }
        }
    }
}

#[test]
fn a_record_in_the_middle_of_a_large_log_is_found_by_reading_a_small_part_of_it() {
    // What the reader takes at once, and the record itself.
    const CHUNK: u64 = (256 << 10) + BUSY_BYTES as u64;
    let large = Large::new();
    for (group, most) in [(BUSY, 64 * (BUSY_BYTES as u64 + (APART / 64) as u64)), (QUIET, 8 << 20)]
    {
        let last = large.last[usize::from(group)];
        for lsn in (1..=last).step_by(7).chain([last]) {
            let read = large.find(group, lsn);
            // A record that does not fit into what was read at once is read again.
            assert!(read <= 2 * most + CHUNK, "{read} bytes for {lsn} of {last} of group {group}");
        }
    }
    let marks: usize = large.index.iter().map(StreamIndex::len).sum();
    let records: u64 = large.last.iter().sum();
    assert!((20..100).contains(&marks), "{marks} marks for {records} records in 128 MiB");
}

#[test]
fn a_follower_gets_every_record_of_a_lane_that_seldom_writes() {
    let large = Large::new();
    let index = &large.index[usize::from(QUIET)];
    let last = large.last[usize::from(QUIET)];
    let (catch_up, work) = CatchUp::new();
    for lsn in 1..=last {
        let spans = vec![Span { epoch: EPOCH, first: Lsn(lsn), last: Lsn(lsn) }];
        let term = Term { lane: lane(QUIET), since: EPOCH };
        let records = Records { term, life: 1, spans, official: Lsn(last), confirmed: None };
        let from = index.find(position(lsn)).unwrap();
        // A follower each, so that each record is a pass of its own.
        let to = NodeId(u32::try_from(lsn).unwrap());
        let want = Want { lane: lane(QUIET), records, from };
        catch_up.send(Job { worker: 0, to, wants: vec![want] }).unwrap();
    }
    catch_up.stop();
    let (sender, done) = channel();
    let opened = Arc::clone(&large.opened);
    let open = move |from| opened.log.reader(from);
    let thread = catch_up::start(work, open, move |_, found| sender.send(found).unwrap()).unwrap();
    let found: Vec<_> = done.iter().collect();
    thread.join().unwrap();
    assert_eq!(found.len() as u64, last);
    for caught_up in found {
        let bodies: Vec<_> = caught_up.answers.into_iter().flat_map(|(_, bodies)| bodies).collect();
        assert_eq!(bodies, [body(QUIET, u64::from(caught_up.to.0), 100)]);
    }
}
