//! The node as follower: what arrives from the leader of the second lane, and what it says to that.

use std::time::Duration;

use common::failure::FailureCode;
use common::ids::{Epoch, Lsn, RequestId, ServerIndex, Stream};
use common::log_record::{LogHead, LogRecord, LogRecordWriter};
use common::version::Hlc;

use super::answer::Answer;
use super::client::Client;
use super::node::{Node, Setup, lane, other};
use super::request::set;
use crate::replication::lane::Role;
use crate::replication::message::{Message, Records, Term};
use crate::replication::timing::SILENT_MS;
use crate::replication::wire::{self, RecordsWriter};
use crate::worker::lead::Service;

fn two() -> Setup {
    Setup { servers: 2, ..Setup::default() }
}

/// The other server's term.
pub(super) fn term(node: &Node) -> Term {
    let leader = node.register(0).unwrap().leader(ServerIndex(1)).unwrap();
    Term { lane: lane(1), since: leader.since }
}

/// A record of the other server's stream; the first begins it.
pub(super) fn record(term: Term, lsn: u64) -> Vec<u8> {
    let head = LogHead {
        stream: Stream { lane: term.lane, epoch: term.since },
        lsn: Lsn(lsn),
        hlc: Hlc(lsn),
        node: other(),
        request: RequestId(u128::from(lsn)),
        open: 0,
    };
    let mut body = Vec::new();
    if lsn == 1 {
        LogRecord::encode_start(&mut body, &head, &[]);
    } else {
        LogRecordWriter::new(&mut body, &head).finish(b"");
    }
    body
}

impl Node {
    /// The other server sends these records of its lane.
    pub(super) fn hear_records(&mut self, bodies: &[Vec<u8>]) {
        let term = term(self);
        let life = self.core.shared.life.life;
        let records = Records { term, life, spans: Vec::new(), official: Lsn(0), confirmed: None };
        let mut frame = self.frame(&[]);
        let mut writer = RecordsWriter::new(&mut frame, &records, 0, false);
        assert!(bodies.iter().all(|body| writer.body(body)));
        writer.finish();
        self.core_turn(|core| core.on_peer_frame(other(), &frame)).unwrap();
    }

    /// A link to the other server, as that server sees it.
    pub(super) fn link(&mut self) -> Client {
        let client = self.connect();
        self.core.links.add(other(), 0, 1, std::rc::Rc::clone(&client.peer));
        client
    }

    fn follows(&self) -> bool {
        let lane = &self.core.groups[&lane(1).group].replica.lanes()[1];
        matches!(lane.role(), Role::Following(_))
    }
}

#[test]
fn what_is_appended_is_acknowledged() {
    let mut node = Node::new(two());
    let mut link = node.link();
    let term = term(&node);
    node.hear_records(&[record(term, 1), record(term, 2)]);
    assert_eq!(link.pulls(&node.thread).last().map(|pull| pull.written), Some(Lsn(2)));
    node.sync();
    let pulls = link.pulls(&node.thread);
    assert_eq!(pulls.last().map(|pull| (pull.written, pull.durable)), Some((Lsn(2), Lsn(2))));
}

/// I2: the protocol counts records as held when they arrive. If the log then does not take them, the
/// node says nothing more, also not when an earlier sync ends.
#[test]
fn records_that_were_not_appended_are_never_acknowledged() {
    let mut node = Node::new(two());
    let mut link = node.link();
    let term = term(&node);
    node.hear_records(&[record(term, 1)]);
    node.sync();
    node.gate.close();
    node.hear_records(&[record(term, 2)]);
    node.disk.fill_up_writes(Some(10));
    node.hear_records(&[record(term, 3)]);
    node.disk.fill_up_writes(None);
    link.pulls(&node.thread);
    node.sync();
    node.core_turn(crate::worker::Core::on_timers);
    let pulls = link.pulls(&node.thread);
    assert!(pulls.iter().all(|pull| pull.written < Lsn(3)), "{pulls:?}");
}

#[test]
fn a_record_that_cannot_be_read_is_not_taken() {
    let mut node = Node::new(two());
    let mut link = node.link();
    let term = term(&node);
    let mut bad = record(term, 2);
    bad.push(7);
    node.hear_records(&[record(term, 1)]);
    node.hear_records(&[bad]);
    node.sync();
    let pulls = link.pulls(&node.thread);
    assert!(pulls.iter().all(|pull| pull.written < Lsn(2)), "{pulls:?}");
}

