//! A node with one worker, whose other threads are played by the test.

use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use common::ids::{LogicGroup, Lsn};
use common::version::HlcClock;
use config::Topology;
use tempfile::TempDir;

use crate::binlog::{LogOptions, MemFs, PowerCut, SyncEvent, WhenAbsent};
use crate::data_dir::DataDir;
use crate::error::StartError;
use crate::flusher::{Flusher, Work};
use crate::replay;
use crate::shared::{Limits, Parts, Shared};
use crate::topology::open_groups;
use crate::worker::Core;
use crate::worker::group::Group;
use crate::worker::tests::client::{Client, Thread};
use crate::worker::tests::gate::{Gate, WAIT_MAX};
use crate::worker::tests::request::{CLUSTER, Request};

/// What a node is made of.
#[derive(Clone, Copy)]
pub(super) struct Setup {
    /// Logic groups.
    pub(super) groups: u16,
    /// Servers of the physical group; the node is the first.
    pub(super) servers: u8,
    /// A memtable above this is flushed.
    pub(super) memtable_bytes: usize,
    /// Length of the log's segments.
    pub(super) segment_bytes: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self { groups: 1, servers: 1, memtable_bytes: usize::MAX / 4, segment_bytes: 1 << 20 }
    }
}

/// The node. Its log syncs only what somebody asks for.
pub(super) struct Node {
    /// Before the core: the log's thread cannot end in front of a closed gate.
    pub(super) gate: Gate,
    pub(super) core: Core,
    pub(super) disk: MemFs,
    synced: Receiver<SyncEvent>,
    work: Receiver<Work>,
    setup: Setup,
    /// Below everything that has it open.
    dir: Rc<TempDir>,
    thread: Rc<Thread>,
}

impl Node {
    /// A new and empty node.
    pub(super) fn new(setup: Setup) -> Self {
        let dir = Rc::new(tempfile::tempdir().unwrap());
        Self::open(setup, dir, Rc::new(Thread::new()), MemFs::new(), true).unwrap()
    }

    fn open(
        setup: Setup,
        dir: Rc<TempDir>,
        thread: Rc<Thread>,
        disk: MemFs,
        create: bool,
    ) -> Result<Self, StartError> {
        let data = DataDir::open(&dir.path().join("a1"), CLUSTER, "a1", create)?;
        let topology = Topology::parse(&topology(setup)).unwrap();
        let limits = Limits {
            memtable_bytes: setup.memtable_bytes,
            cache_bytes: 8 << 20,
            log_bytes: u64::MAX,
        };
        let mut groups = open_groups(&data, limits, &topology, create)?;
        let gate = Gate::default();
        let options = LogOptions {
            segment_bytes: setup.segment_bytes,
            sync_interval: Duration::from_secs(24 * 3600),
            when_absent: if create { WhenAbsent::Create } else { WhenAbsent::Refuse },
        };
        let (log, hlc) = replay::open_log(gate.before(&disk), &data, options, &mut groups)?;
        let (flusher, work) = Flusher::new();
        let (sender, _) = rt::worker::inbox(1);
        let shared = Arc::new(Shared::new(Parts {
            name: "a1".to_owned(),
            cluster: CLUSTER.to_owned(),
            dir: data,
            secret: None,
            limits,
            log,
            flusher,
            workers: vec![sender],
            topology: Some(topology),
        }));
        let (events, synced) = channel();
        // The test may be over, or not interested.
        shared.log.on_sync(move |event| drop(events.send(event)));
        let groups = groups.into_values().collect();
        let core = Core::new(shared, groups, HlcClock::starting_after(hlc));
        Ok(Self { gate, core, disk, synced, work, setup, dir, thread })
    }

    /// A client that passed the handshake.
    pub(super) fn connect(&self) -> Client {
        Client::connect(&self.thread)
    }

    /// Executes requests that arrived together. Returns their ids.
    pub(super) fn turn<const N: usize>(
        &mut self,
        client: &mut Client,
        requests: [Request; N],
    ) -> [u64; N] {
        self.turn_of_bodies(client, requests.map(|request| request.body()))
    }

    /// Executes what stands for requests.
    pub(super) fn turn_of_bodies<const N: usize>(
        &mut self,
        client: &mut Client,
        bodies: [Vec<u8>; N],
    ) -> [u64; N] {
        self.core.begin_turn();
        let ids = bodies.map(|body| {
            let id = client.next_id();
            self.core.execute(&client.peer, id, &body);
            id
        });
        self.core.end_turn();
        self.send();
        ids
    }

