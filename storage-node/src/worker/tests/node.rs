//! A node with one worker, whose other threads are played by the test, but for the log's sync thread
//! and the control thread, which are the real ones.

use std::fmt::Write as _;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use common::ids::{Lane, LogicGroup, Lsn, NodeId, ServerIndex};
use common::register::Register;
use config::Topology;

use crate::binlog::{LogOptions, MemFs, PowerCut, SyncEvent, WhenAbsent};
use crate::catch_up::CatchUp;
use crate::control::Control;
use crate::data_dir::DataDir;
use crate::error::StartError;
use crate::flusher::{Flusher, Work};
use crate::lane::{DedupWindow, Retention};
use crate::replay;
use crate::replication::lane::LaneReplica;
use crate::replication::position::Position;
use crate::shared::{Limits, Parts, Shared};
use crate::topology::open_groups;
use crate::worker::group::Group;
use crate::worker::lead::LeadLane;
use crate::worker::tests::client::{Client, Thread};
use crate::worker::tests::clock::WallStep;
use crate::worker::tests::control::{ControlFile, ControlThread};
use crate::worker::tests::gate::Gate;
use crate::worker::tests::request::CLUSTER;
use crate::worker::{Core, OpenedGroup, Started};

/// Where the log is on the node's disk.
pub(super) const LOG: &str = "/a1/log";

/// What a node is made of.
#[derive(Clone, Copy)]
pub(super) struct Setup {
    /// Logic groups.
    pub(super) groups: u16,
    /// Servers of the physical group; the node is the first.
    pub(super) servers: u8,
    /// A memtable above this is flushed.
    pub(super) memtable_bytes: usize,
    /// A file that takes less is not copied.
    pub(super) compact_bytes: u64,
    /// Length of the log's segments.
    pub(super) segment_bytes: u64,
    /// Budget of the dedup window.
    pub(super) dedup_bytes: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            groups: 1,
            servers: 1,
            memtable_bytes: usize::MAX / 4,
            compact_bytes: u64::MAX,
            segment_bytes: 1 << 20,
            dedup_bytes: 1 << 20,
        }
    }
}

/// The node. Its log syncs only what somebody asks for; faults of the disk are the log's alone.
pub(super) struct Node {
    /// Before the core: the log's thread cannot end in front of a closed gate.
    pub(super) gate: Gate,
    /// Before the core, which it does not know, and the directory, where its file is.
    pub(super) control: ControlThread,
    pub(super) core: Core,
    pub(super) disk: MemFs,
    pub(super) synced: Receiver<SyncEvent>,
    pub(super) work: Receiver<Work>,
    /// Scans and counts that need several slices get them only with [`Node::walk_slice`].
    pub(super) walks_wait: bool,
    setup: Setup,
    /// Of the machine.
    boot: u32,
    pub(super) thread: Rc<Thread>,
    /// Of its wall clock.
    pub(super) step: WallStep,
}

/// What outlives a process.
struct Machine {
    setup: Setup,
    boot: u32,
    thread: Rc<Thread>,
}

impl Node {
    /// A new and empty node that is its own voter and serves its groups' first lanes.
    pub(super) fn new(setup: Setup) -> Self {
        let mut node = Self::blank(setup);
        node.found();
        node.serve();
        node
    }

    /// A new node of which nobody has heard: its groups were never created.
    pub(super) fn blank(setup: Setup) -> Self {
        let machine = Machine { setup, boot: 1, thread: Rc::new(Thread::new()) };
        Self::open(machine, MemFs::new(), true).unwrap()
    }