/// The leader sends them again, and takes a server out of step that has taken none for a second.
#[test]
fn a_follower_without_memory_takes_no_records_until_it_has_some() {
    let mut node = Node::new(two());
    let mut link = node.link();
    let term = term(&node);
    node.hear_records(&[record(term, 1)]);
    let memory = |node: &Node, bytes| {
        node.core.shared.memory.measured(0, bytes, crate::memory::FlushView::default());
    };
    memory(&node, usize::MAX);
    node.hear_records(&[record(term, 2)]);
    node.sync();
    let pulls = link.pulls(&node.thread);
    assert!(pulls.iter().all(|pull| pull.written < Lsn(2)), "{pulls:?}");
    memory(&node, 0);
    node.hear_records(&[record(term, 2)]);
    node.sync();
    let pulls = link.pulls(&node.thread);
    assert!(pulls.iter().any(|pull| pull.written == Lsn(2)), "{pulls:?}");
}

/// A follower whose disk is full keeps nothing, but its leader lives: it does not take the lane.
#[test]
fn a_follower_that_can_keep_nothing_still_hears_its_leader() {
    let mut node = Node::new(two());
    let mut link = node.link();
    let term = term(&node);
    node.hear_records(&[record(term, 1)]);
    node.sync();
    node.core.shared.set_disk_full(true);
    let begun = rt::clock::now();
    while rt::clock::now() < begun + Duration::from_millis(SILENT_MS + 300) {
        node.hear_records(&[record(term, 2)]);
        let next = rt::clock::now() + Duration::from_millis(20);
        node.until("no time passes", |_| rt::clock::now() > next);
        let now_ms = rt::clock::boot_ms();
        let Role::Following(following) = node.core.groups[&lane(1).group].replica.lanes()[1].role()
        else {
            panic!("it follows no more");
        };
        assert!(!following.misses_leader(now_ms));
    }
    let pulls = link.pulls(&node.thread);
    assert!(pulls.iter().all(|pull| pull.written < Lsn(2)), "nothing was kept: {pulls:?}");
    assert!(pulls.len() < 20, "it pulls now and then: {}", pulls.len());
    node.core.shared.set_disk_full(false);
    node.hear_records(&[record(term, 2)]);
    assert_eq!(link.pulls(&node.thread).last().map(|pull| pull.written), Some(Lsn(2)));
    assert!(node.follows());
}

/// Two lanes are taken at once. The second one's end must not wait until the first one's new promise
/// is durable: writes would be evaluated that nobody numbers.
#[test]
fn a_lane_that_was_taken_is_not_written_while_a_promise_becomes_durable() {
    // Nobody hears of the two others: this node takes their lanes.
    let mut node = Node::new(Setup { servers: 3, ..Setup::default() });
    let mut client = node.connect();
    node.until("the third lane is not served", |node| {
        node.sync();
        let group = &node.core.groups[&lane(2).group];
        let lead = group.lanes[2].lead.as_ref();
        group.waits.is_none() && lead.is_some_and(|lead| lead.service == Service::Serving)
    });
    let since = node.core.groups[&lane(2).group].lanes[2].lead.as_ref().unwrap().term.since;
    let mut register = node.register(0).unwrap().clone();
    register.epoch = Epoch(register.epoch.0 + 1);
    register.in_step.push(other());
    for leader in &mut register.lanes {
        (leader.node, leader.since) = (other(), register.epoch);
    }
    let frame = node.frame(&[Message::TellRegister { value: register }]);
    let write = set("k", "1").with(|head| (head.lane.server.0, head.since) = (2, since));
    let id = client.next_id();
    node.core_turn(|core| {
        core.on_peer_frame(other(), &frame).unwrap();
        assert!(core.groups[&lane(2).group].waits.is_some());
        core.execute(&client.peer, id, &write.body());
    });
    assert_eq!(client.answer(id), Answer::Failed(FailureCode::NotLeader));
}

/// A record of the greatest length fits in a frame only alone.
#[test]
fn a_frame_between_nodes_is_never_too_long() {
    use crate::worker::links::Links;
    let node = Node::new(two());
    let mut links = Links::default();
    let client = node.connect();
    links.add(other(), 0, 1, std::rc::Rc::clone(&client.peer));
    let term = term(&node);
    let records = Records { term, life: 1, spans: Vec::new(), official: Lsn(0), confirmed: None };
    let put = |links: &mut Links, bytes: usize| {
        links.put(other(), Some(lane(1).group), |out| {
            let mut writer = RecordsWriter::new(out, &records, 0, false);
            assert!(writer.body(&vec![7; bytes]));
            assert!(!writer.body(&vec![7; 9 << 20]), "a long one stands alone");
            writer.finish();
        })
    };
    assert!(put(&mut links, 1));
    links.close_frames(|_| ());
    let around = client.peer.unsent() - 1;
    assert!(put(&mut links, 3 << 20));
    assert!(put(&mut links, wire::RECORD_BYTES_MAX));
    links.close_frames(|_| ());
    // A frame for each.
    let sum = 3 * around + 1 + (3 << 20) + wire::RECORD_BYTES_MAX;
    assert_eq!(client.peer.unsent(), sum);
}
