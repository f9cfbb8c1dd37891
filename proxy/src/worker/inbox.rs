//! A worker's life: what other threads send it, and its regular duties.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rt::stop::Stop;
use tokio::sync::mpsc;

use crate::pool::{LaneStatus, NodeStatus};
use crate::route::RouteTable;
use crate::session;
use crate::shared::{ConnectionGuard, Shared};
use crate::worker::Worker;
use crate::worker::flush::flush_task;
use crate::worker::follow::ask_nodes_task;
use crate::worker::node_task::{end_tasks, start_tasks};
use crate::worker::retry::retry_task;

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(50);

/// How long a stop waits for answers of nodes, in milliseconds.
const DRAIN_MS_MAX: u64 = 5_000;

/// What a worker can be sent.
pub(crate) enum Message {
    /// A client was accepted.
    Client(std::net::TcpStream, std::net::SocketAddr, ConnectionGuard),
    /// The topology changed.
    Topology,
    /// Somebody wants to see how nodes and lanes are.
    Status(tokio::sync::oneshot::Sender<WorkerStatus>),
}

/// How a worker reaches the nodes, and who leads the lanes as far as it knows.
#[derive(Clone, Debug)]
pub(crate) struct WorkerStatus {
    pub(crate) nodes: Vec<NodeStatus>,
    /// For each logic group its lanes by server index.
    pub(crate) lanes: Vec<Vec<LaneStatus>>,
}

/// Runs the worker until `stop`; its tasks end with it.
pub(crate) async fn run(
    index: usize,
    shared: Arc<Shared>,
    mut inbox: mpsc::Receiver<Message>,
    mut stop: Stop,
) {
    let route = Rc::new(RouteTable::new(&shared.topology.load_full()));
    let worker = Rc::new(Worker::new(index, shared, route));
    start_tasks(&worker);
    tokio::task::spawn_local(flush_task(Rc::clone(&worker)));
    tokio::task::spawn_local(retry_task(Rc::clone(&worker)));
    tokio::task::spawn_local(ask_nodes_task(Rc::clone(&worker)));
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
            _ = tick.tick() => on_tick(&worker),
        }
    }
}

/// Lets the commands under way end, and their answers reach the clients.
async fn drain(worker: &Rc<Worker>) {
    worker.begin_stopping();
    let deadline = worker.now_ms() + DRAIN_MS_MAX;
    while worker.pool.borrow().unanswered() > 0 && worker.now_ms() < deadline {
        tokio::time::sleep(TICK).await;
        on_tick(worker);
    }
}

fn on_message(worker: &Rc<Worker>, message: Message) {
    match message {
        Message::Client(stream, peer, guard) => session::accept(worker, stream, peer, guard),
        Message::Topology => {
            let topology = worker.shared.topology.load_full();
            worker.set_route(Rc::new(RouteTable::new(&topology)));
            end_tasks(worker);
            start_tasks(worker);
            // One worker is enough: a node has one topology.
            if worker.index == 0 {
                worker.pool.borrow_mut().announce(topology.text());
                worker.settle();
            }
        }
        Message::Status(answer) => {
            let pool = worker.pool.borrow();
            let status = WorkerStatus { nodes: pool.node_status(), lanes: pool.lane_status() };
            // The asker may be gone; then nobody wants to know.
            drop(answer.send(status));
        }
    }
}

fn on_tick(worker: &Rc<Worker>) {
    worker.begin_turn();
    let mut given_up = Vec::new();
    {
        let mut pool = worker.pool.borrow_mut();
        pool.expire(worker.now_ms(), &mut given_up);
        let (retries, views_adopted) = pool.take_counts();
        worker.counters.retries.add(retries);
        worker.counters.views_adopted.add(views_adopted);
        worker.counters.lanes_stalled.set(pool.stalled() as u64);
    }
    worker.give_up(given_up);
}
