//! A worker's life: what other threads send it, and its regular duties.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use common::ids::LogicGroup;
use rt::stop::Stop;
use tokio::sync::{mpsc, oneshot};

use crate::engine::FlushDone;
use crate::shared::Shared;
use crate::worker::core::Core;
use crate::worker::group::{Group, GroupStatus, OpenedGroup};
use crate::worker::peer;

/// How often flushes, expiry and back-pressure are looked at.
const TICK: Duration = Duration::from_millis(50);

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
        name: String,
    },
    /// Groups that were opened for a topology.
    Groups(Vec<OpenedGroup>),
    /// A flush ended.
    Flushed(LogicGroup, FlushDone),
    /// Somebody wants to see the groups.
    Status(oneshot::Sender<Vec<GroupStatus>>),
}

/// One worker.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) core: RefCell<Core>,
    pub(crate) index: usize,
}

impl Worker {
    /// Sends the answers of a turn.
    pub(crate) fn flush_touched(&self) {
        let touched = self.core.borrow_mut().take_touched();
        touched.iter().for_each(|peer| peer.flush());
    }

    /// Holds a writer up for as long as memory is above its budget: gradually, never for good.
    pub(crate) async fn slow_down(&self) {
        let pause = self.core.borrow().pause();
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
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
    let worker = Rc::new(Worker { shared, core: RefCell::new(core), index });
    tokio::task::spawn_local(follow_log(Rc::clone(&worker)));
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
            _ = tick.tick() => worker.core.borrow_mut().maintain(worker.index),
        }
    }
}

/// Lets what waits for the log become official, and its answers reach the peers.
async fn drain(worker: &Worker) {
    worker.shared.log.request_sync(worker.shared.log.appended());
    let deadline = rt::clock::now() + DRAIN_MAX;
    while worker.core.borrow().has_pending() && rt::clock::now() < deadline {
        tokio::time::sleep(DRAIN_STEP).await;
    }
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

fn on_message(worker: &Rc<Worker>, message: Message) {
    match message {
        Message::Peer { stream, input, name } => match tokio::net::TcpStream::from_std(stream) {
            Ok(stream) => {
                let serving = peer::serve(Rc::clone(worker), stream, input, name);
                tokio::task::spawn_local(serving);
            }
            Err(error) => tracing::debug!(%error, peer = name, "peer lost"),
        },
        Message::Groups(groups) => {
            let mut core = worker.core.borrow_mut();
            core.groups.extend(groups.into_iter().map(|group| (group.id, Group::new(group))));
        }
        Message::Flushed(group, done) => {
            worker.core.borrow_mut().on_flushed(worker.index, group, done);
        }
        Message::Status(answer) => {
            let core = worker.core.borrow();
            // The asker may be gone; then nobody wants to know.
            drop(answer.send(core.groups.values().map(Group::status).collect()));
        }
    }
}
