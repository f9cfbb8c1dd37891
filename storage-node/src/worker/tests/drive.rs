//! Driving the node: its worker's turns, its timers, and the threads beside it.

use std::time::Duration;

use common::ids::{Epoch, LogicGroup, NodeId, StoreId};
use common::register::Member;
use common::wire::command::NewGroup;
use common::wire::request as wire_request;
use rt::clock;

use crate::binlog::SyncEvent;
use crate::engine::CompactStep;
use crate::flusher::Work;
use crate::worker::Core;
use crate::worker::lead::Service;
use crate::worker::tests::client::Client;
use crate::worker::tests::gate::WAIT_MAX;
use crate::worker::tests::node::Node;
use crate::worker::tests::request::{AS_REGISTERED, Request};

/// Between two looks at something that another thread does.
const PAUSE: Duration = Duration::from_millis(1);
/// A turn begins with leases that run for so long, so that no test depends on how fast it is.
const LEASE_MS: u64 = 800;

impl Node {
    /// Makes the node the only voter and creates its groups.
    pub(super) fn found(&mut self) {
        self.control.admit(&self.core.shared);
        let event = self.control.event(WAIT_MAX).unwrap();
        self.core_turn(|core| core.on_control(event));
        let me = self.core.shared.node;
        let own = Member { node: me, store: self.core.shared.dir.store() };
        let other = |server| {
            let node = NodeId::of_name(&format!("a{server}"));
            Member { node, store: StoreId(u128::from(node.0)) }
        };
        let servers: Vec<_> =
            std::iter::once(own).chain((2..=self.setup().servers).map(other)).collect();
        let group = |group| NewGroup { group: LogicGroup(group), servers: servers.clone() };
        let groups = (0..self.setup().groups).map(group).collect();
        self.core_turn(|core| core.create(groups)).unwrap();
    }

    /// Turns timers, votes and syncs until the node serves every lane that its registers give it.
    pub(super) fn serve(&mut self) {
        self.until("no lane is served", |node| {
            node.hear_other();
            node.take_syncs();
            node.serves()
        });
    }

    fn serves(&self) -> bool {
        let (now_ms, me) = (clock::boot_ms(), self.core.shared.node);
        self.core.groups.values().all(|group| {
            let Some(register) = group.replica.register() else { return false };
            let mut own = register.leaders().filter(|(_, leader)| leader.node == me);
            own.all(|(server, leader)| {
                let lead = group.lane(server).and_then(|lane| lane.lead.as_ref());
                lead.is_some_and(|lead| {
                    let serves = lead.service == Service::Serving;
                    serves && lead.term.since == leader.since && now_ms < lead.lease_until_ms
                })
            })
        })
    }

    /// Lets time pass until something is so.
    pub(super) fn until(&mut self, otherwise: &str, mut so: impl FnMut(&mut Self) -> bool) {
        let deadline = clock::now() + WAIT_MAX;
        while !so(self) {
            assert!(clock::now() < deadline, "{otherwise}");
            self.pass_time(PAUSE);
        }
    }

    /// The worker's timers, and what the control thread has said by then.
    fn pass_time(&mut self, mut wait: Duration) {
        self.core_turn(Core::on_timers);
        while let Some(event) = self.control.event(std::mem::take(&mut wait)) {
            self.core_turn(|core| core.on_control(event));
        }
    }

    /// Renews the leases that end soon.
    fn keep_leases(&mut self) {
        self.pass_time(Duration::ZERO);
        self.until("a lease is not renewed", |node| {
            let until_ms = clock::boot_ms() + LEASE_MS;
            let lanes = node.core.groups.values().flat_map(|group| &group.lanes);
            let mut leads = lanes.filter_map(|lane| lane.lead.as_ref());
            leads.all(|lead| lead.service == Service::NotYet || lead.lease_until_ms > until_ms)
        });
    }

    /// One turn of the worker.
    pub(super) fn core_turn<T>(&mut self, what: impl FnOnce(&mut Core) -> T) -> T {
        self.core.begin_turn();
        self.step.apply(&mut self.core.wall_ms);
        let done = what(&mut self.core);
        self.core.end_turn();
        self.send();
        done
    }

    /// Executes requests that arrived together. Returns their ids.
    pub(super) fn turn<const N: usize>(
        &mut self,
        client: &mut Client,
        requests: [Request; N],
    ) -> [u64; N] {
        let bodies = requests.map(|request| self.body(request));
        self.turn_of_bodies(client, bodies)
    }

    /// Executes what stands for requests.
    pub(super) fn turn_of_bodies<const N: usize>(
        &mut self,
        client: &mut Client,
        bodies: [Vec<u8>; N],
    ) -> [u64; N] {
        self.keep_leases();
        self.core_turn(|core| {
            bodies.map(|body| {
                let id = client.next_id();
                core.execute(&client.peer, id, &body);
                id
            })
        })
    }

    /// A request's body, with the since-epoch that the register names.
    pub(super) fn body(&self, request: Request) -> Vec<u8> {
        let lane = request.head.lane;
        let leader = self.register(lane.group.0).and_then(|register| register.leader(lane.server));
        let since = leader.map_or(Epoch(0), |leader| leader.since);
        let registered = |head: &mut wire_request::RequestHead| {
            if head.since == AS_REGISTERED {
                head.since = since;
            }
        };
        request.with(registered).body()
    }

    /// One slice of the scans and counts that wait. Returns whether there are more.
    pub(super) fn walk_slice(&mut self) -> bool {
        self.keep_leases();
        self.core_turn(Core::walk_slice)
    }

    /// Sends the answers of a turn.
    fn send(&mut self) {
        while !self.walks_wait && self.core.walk_slice() {}
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
        let before = self.core.shared.log.durable();
        self.gate.let_one_pass();
        while self.core.shared.log.durable() == before {
            let event = self.synced.recv_timeout(WAIT_MAX).unwrap();
            assert!(matches!(event, SyncEvent::Durable(_)), "{event:?}");
        }
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

    /// Tells the core of syncs that ended.
    pub(super) fn take_syncs(&mut self) {
        if self.synced.try_iter().count() > 0 {
            self.on_synced();
        }
    }

    fn on_synced(&mut self) {
        self.core.on_synced();
        self.send();
    }

    /// A tick of the worker.
    pub(super) fn tick(&mut self) {
        self.core_turn(Core::maintain);
        self.core_turn(Core::reclaim_slice);
    }

    /// Does what the flush thread was asked to do. Returns the groups that were flushed.
    pub(super) fn run_flush_thread(&mut self) -> Vec<LogicGroup> {
        let mut flushed = Vec::new();
        while let Ok(work) = self.work.try_recv() {
            match work {
                Work::Flush(group, job) => {
                    let done = job.run();
                    flushed.push(group);
                    self.core.on_flushed(group, done);
                }
                Work::Compact(group, job) => match job.step() {
                    CompactStep::More(job) => {
                        self.core.shared.flusher.send(Work::Compact(group, job));
                    }
                    CompactStep::Done(end) => self.core.on_compacted(group, &end),
                },
                // An error leaves segments that nobody needs.
                Work::Release(upto) => drop(self.core.shared.log.release(upto)),
                Work::Drop(garbage) => drop(garbage),
                Work::Stop => panic!("nobody stops it"),
            }
        }
        flushed
    }
}