    /// Sends the answers of a turn.
    fn send(&mut self) {
        let touched = self.core.take_touched();
        self.thread.run(async { touched.iter().for_each(|peer| peer.flush()) });
    }

    /// Syncs the log as far as it is and tells the core.
    pub(super) fn sync(&mut self) {
        self.gate.open();
        let upto = self.core.shared.log.appended();
        self.core.shared.log.request_sync(upto);
        while self.core.shared.log.durable() < upto {
            let event = self.synced.recv_timeout(WAIT_MAX).unwrap();
            assert!(matches!(event, SyncEvent::Durable(_)), "{event:?}");
        }
        self.on_synced();
    }

    /// The same on a disk that may fail meanwhile.
    pub(super) fn try_sync(&mut self) {
        let upto = self.core.shared.log.appended();
        self.core.shared.log.request_sync(upto);
        let mut well = true;
        while well && self.core.shared.log.durable() < upto {
            well = matches!(self.synced.recv_timeout(WAIT_MAX).unwrap(), SyncEvent::Durable(_));
        }
        self.on_synced();
    }

    /// Lets the sync end that waits at the gate, and tells the core.
    pub(super) fn end_one_sync(&mut self) {
        self.gate.let_one_pass();
        let event = self.synced.recv_timeout(WAIT_MAX).unwrap();
        assert!(matches!(event, SyncEvent::Durable(_)), "{event:?}");
        self.on_synced();
    }

    /// Lets the next sync fail, and tells the core.
    pub(super) fn fail_sync(&mut self) {
        self.disk.fail_sync(1);
        self.gate.open();
        self.core.shared.log.request_sync(self.core.shared.log.appended());
        while !matches!(self.synced.recv_timeout(WAIT_MAX).unwrap(), SyncEvent::Poisoned(_)) {}
        self.on_synced();
    }

    fn on_synced(&mut self) {
        self.core.on_synced();
        self.send();
    }

    /// A tick of the worker.
    pub(super) fn tick(&mut self) {
        self.core.maintain(0);
        self.send();
    }

    /// Does what the flush thread was asked to do. Returns the groups that were flushed.
    pub(super) fn run_flush_thread(&mut self) -> Vec<LogicGroup> {
        let mut flushed = Vec::new();
        loop {
            match self.work.try_recv() {
                Ok(Work::Flush(group, job)) => {
                    let done = job.run();
                    flushed.push(group);
                    self.core.on_flushed(0, group, done);
                }
                // An error leaves segments that nobody needs.
                Ok(Work::Release(upto)) => drop(self.core.shared.log.release(upto)),
                Ok(Work::Stop) => panic!("nobody stops it"),
                Err(mpsc::TryRecvError::Empty) => return flushed,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// A group.
    pub(super) fn group(&mut self, group: u16) -> &mut Group {
        self.core.groups.get_mut(&LogicGroup(group)).unwrap()
    }

    /// The number of the last record of a group.
    pub(super) fn last(&mut self, group: u16) -> Lsn {
        self.group(group).status().lsn
    }

    /// The process dies and is started again on what the kernel has.
    pub(super) fn restart_after_kill(self) -> Self {
        let disk = self.disk.after_power_cut(PowerCut::KeepAll);
        self.restart_on(disk).unwrap()
    }

    /// The machine loses power and the node is started again on what the disk has.
    pub(super) fn restart_after_power_cut(self, mode: PowerCut) -> Self {
        let disk = self.disk.after_power_cut(mode);
        self.restart_on(disk).unwrap()
    }

    /// The process dies and is started again with this disk under its log.
    pub(super) fn restart_on(self, disk: MemFs) -> Result<Self, StartError> {
        let (setup, dir, thread) = (self.setup, Rc::clone(&self.dir), Rc::clone(&self.thread));
        drop(self);
        Self::open(setup, dir, thread, disk, false)
    }
}

/// One physical group with everything.
fn topology(setup: Setup) -> String {
    let names: Vec<_> = (1..=setup.servers).map(|server| format!("a{server}")).collect();
    let mut text = format!("format: 1\ncluster: {CLUSTER}\nepoch: 1\n");
    writeln!(text, "logic_groups: {}\nservers:", setup.groups).unwrap();
    for (name, port) in names.iter().zip(12_300..) {
        let admin = port + 1_000;
        writeln!(
            text,
            "  {name}: {{ address: \"127.0.0.1:{port}\", admin: \"127.0.0.1:{admin}\" }}"
        )
        .unwrap();
    }
    let (servers, last) = (names.join(", "), setup.groups - 1);
    write!(text, "physical_groups:\n  a: {{ servers: [{servers}], logic_groups: \"0-{last}\" }}\n")
        .unwrap();
    text
}
