//! The thread on logs of the simulated disk, with several lanes and segments.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use common::ids::{ClusterId, Epoch, LogicGroup, RequestId, ServerIndex, StoreId, Stream};
use common::log_record::{LogHead, LogRecordWriter};
use common::version::Hlc;

use super::*;
use crate::binlog::{
    Batch, Log, LogIdentity, LogOptions, MemFs, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MIN,
    WhenAbsent,
};
use crate::lane::StreamIndex;
use crate::replication::message::Term;
use crate::replication::position::{Position, Span};

const DIR: &str = "/log";
const FOLLOWER: NodeId = NodeId(9);
const WAIT: Duration = Duration::from_secs(60);

fn lane(group: u16) -> Lane {
    Lane { group: LogicGroup(group), server: ServerIndex(0) }
}

fn span(epoch: u64, first: u64, last: u64) -> Span {
    Span { epoch: Epoch(epoch), first: Lsn(first), last: Lsn(last) }
}

fn body(group: u16, epoch: u64, lsn: u64, bytes: usize) -> Vec<u8> {
    let stream = Stream { lane: lane(group), epoch: Epoch(epoch) };
    let (hlc, node, request) = (Hlc(lsn), NodeId(1), RequestId(0));
    let head = LogHead { stream, lsn: Lsn(lsn), hlc, node, request, open: 0 };
    let mut body = Vec::new();
    LogRecordWriter::new(&mut body, &head).finish(&vec![b'a'; bytes]);
    body
}

/// A log, the index of its lanes 0 to 3, and the thread.
struct Bench {
    disk: MemFs,
    log: Arc<Log>,
    synced: Receiver<()>,
    index: [StreamIndex; 4],
    work: Option<Receiver<Work>>,
    catch_up: CatchUp,
    done: Option<Receiver<(usize, CaughtUp)>>,
    thread: Option<JoinHandle<()>>,
}

impl Bench {
    fn new(segment_bytes: u64) -> Self {
        let identity = LogIdentity { store: StoreId(1), cluster: ClusterId(2), node: NodeId(1) };
        let when_absent = WhenAbsent::Create;
        let options = LogOptions { segment_bytes, when_absent, ..LogOptions::default() };
        let disk = MemFs::new();
        let fs = Arc::new(disk.clone());
        let (log, _) =
            Log::open(fs, Path::new(DIR), identity, options, &mut |_, _| Ok(())).unwrap();
        let (sender, synced) = channel();
        log.on_sync(move |_| sender.send(()).unwrap_or_default());
        let (catch_up, work) = CatchUp::new();
        Self {
            disk,
            log: Arc::new(log),
            synced,
            index: Default::default(),
            work: Some(work),
            catch_up,
            done: None,
            thread: None,
        }
    }

    fn append(&mut self, group: u16, epoch: u64, lsn: u64, bytes: usize) {
        let mut batch = Batch::new();
        batch.push(|buf| buf.extend_from_slice(&body(group, epoch, lsn, bytes))).unwrap();
        let at = self.log.append(&mut batch).unwrap().first;
        let position = Position { epoch: Epoch(epoch), lsn: Lsn(lsn) };
        self.index[usize::from(group)].note(position, at);
    }

    /// Three lanes, each with 3:1 to 3:100, some void of stream 4, then 5:1 to 5:100; in segments.
    fn with_lanes() -> Self {
        let mut bench = Self::new(SEGMENT_BYTES_MIN);
        for (epoch, lsns) in [(3, 1..=100), (4, 1..=5), (5, 1..=100)] {
            for lsn in lsns {
                (0..3).for_each(|group| bench.append(group, epoch, lsn, 40));
            }
        }
        assert!(bench.log.stats().segments > 6);
        bench
    }

    fn want(&self, group: u16, spans: &[Span]) -> Want {
        let first = Position { epoch: spans[0].epoch, lsn: spans[0].first };
        let from = self.index[usize::from(group)].find(first).unwrap();
        Want { lane: lane(group), records: records(group, spans), from }
    }

    fn send(&self, worker: usize, to: NodeId, wants: Vec<Want>) {
        self.catch_up.send(Job { worker, to, wants }).unwrap();
    }

    /// Starts the thread: what was sent before is there when it first looks.
    fn start(&mut self) {
        let (sender, done) = channel();
        let log = Arc::clone(&self.log);
        let open = move |from| log.reader(from);
        let done_with = move |worker, caught_up| sender.send((worker, caught_up)).unwrap();
        self.thread = Some(start(self.work.take().unwrap(), open, done_with).unwrap());
        self.done = Some(done);
    }

    fn next(&self) -> (usize, CaughtUp) {
        self.done.as_ref().unwrap().recv_timeout(WAIT).unwrap()
    }

