//! The whole simulated cluster and its queue of events.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fmt;

use common::ids::LogicGroup;
use storage_node::replication::message::{Message, Records, Term};
use storage_node::replication::register::{Register, VoterGeneration, VoterSet};

use crate::checks::Checks;
use crate::client::{Answer, Client, Request};
use crate::log::Rec;
use crate::node::{Node, Unit};
use crate::rng::Rng;
use crate::setup::{CLIENTS, GROUPS, KEYS, NODES, Setup, node_id};
use crate::voters::Install;

/// What happens.
#[derive(Debug)]
pub enum What {
    /// A message between nodes arrives at a process start.
    Peer {
        from: usize,
        to: usize,
        life: u64,
        generation: VoterGeneration,
        message: Message,
        recs: Vec<Rec>,
    },
    /// A node is told that records it asked for have left the log.
    Gone { to: usize, life: u64, term: Term },
    /// A node learns that another one's address refuses connections.
    Refused { to: usize, node: usize },
    /// What a unit waited for is durable.
    Stored { node: usize, life: u64, unit: Unit },
    /// A node is told of a voter set.
    Voters { to: usize, set: VoterSet },
    /// A voter is admitted to a set.
    Admit { to: usize, set: VoterSet, registers: Vec<Register> },
    /// The operator replaces the voters.
    Install,
    /// A request arrives at a node.
    Request { to: usize, request: Request },
    /// An answer arrives at a client.
    Answer { client: usize, id: u64, group: LogicGroup, answer: Answer },
    /// A client asks a voter for a view.
    AskView { client: usize, to: usize, group: LogicGroup },
    /// A node's machines wanted to be called.
    Wake(usize),
    /// A node's log is made durable.
    Sync(usize),
    /// A client's timer.
    Client { client: usize, turn: u64 },
    /// A fault.
    Fault,
    /// The cluster is healed in part: links and slow nodes.
    Mend,
    /// A node starts.
    Start(usize),
}

/// Something that happens at a time.
#[derive(Debug)]
pub struct Event {
    at_us: u64,
    seq: u64,
    /// What.
    pub what: What,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    /// The earliest is the greatest, as a heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at_us, other.seq).cmp(&(self.at_us, self.seq))
    }
}

/// The cluster.
#[derive(Debug)]
pub struct World {
    /// Real time.
    pub now_us: u64,
    seq: u64,
    /// What will happen.
    pub queue: BinaryHeap<Event>,
    /// Chance.
    pub rng: Rng,
    /// The run's parameters.
    pub setup: Setup,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The clients.
    pub clients: Vec<Client>,
    /// Messages from one node to another do not arrive.
    pub cut: [[bool; NODES]; NODES],
    /// The operator's command, while it is under way.
    pub install: Option<Install>,
    /// No more faults: nothing is lost.
    pub healed: bool,
    /// Clients begin no new requests.
    pub quiet: bool,
    /// Ids of requests.
    pub requests: u64,
    /// The greatest register of each group that any node learned.
    pub registers: Vec<Option<Register>>,
    /// What must hold.
    pub checks: Checks,
    /// Print what happens.
    pub trace: bool,
}

impl World {
    /// A cluster that is about to start.
    #[must_use]
    pub fn new(setup: Setup, rng: Rng) -> Self {
        let nodes = (0..NODES).map(|index| Node::new(index, &setup)).collect();
        let clients = (0..CLIENTS + KEYS).map(|_| Client::default()).collect();
        Self {
            now_us: 0,
            seq: 0,
            queue: BinaryHeap::new(),
            rng,
            nodes,
            clients,
            cut: [[false; NODES]; NODES],
            install: None,
            healed: false,
            quiet: false,
            requests: 0,
            registers: vec![None; GROUPS],
            checks: Checks::new(setup.clone()),
            setup,
            trace: false,
        }
    }

    /// Prints what happens.
    #[expect(clippy::print_stdout, reason = "only when a seed is replayed with its trace")]
    pub fn say(&self, what: fmt::Arguments<'_>) {
        println!("{:>10} {what}", self.now_us);
    }

    /// Plans an event.
    pub fn plan(&mut self, at_us: u64, what: What) {
        self.seq += 1;
        self.queue.push(Event { at_us, seq: self.seq, what });
    }

    /// The next event; time moves to it.
    pub fn take_event(&mut self) -> Option<What> {
        let event = self.queue.pop()?;
        self.now_us = self.now_us.max(event.at_us);
        Some(event.what)
    }

    /// When something over the network arrives; none if it is lost.
    pub fn arrival_us(&mut self) -> Option<u64> {
        let mut delay_us = self.rng.range(100, 1_500);
        if !self.healed {
            if self.rng.permille(self.setup.loss) {
                return None;
            }
            if self.rng.permille(self.setup.slow) {
                delay_us = self.rng.range(1_000, 900_000);
            }
        }
        Some(self.now_us + delay_us)
    }

    /// Sends a message to a node's present process.
    pub fn send(&mut self, from: usize, to: usize, message: Message) {
        if let Message::Records(records) = &message
            && !self.retains(from, records)
        {
            return self.send_gone(from, to, records.term);
        }
        let recs = self.payload(from, &message);
        let life = self.nodes[to].life;
        let generation = self.nodes[from].disk.set.generation;
        if from == to {
            let at_us = self.now_us + 50;
            return self.plan(at_us, What::Peer { from, to, life, generation, message, recs });
        }
        if self.nodes[to].process.is_none() && self.setup.refuses && !self.cut[from][to] {
            let at_us = self.now_us + 1_000;
            self.plan(at_us, What::Refused { to: from, node: to });
        }
        let twice = !self.healed && self.rng.permille(self.setup.twice);
        for _ in 0..=u8::from(twice) {
            let Some(at_us) = self.arrival_us() else {
                continue;
            };
            if self.cut[from][to] {
                continue;
            }
            let (message, recs) = (message.clone(), recs.clone());
            self.plan(at_us, What::Peer { from, to, life, generation, message, recs });
        }
    }

    fn retains(&self, node: usize, records: &Records) -> bool {
        let log = self.nodes[node].disk.logs.get(&records.term.lane);
        log.is_none_or(|log| records.spans.iter().all(|span| log.retains(*span)))
    }

    fn send_gone(&mut self, from: usize, to: usize, term: Term) {
        let group = usize::from(term.lane.group.0);
        let replica = self.nodes[from].process.as_mut().and_then(|p| p.groups.get_mut(group));
        if let Some(replica) = replica {
            replica.on_gone(term, node_id(to));
        }
        let life = self.nodes[to].life;
        if let Some(at_us) = self.arrival_us().filter(|_| !self.cut[from][to]) {
            self.plan(at_us, What::Gone { to, life, term });
        }
    }

    fn payload(&self, from: usize, message: &Message) -> Vec<Rec> {
        let Message::Records(records) = message else {
            return Vec::new();
        };
        let log = self.nodes[from].disk.logs.get(&records.term.lane);
        let spans = log.into_iter().flat_map(|log| records.spans.iter().map(move |s| log.span(*s)));
        spans.flatten().cloned().collect()
    }

    /// Answers a client.
    pub fn answer(&mut self, request: &Request, group: LogicGroup, answer: Answer) {
        if let (Some(client), Some(at_us)) = (request.client, self.arrival_us()) {
            self.plan(at_us, What::Answer { client, id: request.id, group, answer });
        }
    }
}
