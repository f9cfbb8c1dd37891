//! One turn: one commit for all, and nobody is told anything before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::agreed::KnownRegister;
use common::ids::{Epoch, LogicGroup};
use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use tokio::sync::oneshot;

use super::support::{
    Bench, GROUP, ME, Node, PEER, admit, ballot, crash_image, generation, identity, lane, prepare,
    register, set, step, voter,
};
use crate::control::electorate::Electorate;
use crate::control::turn::Keeper;
use crate::control::{Change, ControlEvent, ControlStore, Kept, Request};
use crate::replication::message::{Message, RegisterMessage, Term};

fn store(worker: usize, ticket: u64, changes: Vec<Change>) -> Request {
    Request::Store { worker, ticket, changes }
}

#[test]
fn all_requests_of_a_turn_share_one_commit() {
    let bench = Bench::new();
    let mut node = bench.voter();
    let before = node.keeper.store.commits();
    node.turn([
        voter(1, prepare(GROUP, 9)),
        voter(1, prepare(LogicGroup(8), 9)),
        store(1, 70, vec![Change::Promise(lane(0), Epoch(6))]),
        store(1, 71, vec![Change::CaughtUp(lane(0))]),
    ]);
    assert_eq!(node.keeper.store.commits(), before + 1);
    let told = node.told();
    assert_eq!(told[..2], [(1, ControlEvent::Stored(70)), (1, ControlEvent::Stored(71))]);
    let [(0, ControlEvent::Answers(answers))] = &told[2..] else { panic!("{told:?}") };
    assert_eq!(answers.len(), 2);
}

#[test]
fn a_turn_that_changes_nothing_commits_nothing() {
    let bench = Bench::new();
    let mut node = bench.voter();
    let before = node.keeper.store.commits();
    let renew = Message::Renew { sent_ms: 4, terms: vec![Term { lane: lane(0), since: Epoch(1) }] };
    let answers = node.ask(1, renew);
    assert!(matches!(&answers[..], [Message::Granted { sent_ms: 4, .. }]));
    let (sender, mut views) = oneshot::channel();
    node.turn([Request::Views(false, sender)]);
    let views = views.try_recv().unwrap();
    assert_eq!(
        (views.voters, views.groups),
        (set(1), vec![KnownRegister::chosen(register(GROUP, 5, 1))])
    );
    assert_eq!(node.keeper.store.commits(), before);
}

#[test]
fn what_an_answer_depends_on_is_on_the_disk_when_the_answer_leaves() {
    let bench = Bench::new();
    let mut node = bench.voter();
    let (path, image) = (bench.path(), bench.dir.path().join("image.redb"));
    let checked = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&checked);
    node.keeper.outlet = Box::new(move |_, event| {
        let ControlEvent::Answers(_) = event else { return };
        let kept = crash_image(&path, &image);
        assert_eq!(kept.slots[&GROUP].promised, ballot(9));
        assert_eq!(kept.slots[&GROUP].accepted, Some((ballot(9), register(GROUP, 6, 1))));
        seen.store(true, Ordering::Relaxed);
    });
    let value = register(GROUP, 6, 1);
    let accept = RegisterMessage::Accept { value, consent: Vec::new() };
    node.turn([voter(1, prepare(GROUP, 9)), voter(1, step(GROUP, 9, accept))]);
    assert!(checked.load(Ordering::Relaxed));
}

#[test]
fn a_restarted_voter_remembers_and_takes_no_lane_for_one_lease_time() {
    let bench = Bench::new();
    let mut node = bench.voter();
    assert!(node.vote(1, prepare(GROUP, 9)).is_some());
    drop(node);
    let (store, kept) = bench.open();
    let mut node = Node::start(200_000, store, &kept);
    let outbid = RegisterMessage::Outbid { promised: ballot(9) };
    assert_eq!(node.vote(1, prepare(GROUP, 8)), Some(outbid));
    let mut value = register(GROUP, 6, 1);
    value.lanes[0].node = PEER;
    value.lanes[0].since = Epoch(6);
    let accept = step(GROUP, 10, RegisterMessage::Accept { value, consent: Vec::new() });
    let runs = RegisterMessage::LeaseRuns { remaining_ms: 1_500 };
    assert_eq!(node.vote(1, accept.clone()), Some(runs));
    node.now_ms += 1_500;
    assert_eq!(node.vote(1, accept), Some(RegisterMessage::Accepted));
}