    fn release_first_segments(&self, keep_from: u64) {
        self.log.request_sync(self.log.appended());
        while self.log.durable() < self.log.appended() {
            self.synced.recv_timeout(WAIT).unwrap();
        }
        assert!(self.log.release(LogPosition::new(keep_from, 0)).unwrap() > 0);
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.catch_up.stop();
        let joined = self.thread.take().map(JoinHandle::join);
        assert!(joined.is_none_or(|joined| joined.is_ok()) || std::thread::panicking());
    }
}

fn records(group: u16, spans: &[Span]) -> Records {
    let term = Term { lane: lane(group), since: Epoch(5) };
    Records { term, life: 77, spans: spans.to_vec(), official: Lsn(50), confirmed: None }
}

/// The answer that holds all of `spans`.
fn full(group: u16, spans: &[Span], bytes: usize) -> (Records, Vec<Vec<u8>>) {
    let of_span = |span: &Span| {
        let epoch = span.epoch.0;
        (span.first.0..=span.last.0).map(move |lsn| body(group, epoch, lsn, bytes))
    };
    (records(group, spans), spans.iter().flat_map(of_span).collect())
}

#[test]
fn spans_are_filled_across_streams_and_segments_for_all_lanes_of_a_job() {
    let mut bench = Bench::with_lanes();
    let spans = [
        (0, vec![span(3, 90, 100), span(5, 1, 60)]),
        (1, vec![span(5, 99, 100)]),
        (2, vec![span(3, 1, 3)]),
    ];
    let wants = spans.iter().map(|(group, spans)| bench.want(*group, spans)).collect();
    bench.send(4, FOLLOWER, wants);
    bench.start();
    let (worker, mut caught_up) = bench.next();
    caught_up.answers.sort_by_key(|(records, _)| records.term.lane);
    assert_eq!((worker, caught_up.to), (4, FOLLOWER));
    let expected: Vec<_> = spans.iter().map(|(group, spans)| full(*group, spans, 40)).collect();
    assert_eq!(caught_up.answers, expected);
    assert!(caught_up.released.is_empty() && caught_up.failed.is_empty());
}

#[test]
fn jobs_for_one_node_that_wait_together_are_answered_together_and_each_for_itself() {
    let mut bench = Bench::with_lanes();
    let spans = [span(3, 7, 9)];
    bench.send(0, FOLLOWER, vec![bench.want(0, &spans)]);
    bench.send(0, NodeId(8), vec![bench.want(0, &spans)]);
    bench.send(1, FOLLOWER, vec![bench.want(1, &spans)]);
    bench.start();
    let order: Vec<_> = (0..3).map(|_| bench.next()).collect();
    let seen: Vec<_> = order.iter().map(|(worker, caught_up)| (*worker, caught_up.to)).collect();
    assert_eq!(seen, [(0, FOLLOWER), (1, FOLLOWER), (0, NodeId(8))]);
    for ((_, caught_up), group) in order.iter().zip([0, 1, 0]) {
        assert_eq!(caught_up.answers, [full(group, &spans, 40)]);
    }
}

#[test]
fn lanes_whose_next_record_left_the_log_are_named_and_others_are_answered() {
    let mut bench = Bench::with_lanes();
    let gone = bench.want(0, &[span(3, 1, 100)]);
    let left = bench.index[1].find(Position { epoch: Epoch(5), lsn: Lsn(60) }).unwrap();
    // Also the very first place that is left.
    bench.release_first_segments(left.1.segment);
    let first = Want { from: (Lsn(1), bench.log.first()), ..bench.want(1, &[span(5, 60, 61)]) };
    bench.send(0, FOLLOWER, vec![gone, first]);
    bench.start();
    let (_, caught_up) = bench.next();
    assert_eq!(caught_up.released, [lane(0)]);
    assert_eq!(caught_up.answers, [full(1, &[span(5, 60, 61)], 40)]);
}

#[test]
fn what_cannot_be_read_costs_only_the_lanes_that_need_it() {
    let mut bench = Bench::with_lanes();
    let mut bad = bench.want(0, &[span(3, 1, 100)]);
    bad.from.1.offset += 1;
    let good = bench.want(2, &[span(5, 10, 12)]);
    bench.send(0, FOLLOWER, vec![good, bad]);
    bench.start();
    let (_, caught_up) = bench.next();
    assert_eq!(caught_up.failed, [lane(0)]);
    assert_eq!(caught_up.answers, [full(2, &[span(5, 10, 12)], 40)]);
}

