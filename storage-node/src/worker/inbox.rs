//! A worker's life: what other threads send it, and its regular duties.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use common::ids::LogicGroup;
use common::register::Register;
use common::wire::command::NewGroup;
use rt::stop::Stop;
use tokio::sync::{mpsc, oneshot};

use crate::catch_up::CaughtUp;
use crate::control::ControlEvent;
use crate::engine::{CompactEnd, FlushDone};
use crate::shared::Shared;
use crate::worker::connection::{self, Introduced};
use crate::worker::core::Core;
use crate::worker::dial::{self, Dialing};
use crate::worker::flushing::PACE_STEP;
use crate::worker::group::OpenedGroup;
use crate::worker::slices;
use crate::worker::status::{DigestAsk, GroupStatus};

/// How often flushes, expiry and back-pressure are looked at.
pub const TICK: Duration = Duration::from_millis(50);
/// How often the protocol's timers are looked at.
const TIMERS: Duration = Duration::from_millis(10);

/// How long a stop waits for the log at most, and between two looks.
const DRAIN_MAX: Duration = Duration::from_secs(1);
const DRAIN_STEP: Duration = Duration::from_millis(5);

/// What a worker can be sent.
pub(crate) enum Message {
    /// A peer passed the handshake.
    Peer {
        stream: std::net::TcpStream,
        /// What it sent behind the handshake.
        input: BytesMut,
        peer: Introduced,
    },
    /// Groups that were opened for a topology.
    Groups(Vec<OpenedGroup>),
    /// The topology changed.
    Topology,
    /// The control thread did something.
    Control(ControlEvent),
    /// The log was read for a follower.
    CaughtUp(CaughtUp),
    /// A flush ended.
    Flushed(LogicGroup, FlushDone),
    /// A copy of a group's file ended.
    Compacted(LogicGroup, CompactEnd),
    /// Groups shall come into being.
    Create(Vec<NewGroup>, oneshot::Sender<Result<(), String>>),
    /// The process is about to stop: leave all groups. Answered when that is done.
    Depart(oneshot::Sender<()>),
    /// Somebody wants to see the groups.
    Status(oneshot::Sender<Vec<GroupStatus>>),
    /// Somebody wants to see the registers.
    Registers(oneshot::Sender<Vec<Register>>),
    /// Somebody compares the data of servers.
    Digest(DigestAsk, oneshot::Sender<Result<serde_json::Value, String>>),
}

/// One worker.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) core: RefCell<Core>,
    pub(crate) dialing: RefCell<Dialing>,
    pub(crate) index: usize,
    departing: RefCell<Option<oneshot::Sender<()>>>,
}

impl Worker {
    /// Sends the answers of a turn.
    pub(crate) fn flush_touched(&self) {
        let touched = self.core.borrow_mut().take_touched();
        touched.iter().for_each(|peer| peer.flush());
    }

    /// One turn of the core: looks at the clocks, does something, appends, answers.
    pub(crate) fn turn<T>(&self, what: impl FnOnce(&mut Core) -> T) -> T {
        let done = {
            let mut core = self.core.borrow_mut();
            core.begin_turn();
            let done = what(&mut core);
            core.end_turn();
            done
        };
        self.flush_touched();
        done
    }
}

/// Runs the worker until `stop`; its tasks end with it.
pub(crate) async fn run(
    index: usize,
    core: Core,
    mut inbox: mpsc::Receiver<Message>,
    mut stop: Stop,
) {
    let shared = Arc::clone(&core.shared);
    let worker = Rc::new(Worker {
        shared,
        core: RefCell::new(core),
        dialing: RefCell::default(),
        index,
        departing: RefCell::new(None),
    });
    tokio::task::spawn_local(follow_log(Rc::clone(&worker)));
    tokio::task::spawn_local(follow_timers(Rc::clone(&worker)));
    tokio::task::spawn_local(slices::follow(Rc::clone(&worker)));
    dial::follow_topology(&worker);
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.stopped() => return drain(&worker).await,
            message = inbox.recv() => match message {
                Some(message) => on_message(&worker, message),
                None => return,
            },
            _ = tick.tick() => worker.turn(Core::maintain),
        }
    }
}

/// Lets what waits for the log become official, and its answers reach the peers.
async fn drain(worker: &Worker) {
    worker.core.borrow_mut().end_pace();
    worker.flush_touched();
    worker.shared.log.request_sync(worker.shared.log.appended());
    let deadline = rt::clock::now() + DRAIN_MAX;
    while worker.core.borrow().has_pending() && rt::clock::now() < deadline {
        tokio::time::sleep(DRAIN_STEP).await;
    }
    // Each waits for the disk when it is closed.
    worker.core.borrow_mut().waits_for_log = None;
    let groups = std::mem::take(&mut worker.core.borrow_mut().groups);
    crate::parallel::drop_all(groups.into_values().map(|group| group.store));
}

/// Passes on what the log's sync thread reports.
async fn follow_log(worker: Rc<Worker>) {
    let Some(synced) = worker.shared.synced.get(worker.index) else { return };
    loop {
        synced.notified().await;
        worker.core.borrow_mut().on_synced();
        worker.flush_touched();
    }
}

/// The protocol's timers, and the pace of writes.
async fn follow_timers(worker: Rc<Worker>) {
    let mut timers = tokio::time::interval(TIMERS);
    timers.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let is_paced = worker.core.borrow().pace.is_paced();
        let due = tokio::select! {
            biased;
            _ = timers.tick() => true,
            () = tokio::time::sleep(PACE_STEP), if is_paced => false,
        };
        if due {
            worker.turn(Core::on_timers);
        }
        worker.core.borrow_mut().look_at_memory();
        worker.flush_touched();
        let departed = worker.departing.borrow().is_some() && worker.core.borrow().has_departed();
        if departed && let Some(answer) = worker.departing.take() {
            // The asker waits for a bounded time, so it may be gone.
            answer.send(()).unwrap_or_default();
        }
    }
}

fn on_message(worker: &Rc<Worker>, message: Message) {
    match message {
        Message::Peer { stream, input, peer } => match tokio::net::TcpStream::from_std(stream) {
            Ok(stream) => {
                let serving = connection::serve(Rc::clone(worker), stream, input, peer);
                tokio::task::spawn_local(serving);
            }
            Err(error) => tracing::debug!(%error, peer = peer.name, "peer lost"),
        },
        Message::Groups(groups) => worker.turn(|core| core.add_groups(groups)),
        Message::Topology => dial::follow_topology(worker),
        Message::Control(event) => {
            let voters = matches!(event, ControlEvent::Voters(_));
            worker.turn(|core| core.on_control(event));
            if voters {
                dial::follow_topology(worker);
            }
        }
        Message::CaughtUp(done) => worker.turn(|core| core.on_caught_up(done)),
        Message::Flushed(group, done) => worker.core.borrow_mut().on_flushed(group, done),
        Message::Compacted(group, end) => worker.core.borrow_mut().on_compacted(group, &end),
        // Whoever asks for one of these may be gone; then nobody wants to know.
        Message::Create(groups, answer) => {
            drop(answer.send(worker.turn(|core| core.create(groups))));
        }
        Message::Depart(answer) => {
            worker.departing.replace(Some(answer));
            worker.turn(Core::depart);
        }
        Message::Status(answer) => drop(answer.send(worker.core.borrow().status())),
        Message::Registers(answer) => drop(answer.send(worker.core.borrow().registers())),
        Message::Digest(ask, answer) => drop(answer.send(worker.core.borrow().digest(&ask))),
    }
}