#[test]
fn nothing_behind_a_stop_is_done_and_a_clean_one_is_stored() {
    let bench = Bench::new();
    let mut node = bench.voter();
    node.keeper.store.start_life("one", [], 0).unwrap();
    let requests = [
        store(0, 1, vec![Change::Promise(lane(0), Epoch(6))]),
        Request::Stop { clean: true },
        store(0, 2, vec![Change::Promise(lane(0), Epoch(7))]),
    ];
    assert!(node.keeper.run(0, requests).unwrap(), "it stops");
    assert_eq!(node.told(), [(0, ControlEvent::Stored(1))]);
    drop(node);
    let (mut store, kept) = bench.open();
    assert_eq!(kept.promises[&lane(0)], Epoch(6));
    assert_eq!(store.start_life("two", [lane(0)], 0).unwrap().forgot, [].into());
}

#[test]
fn views_show_accepted_registers_only_to_who_asks_for_them() {
    let bench = Bench::new();
    let mut node = bench.voter();
    let value = register(GROUP, 6, 1);
    let accept = RegisterMessage::Accept { value, consent: Vec::new() };
    node.turn([voter(1, step(GROUP, 9, accept)), voter(1, prepare(LogicGroup(8), 9))]);
    let electorate = &node.keeper.electorate;
    assert_eq!(
        electorate.views(false).groups,
        [KnownRegister::chosen(register(GROUP, 5, 1))],
        "what is agreed"
    );
    let accepted = Some(ballot(9));
    let known = KnownRegister { register: register(GROUP, 6, 1), accepted, chosen: false };
    let both = [known.clone(), KnownRegister::chosen(register(GROUP, 5, 1))];
    assert_eq!(electorate.views(true).groups, both, "what may be");
    let chosen = RegisterMessage::Chosen { value: register(GROUP, 6, 1) };
    node.turn([voter(1, step(GROUP, 9, chosen))]);
    let chosen = [KnownRegister { chosen: true, ..known }];
    assert_eq!(node.keeper.electorate.views(true).groups, chosen);
}

/// A disk whose fsyncs fail from some moment on.
#[derive(Debug)]
pub(super) struct FailingDisk {
    memory: InMemoryBackend,
    fails: Arc<AtomicBool>,
}

impl FailingDisk {
    pub(super) fn new() -> (Self, Arc<AtomicBool>) {
        let fails = Arc::new(AtomicBool::new(false));
        (Self { memory: InMemoryBackend::new(), fails: Arc::clone(&fails) }, fails)
    }
}

type Io<T> = Result<T, std::io::Error>;

impl StorageBackend for FailingDisk {
    fn len(&self) -> Io<u64> {
        self.memory.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> Io<()> {
        self.memory.read(offset, out)
    }
    fn set_len(&self, len: u64) -> Io<()> {
        self.memory.set_len(len)
    }
    fn sync_data(&self) -> Io<()> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(std::io::Error::other("the disk is broken"));
        }
        self.memory.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> Io<()> {
        self.memory.write(offset, data)
    }
}

#[test]
fn after_a_failed_commit_nobody_is_told_anything() {
    let bench = Bench::new();
    let (disk, fails) = FailingDisk::new();
    let store = ControlStore::on_backend(&bench.path(), &identity(), disk).unwrap();
    let mut node = Node::start(0, store, &Kept::default());
    let (request, _) = admit(&set(1), vec![register(GROUP, 5, 1)]);
    node.turn([request]);
    node.told();
    fails.store(true, Ordering::Relaxed);
    let (sender, mut views) = oneshot::channel();
    let (request, mut admitted) = admit(&set(2), vec![register(GROUP, 6, 2)]);
    let requests = [
        voter(1, prepare(GROUP, 9)),
        store_request(),
        Request::Learn { worker: 0, from: PEER, set: set(2) },
        Request::Views(false, sender),
        request,
    ];
    let error = node.keeper.run(0, requests).expect_err("the disk is broken").to_string();
    assert!(error.contains("control.redb") && error.contains("the disk is broken"), "{error}");
    assert_eq!(node.told(), []);
    assert!(views.try_recv().is_err() && admitted.try_recv().is_err());
}

fn store_request() -> Request {
    store(0, 1, vec![Change::Promise(lane(0), Epoch(6))])
}

#[test]
fn a_keeper_needs_nothing_but_what_the_file_kept() {
    let bench = Bench::new();
    let node = bench.voter();
    drop(node);
    let (store, kept) = bench.open();
    let electorate = Electorate::start(0, ME, &kept);
    assert_eq!(electorate.known(), &set(1));
    assert_eq!(kept.admitted, Some(generation(1)));
    let keeper = Keeper::new(store, electorate, 0, Box::new(|_, _| {}));
    assert_eq!(
        keeper.electorate.views(false).groups,
        [KnownRegister::chosen(register(GROUP, 5, 1))]
    );
}