#[test]
fn what_was_found_before_a_damaged_record_is_given() {
    let mut bench = Bench::with_lanes();
    let (lsn, at) = bench.index[0].find(Position { epoch: Epoch(3), lsn: Lsn(60) }).unwrap();
    let path = Path::new(DIR).join(format!("{:016}.binlog", at.segment));
    let mut bytes = bench.disk.bytes(&path);
    bytes[usize::try_from(at.offset).unwrap() + 40] ^= 1;
    bench.disk.put_bytes(&path, bytes);
    let damaged = Want { from: (lsn, at), ..bench.want(1, &[span(3, lsn.0, 100)]) };
    let wants = vec![bench.want(0, &[span(3, 1, 100)]), damaged, bench.want(2, &[span(5, 1, 9)])];
    bench.send(0, FOLLOWER, wants);
    bench.start();
    let (_, mut caught_up) = bench.next();
    caught_up.answers.sort_by_key(|(records, _)| records.term.lane);
    let expected = [full(0, &[span(3, 1, lsn.0 - 1)], 40), full(2, &[span(5, 1, 9)], 40)];
    assert_eq!(caught_up.answers, expected);
    assert_eq!(caught_up.failed, [lane(1)]);
}

#[test]
fn long_records_do_not_add_up_beyond_4_mib_and_one_of_them() {
    let mut bench = Bench::new(SEGMENT_BYTES_DEFAULT);
    (0..4).for_each(|group| bench.append(group, 3, 1, 3 << 20));
    let first = [span(3, 1, 1)];
    bench.send(0, FOLLOWER, (0..4).map(|group| bench.want(group, &first)).collect());
    bench.start();
    let (_, caught_up) = bench.next();
    let counts: Vec<_> = caught_up.answers.iter().map(|(_, bodies)| bodies.len()).collect();
    assert_eq!(counts, [1, 1, 0, 0]);
}

#[test]
fn a_job_brings_4_mib_in_equal_shares() {
    let mut bench = Bench::new(SEGMENT_BYTES_DEFAULT);
    for lsn in 1..=8 {
        bench.append(0, 3, lsn, 1 << 20);
    }
    (1..=8).for_each(|lsn| bench.append(1, 3, lsn, 10));
    let all = [span(3, 1, 8)];
    bench.send(0, FOLLOWER, vec![bench.want(0, &all), bench.want(1, &all)]);
    bench.start();
    let (_, mut caught_up) = bench.next();
    caught_up.answers.sort_by_key(|(records, _)| records.term.lane);
    let expected = [full(0, &[span(3, 1, 2)], 1 << 20), full(1, &all, 10)];
    assert!(caught_up.answers == expected);
    bench.send(0, FOLLOWER, vec![bench.want(0, &all)]);
    assert!(bench.next().1.answers == [full(0, &[span(3, 1, 4)], 1 << 20)]);
}

#[test]
fn a_pass_ends_after_so_many_bytes_and_gives_what_it_found() {
    let bench = Bench::with_lanes();
    let wants = vec![bench.want(0, &[span(3, 1, 100)]), bench.want(1, &[span(5, 90, 100)])];
    let mut scan = Scan::new(vec![Job { worker: 0, to: FOLLOWER, wants }]);
    let bytes = 3 * body(0, 3, 1, 40).len();
    let error = scan.run(&|from| bench.log.reader(from), 9 * bytes);
    assert!(error.is_none());
    let (_, caught_up) = scan.finish().remove(0);
    assert_eq!(caught_up.answers, [full(0, &[span(3, 1, 9)], 40), full(1, &[], 40)]);
}

#[test]
fn a_want_ends_where_its_next_record_was_passed_over() {
    let mut bench = Bench::new(SEGMENT_BYTES_DEFAULT);
    (1..=5).for_each(|lsn| bench.append(0, 3, lsn, 10));
    (7..=9).for_each(|lsn| bench.append(0, 3, lsn, 10));
    let empty = Want { records: records(1, &[]), lane: lane(1), ..bench.want(0, &[span(3, 1, 1)]) };
    bench.send(0, FOLLOWER, vec![bench.want(0, &[span(3, 2, 8)]), empty]);
    bench.start();
    let (_, mut caught_up) = bench.next();
    caught_up.answers.sort_by_key(|(records, _)| records.term.lane);
    assert_eq!(caught_up.answers, [full(0, &[span(3, 2, 5)], 10), full(1, &[], 10)]);
}

#[test]
fn stopping_finishes_what_waits_and_then_jobs_come_back() {
    let mut bench = Bench::with_lanes();
    bench.send(0, FOLLOWER, vec![bench.want(0, &[span(3, 1, 1)])]);
    bench.catch_up.stop();
    bench.start();
    assert_eq!(bench.next().1.answers.len(), 1);
    bench.thread.take().unwrap().join().unwrap();
    let wants = vec![bench.want(0, &[span(3, 1, 1)])];
    let back = bench.catch_up.send(Job { worker: 3, to: FOLLOWER, wants }).unwrap_err();
    assert_eq!((back.worker, back.wants.len()), (3, 1));
}