    fn open(machine: Machine, disk: MemFs, create: bool) -> Result<Self, StartError> {
        let Machine { setup, boot, thread } = machine;
        let fs = Arc::new(disk.clone());
        disk.faults_below(Path::new(LOG));
        let data = DataDir::open(fs, Path::new("/a1"), CLUSTER, "a1", create)?;
        let topology = Topology::parse(&topology(setup)).unwrap();
        let limits = Limits {
            memtable_bytes: setup.memtable_bytes,
            cache_bytes: 8 << 20,
            dedup_bytes: setup.dedup_bytes,
            log_bytes: u64::MAX,
            compact_bytes: setup.compact_bytes,
            retention: Retention { keep_bytes: u64::MAX, keep_ms: u64::MAX },
        };
        let mut file =
            ControlFile::open(&disk, &data.control_path(), &data.node_identity(), create)?;
        let mut groups = open_groups(&data, limits, &topology, create)?;
        let gate = Gate::default();
        let options = LogOptions {
            segment_bytes: setup.segment_bytes,
            sync_interval: Duration::from_secs(24 * 3600),
            when_absent: if create { WhenAbsent::Create } else { WhenAbsent::Refuse },
        };
        let dedup = vec![DedupWindow::new(setup.dedup_bytes)];
        let disk_of_log = gate.before(&disk);
        let replayed =
            replay::open_log(disk_of_log, &data, options, &mut groups, dedup, usize::MAX)?;
        let life = file.start_life(boot, groups.values().flat_map(OpenedGroup::lanes_held));
        let (flusher, work) = Flusher::new();
        let (control, inbox) = Control::new();
        let (sender, _) = rt::worker::inbox(1);
        let shared = Arc::new(Shared::new(Parts {
            name: "a1".to_owned(),
            cluster: CLUSTER.to_owned(),
            dir: data,
            secret: None,
            limits,
            log: replayed.log,
            flusher,
            // Nobody reads old records: the way has no other end.
            catch_up: CatchUp::new().0,
            control,
            life,
            voters: file.voters(),
            workers: vec![sender],
            topology: Some(topology),
        }));
        let (events, synced) = channel();
        // The test may be over, or not interested.
        shared.log.on_sync(move |event| drop(events.send(event)));
        let control = file.start(inbox, &shared);
        let dedup = replayed.dedup.into_iter().next().unwrap();
        let started = Started { groups: groups.into_values().collect(), dedup, hlc: replayed.hlc };
        let core = Core::new(0, shared, started);
        let (walks_wait, step) = (false, WallStep::default());
        Ok(Self { gate, control, core, disk, synced, work, walks_wait, setup, boot, thread, step })
    }

    /// A client that passed the handshake.
    pub(super) fn connect(&self) -> Client {
        Client::connect(&self.thread)
    }

    /// What it is made of.
    pub(super) fn setup(&self) -> Setup {
        self.setup
    }

    /// A group.
    pub(super) fn group(&mut self, group: u16) -> &mut Group {
        self.core.groups.get_mut(&LogicGroup(group)).unwrap()
    }

    /// The register of a group as the node knows it.
    pub(super) fn register(&self, group: u16) -> Option<&Register> {
        self.core.groups.get(&LogicGroup(group))?.replica.register()
    }

    /// The first lane of a group, which this node leads.
    pub(super) fn lead(&self, group: u16) -> &LeadLane {
        self.core.groups[&LogicGroup(group)].lanes[0].lead.as_ref().unwrap()
    }

    /// The number of the last record of a group's first lane. The first one of a stream is no
    /// client's: it says where older streams end.
    pub(super) fn last(&self, group: u16) -> Lsn {
        let lanes = &self.core.status()[usize::from(group)].lanes;
        Lsn(lanes[0].last)
    }

    /// The last record of a group's first lane.
    pub(super) fn position(&self, group: u16) -> Position {
        self.replica(group).last()
    }

    /// Where the streams of a group's first lane end.
    pub(super) fn chain(&self, group: u16) -> Vec<Position> {
        self.replica(group).held().chain()
    }

    fn replica(&self, group: u16) -> &LaneReplica {
        self.core.groups[&LogicGroup(group)].replica.lane(ServerIndex(0)).unwrap()
    }

    /// The process dies and is started again on what the kernel has.
    pub(super) fn restart_after_kill(self) -> Self {
        let disk = self.disk.after_kill();
        let mut node = self.restart_on(disk).unwrap();
        node.serve();
        node
    }

    /// The machine loses power and the node is started again on what the disk has.
    pub(super) fn restart_after_power_cut(mut self, mode: PowerCut) -> Self {
        let disk = self.disk.after_power_cut(mode);
        self.boot += 1;
        let mut node = self.restart_on(disk).unwrap();
        node.serve();
        node
    }

    /// The process dies and is started again with this disk. It has not heard from
    /// its voter yet.
    pub(super) fn restart_on(self, disk: MemFs) -> Result<Self, StartError> {
        let thread = Rc::clone(&self.thread);
        let machine = Machine { setup: self.setup, boot: self.boot, thread };
        drop(self);
        Self::open(machine, disk, false)
    }
}

/// The node that is the second server of the physical group.
pub(super) fn other() -> NodeId {
    NodeId::of_name("a2")
}

/// A lane of group 0.
pub(super) fn lane(server: u8) -> Lane {
    Lane { group: LogicGroup(0), server: ServerIndex(server) }
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
