//! The state of a worker, and the way of an answer to its owner.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use common::failure::Failure;
use common::reply::{Lookup, Reply};
use slab::Slab;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::counters::Counters;
use crate::front::call::Answer;
use crate::http::Exchange;
use crate::pool::{ConnectionKey, GivenUp, Pool, Ticket};
use crate::route::RouteTable;
use crate::session::Session;
use crate::shared::Shared;

/// Bytes one read takes from a client at most.
const SCRATCH_BYTES: usize = 64 << 10;

/// Who waits for answers.
#[derive(Clone)]
pub(crate) enum Owner {
    /// A RESP or FastDHT connection.
    Session(Rc<Session>),
    /// One HTTP request.
    Http(Rc<Exchange>),
}

/// One worker's state. Everything is single-threaded; borrows never live across an `.await`.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) index: usize,
    pub(crate) counters: Arc<Counters>,
    pub(crate) pool: RefCell<Pool>,
    pub(crate) tasks: RefCell<BTreeMap<ConnectionKey, AbortHandle>>,
    pub(crate) writers: RefCell<BTreeMap<ConnectionKey, Rc<tokio::net::tcp::OwnedWriteHalf>>>,
    pub(crate) scratch: RefCell<Box<[u8]>>,
    pub(crate) flush: Notify,
    /// Told when lanes are stalled.
    pub(crate) retry: Notify,
    route: RefCell<Rc<RouteTable>>,
    owners: RefCell<Slab<(u64, Owner)>>,
    touched: RefCell<Vec<Rc<Session>>>,
    refused: RefCell<GivenUp>,
    serial: Cell<u64>,
    requests: Cell<u64>,
    stopping: Cell<bool>,
    now_ms: Cell<u64>,
    wall_ms: Cell<u64>,
    request_prefix: u64,
    started: Instant,
}

impl Worker {
    pub(crate) fn new(index: usize, shared: Arc<Shared>, route: Rc<RouteTable>) -> Self {
        Self {
            counters: shared.counters(index),
            shared,
            index,
            pool: RefCell::new(Pool::new(Rc::clone(&route))),
            tasks: RefCell::default(),
            writers: RefCell::default(),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()),
            flush: Notify::new(),
            retry: Notify::new(),
            route: RefCell::new(route),
            owners: RefCell::default(),
            touched: RefCell::default(),
            refused: RefCell::default(),
            serial: Cell::new(0),
            requests: Cell::new(0),
            stopping: Cell::new(false),
            now_ms: Cell::new(0),
            wall_ms: Cell::new(rt::clock::wall_ms()),
            request_prefix: rt::random::u64(),
            started: rt::clock::now(),
        }
    }

    /// Looks at the clocks, once for all requests of the turn that begins.
    pub(crate) fn begin_turn(&self) {
        self.now_ms.set(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX));
        self.wall_ms.set(rt::clock::wall_ms());
    }

    /// Milliseconds since the worker started, as of this turn.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// Wall time in milliseconds since 1970, as of this turn.
    pub(crate) fn wall_ms(&self) -> u64 {
        self.wall_ms.get()
    }

    /// No command is started any more; those under way end.
    pub(crate) fn begin_stopping(&self) {
        self.stopping.set(true);
    }

    /// Whether the process is stopping.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// The routing in force.
    pub(crate) fn route(&self) -> Rc<RouteTable> {
        Rc::clone(&self.route.borrow())
    }

    /// Takes over a new routing. The caller starts the tasks of new connections.
    pub(crate) fn set_route(&self, route: Rc<RouteTable>) {
        self.begin_turn();
        self.pool.borrow_mut().apply(Rc::clone(&route), self.now_ms());
        self.route.replace(route);
        self.settle();
    }

    /// A fresh request id.
    pub(crate) fn next_request(&self) -> u128 {
        let number = self.requests.get() + 1;
        self.requests.set(number);
        u128::from(self.request_prefix) << 64 | u128::from(number)
    }

    /// Registers somebody who will wait for answers; returns place and serial number.
    pub(crate) fn add_owner(&self, owner: Owner) -> (usize, u64) {
        let serial = self.serial.get() + 1;
        self.serial.set(serial);
        (self.owners.borrow_mut().insert((serial, owner)), serial)
    }

    /// Nobody waits there any more; answers still on the way are dropped.
    pub(crate) fn remove_owner(&self, place: usize) {
        self.owners.borrow_mut().try_remove(place);
    }

    /// A request could not even be sent: its owner hears of it in [`Self::settle`].
    pub(crate) fn refuse(&self, ticket: Ticket, failure: Failure) {
        self.refused.borrow_mut().push((ticket, failure));
    }

    /// Hands many requests back at once, then settles.
    pub(crate) fn give_up(&self, mut given_up: GivenUp) {
        self.refused.borrow_mut().append(&mut given_up);
        self.settle();
    }

    /// Hands an answer to its owner. The owner's bytes go out in [`Self::settle`].
    pub(crate) fn deliver(&self, ticket: Ticket, answer: Answer<'_>) {
        self.count(&answer);
        let owner = match self.owners.borrow().get(ticket.owner) {
            Some((serial, owner)) if *serial == ticket.serial => owner.clone(),
            _ => return,
        };
        match owner {
            Owner::Session(session) => {
                session.on_answer(self, ticket, answer);
                self.touch(session);
            }
            Owner::Http(exchange) => exchange.on_answer(self, ticket, answer),
        }
    }

    fn count(&self, answer: &Answer<'_>) {
        match answer {
            Ok(Reply::Lookup(Lookup::Found(_))) => self.counters.hits.add(1),
            Ok(Reply::Lookup(Lookup::Missing)) => self.counters.misses.add(1),
            Ok(_) => {}
            Err(_) => self.counters.failures.add(1),
        }
    }

    /// The session has bytes for its client, or may go on reading: see [`Self::settle`].
    pub(crate) fn touch(&self, session: Rc<Session>) {
        if session.set_touched(true) {
            self.touched.borrow_mut().push(session);
        }
    }

    /// Ends a turn: failures made in it reach their owners, clients get their bytes with one write
    /// each, and the tasks that write to nodes and repeat requests are told when they have to.
    pub(crate) fn settle(&self) {
        loop {
            let refused = std::mem::take(&mut *self.refused.borrow_mut());
            if refused.is_empty() {
                break;
            }
            for (ticket, failure) in refused {
                self.deliver(ticket, Err(failure));
            }
        }
        let mut touched = std::mem::take(&mut *self.touched.borrow_mut());
        for session in touched.drain(..) {
            session.set_touched(false);
            session.flush();
        }
        // Keeps the capacity for the next turn.
        let mut place = self.touched.borrow_mut();
        if place.is_empty() {
            *place = touched;
        }
        drop(place);
        let pool = self.pool.borrow();
        if pool.is_dirty() {
            self.flush.notify_one();
        }
        if pool.is_stalled() {
            self.retry.notify_one();
        }
    }
}
