//! A node's control file with the keeper over it, and what the keeper told.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

use common::ids::{
    ClusterId, Epoch, Lane, LogicGroup, NodeId, ServerIndex, StoreId, VoterGeneration,
};
use common::register::{LaneLeader, Member, Register, VoterSet};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::control::electorate::Electorate;
use crate::control::turn::Keeper;
use crate::control::{ControlEvent, ControlStore, Kept, NodeIdentity, Request};
use crate::files::RealFs;
use crate::replication::message::{Message, RegisterMessage};
use crate::replication::register::Ballot;

/// The node under test; always a voter of [`set`].
pub(super) const ME: NodeId = NodeId(1);
pub(super) const PEER: NodeId = NodeId(2);
pub(super) const GROUP: LogicGroup = LogicGroup(7);
pub(super) const WORKERS: usize = 2;

pub(super) fn identity() -> NodeIdentity {
    NodeIdentity { store: StoreId(77), cluster: ClusterId::of_name("demo"), node: ME }
}

pub(super) fn lane(server: u8) -> Lane {
    Lane { group: GROUP, server: ServerIndex(server) }
}

pub(super) fn generation(number: u32) -> VoterGeneration {
    VoterGeneration(number)
}

pub(super) fn set(number: u32) -> VoterSet {
    VoterSet { generation: generation(number), voters: vec![ME, PEER, NodeId(3)] }
}

pub(super) fn ballot(round: u64) -> Ballot {
    Ballot { round, node: PEER, life: 1 }
}

/// A register of two servers.
pub(super) fn register(group: LogicGroup, epoch: u64, voters: u32) -> Register {
    let servers = [ME, PEER];
    let leader = |node| LaneLeader { node, since: Epoch(1) };
    Register {
        group,
        generation: generation(voters),
        epoch: Epoch(epoch),
        servers: servers.map(|node| Member { node, store: StoreId(u128::from(node.0)) }).into(),
        in_step: servers.into(),
        lanes: servers.map(leader).into(),
        leaving: None,
        moving: None,
    }
}

pub(super) fn step(group: LogicGroup, round: u64, step: RegisterMessage) -> Message {
    Message::Register { group, ballot: ballot(round), step }
}

pub(super) fn prepare(group: LogicGroup, round: u64) -> Message {
    step(group, round, RegisterMessage::Prepare)
}

/// A message of the peer through worker 0.
pub(super) fn voter(voters: u32, message: Message) -> Request {
    Request::Voter { worker: 0, from: PEER, generation: generation(voters), message }
}

pub(super) type Answer<T> = oneshot::Receiver<T>;

pub(super) fn admit(
    set: &VoterSet,
    registers: Vec<Register>,
) -> (Request, Answer<Result<(), String>>) {
    let (sender, receiver) = oneshot::channel();
    (Request::Admit(set.clone(), registers, sender), receiver)
}

pub(super) fn install(set: VoterSet) -> (Request, Answer<Result<(), String>>) {
    let (sender, receiver) = oneshot::channel();
    (Request::Install(set, sender), receiver)
}

/// A data directory.
pub(super) struct Bench {
    pub(super) dir: TempDir,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("control.redb")
    }

    pub(super) fn create(&self) -> (ControlStore, Kept) {
        ControlStore::create(&RealFs, &self.path(), &identity()).unwrap()
    }

    pub(super) fn open(&self) -> (ControlStore, Kept) {
        ControlStore::open(&RealFs, &self.path(), &identity()).unwrap()
    }

    /// A node whose voter is blank.
    pub(super) fn blank(&self) -> Node {
        let (store, kept) = self.create();
        Node::start(0, store, &kept)
    }

    /// A node whose voter was admitted to the set of generation 1 with the group at epoch 5, long
    /// enough ago to take lanes.
    pub(super) fn voter(&self) -> Node {
        let mut node = self.blank();
        let (request, mut answer) = admit(&set(1), vec![register(GROUP, 5, 1)]);
        node.turn([request]);
        assert_eq!(answer.try_recv(), Ok(Ok(())));
        node.told();
        node.now_ms = 100_000;
        node
    }
}

/// What a crash at this moment leaves: redb changes a file in place, so its present bytes.
pub(super) fn crash_image(path: &Path, to: &Path) -> Kept {
    std::fs::copy(path, to).unwrap();
    let (_, kept) = ControlStore::open(&RealFs, to, &identity()).unwrap();
    kept
}

/// The keeper, and the events it sent.
pub(super) struct Node {
    pub(super) now_ms: u64,
    pub(super) keeper: Keeper,
    pub(super) events: Receiver<(usize, ControlEvent)>,
}

impl Node {
    pub(super) fn start(now_ms: u64, store: ControlStore, kept: &Kept) -> Self {
        let (sender, events) = channel();
        let outlet = Box::new(move |worker, event| sender.send((worker, event)).unwrap());
        let electorate = Electorate::start(now_ms, ME, kept);
        Self { now_ms, keeper: Keeper::new(store, electorate, WORKERS, outlet), events }
    }

    /// One turn that must not fail or stop.
    pub(super) fn turn(&mut self, requests: impl IntoIterator<Item = Request>) {
        assert!(!self.keeper.run(self.now_ms, requests).unwrap());
    }

    /// Events since the last look.
    pub(super) fn told(&self) -> Vec<(usize, ControlEvent)> {
        self.events.try_iter().collect()
    }

    /// The voter's answers to a message, if there are any and nothing else was told.
    pub(super) fn ask(&mut self, voters: u32, message: Message) -> Vec<Message> {
        self.turn([voter(voters, message)]);
        let mut answers = Vec::new();
        for (worker, event) in self.told() {
            let ControlEvent::Answers(of_worker) = event else { panic!("{event:?}") };
            assert_eq!(worker, 0);
            for (to, message) in of_worker {
                assert_eq!(to, PEER);
                answers.push(message);
            }
        }
        answers
    }

    /// The answer to a step of a register's round, if there is one.
    pub(super) fn vote(&mut self, voters: u32, message: Message) -> Option<RegisterMessage> {
        match self.ask(voters, message).pop()? {
            Message::Register { step, .. } => Some(step),
            other => panic!("{other:?}"),
        }
    }
}

/// The ballot under which the voter of [`Bench::voter`] accepted its first register.
pub(super) fn first_ballot() -> Ballot {
    Ballot { round: 0, node: NodeId(0), life: 5 }
}
