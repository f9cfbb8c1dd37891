//! What a call's operations go through on their way to the pool: lane, request id, durability,
//! deadline.

use common::address::Object;
use common::ids::{Epoch, Lane, LogicGroup, RequestId};
use common::op::Op;
use common::wire::request::{self, RequestHead};

use crate::front::call::{Durability, Submit};
use crate::pool::{Request, Ticket};
use crate::worker::Worker;

/// The [`Submit`] of one command.
pub(crate) struct Dispatcher<'w> {
    worker: &'w Worker,
    owner: usize,
    serial: u64,
    sequence: u64,
    large: bool,
    /// Requests that are not sent yet, when they are to be held back.
    held: Option<Vec<Vec<u8>>>,
}

impl<'w> Dispatcher<'w> {
    /// For the command number `sequence` of an owner. `large` sends by the connection for large
    /// requests.
    pub(crate) fn new(
        worker: &'w Worker,
        (owner, serial): (usize, u64),
        sequence: u64,
        large: bool,
    ) -> Self {
        Self { worker, owner, serial, sequence, large, held: None }
    }

    /// From now on requests are kept for [`Self::release`] instead of sent.
    pub(crate) fn hold_back(&mut self) {
        self.held = Some(Vec::new());
    }

    /// The requests that were held back.
    pub(crate) fn take_held(&mut self) -> Vec<Vec<u8>> {
        self.held.take().unwrap_or_default()
    }

    /// Sends a request that was held back.
    pub(crate) fn release(&mut self, held: &[u8]) {
        let Some((part, body)) = held.split_first_chunk::<4>() else { return };
        let (head, op) = request::decode(body).expect("was encoded by hold_back");
        let durability = Durability { acks: Some(head.acks), sync: Some(head.sync) };
        self.send(u32::from_le_bytes(*part), head.lane, &op, durability);
    }

    fn send(&mut self, part: u32, lane: Lane, op: &Op<'_>, durability: Durability) {
        let worker = self.worker;
        let route = worker.route();
        let ticket = Ticket {
            owner: self.owner,
            serial: self.serial,
            sequence: self.sequence,
            part,
            group: lane.group,
        };
        let write = route.write_options(op.object().map_or(&[], |object| object.namespace));
        let deadline = worker.shared.options.deadline_ms;
        let head = RequestHead {
            cluster: route.cluster,
            file_epoch: route.file_epoch,
            lane,
            acks: durability.acks.unwrap_or(write.acks),
            sync: durability.sync.unwrap_or(write.sync),
            since: Epoch(0),
            request: RequestId(worker.next_request()),
            age_ms: 0,
            remaining_ms: u32::try_from(deadline).unwrap_or(u32::MAX),
            attempt: 0,
        };
        if let Some(held) = &mut self.held {
            let mut request = part.to_le_bytes().to_vec();
            head.encode(&mut request);
            request::encode_op(&mut request, op);
            return held.push(request);
        }
        let deadline_ms = worker.now_ms().saturating_add(deadline);
        let request = Request { ticket, head, op, deadline_ms, large: self.large };
        let taken = worker.pool.borrow_mut().submit(&request, worker.now_ms());
        if let Err(failure) = taken {
            worker.refuse(ticket, failure);
        }
    }
}

impl Submit for Dispatcher<'_> {
    fn submit(&mut self, part: u32, op: &Op<'_>, durability: Durability) {
        let lane = op.object().map(|object| self.lane_of(object)).unwrap_or_default();
        self.send(part, lane, op, durability);
    }

    fn submit_to(&mut self, part: u32, lane: Lane, op: &Op<'_>) {
        self.send(part, lane, op, Durability::default());
    }

    fn lane_of(&self, object: Object<'_>) -> Lane {
        self.worker.route().lane_of(object)
    }

    fn logic_groups(&self) -> u16 {
        self.worker.route().logic_groups()
    }

    fn lanes_of(&self, group: LogicGroup) -> Vec<Lane> {
        self.worker.route().lanes_of(group)
    }

    fn now_ms(&self) -> u64 {
        self.worker.wall_ms()
    }
}
