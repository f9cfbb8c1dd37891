//! The connections to other nodes, and what waits to be sent on them.
//!
//! Both ends use one connection for everything they say to each other. Messages may be lost: a
//! link that is down, or whose peer reads too slowly, takes none, and the protocol repeats.
//!
//! While records are on their way that the other end acknowledges at once, what else is to be said
//! waits for that: each frame then carries what many lanes and clients wrote in the meantime.

use std::collections::BTreeMap;
use std::rc::Rc;

use common::ids::{LogicGroup, NodeId, VoterGeneration};
use common::limits::FRAME_BYTES_MAX;
use common::wire::frame::FrameType;

use crate::replication::wire;
use crate::worker::peer::Peer;

/// A frame that grew above this is closed, and the next one begun.
const FRAME_BYTES: usize = 4 << 20;
/// A frame that grew above this is not held back.
const HELD_BYTES: usize = 128 << 10;
/// With so many unsent bytes a link takes nothing more.
const UNSENT_BYTES_MAX: usize = 48 << 20;

/// One connection.
struct Link {
    /// The worker at the other end.
    worker: u16,
    peer: Rc<Peer>,
    /// The body of the frame that is being filled; empty if none is.
    body: Vec<u8>,
    /// It holds records, which the other end acknowledges at once.
    has_records: bool,
    /// Records were sent and not acknowledged yet.
    awaits: bool,
}

struct Node {
    /// How many workers it has.
    workers: u16,
    links: Vec<Link>,
}

/// The links of one worker.
#[derive(Default)]
pub(crate) struct Links {
    nodes: BTreeMap<NodeId, Node>,
    generation: VoterGeneration,
    dirty: bool,
}

impl Links {
    /// Frames say from now on that this voter set is known here.
    pub(crate) fn set_generation(&mut self, generation: VoterGeneration) {
        // What was begun says that the older one is.
        for link in self.nodes.values_mut().flat_map(|node| &mut node.links) {
            link.close_frame();
        }
        self.generation = generation;
    }

    /// A connection is of use. One that was there for the same worker is forgotten.
    pub(crate) fn add(&mut self, node: NodeId, worker: u16, workers: u16, peer: Rc<Peer>) {
        let node = self.nodes.entry(node).or_insert(Node { workers, links: Vec::new() });
        node.workers = workers.max(1);
        node.links.retain(|link| link.worker != worker);
        let (body, has_records, awaits) = (Vec::new(), false, false);
        node.links.push(Link { worker, peer, body, has_records, awaits });
    }

    /// A connection ended. Says whether the node cannot be reached at all now.
    pub(crate) fn remove(&mut self, node: NodeId, peer: &Rc<Peer>) -> bool {
        let Some(entry) = self.nodes.get_mut(&node) else { return false };
        let before = entry.links.len();
        entry.links.retain(|link| !Rc::ptr_eq(&link.peer, peer));
        before > 0 && entry.links.is_empty()
    }

    /// Puts a message for a node's part in `group` (or for any of its workers) into its next frame.
    /// Says whether there is a way to it.
    pub(crate) fn put(
        &mut self,
        to: NodeId,
        group: Option<LogicGroup>,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let generation = self.generation;
        let Some(link) = self.link(to, group) else { return false };
        if link.peer.unsent() > UNSENT_BYTES_MAX {
            metrics::counter!("fdht_node_link_drops_total").increment(1);
            return false;
        }
        if link.body.is_empty() {
            wire::put_generation(&mut link.body, generation);
        }
        let start = link.body.len();
        encode(&mut link.body);
        if link.body.len() > FRAME_BYTES_MAX {
            // A long record: it fits in a frame of its own.
            let message = link.body.split_off(start);
            link.close_frame();
            wire::put_generation(&mut link.body, generation);
            link.body.extend_from_slice(&message);
        }
        if link.body.len() > FRAME_BYTES {
            link.close_frame();
        }
        self.dirty = true;
        true
    }

    /// The frame that is being filled for a group's part of a node holds records.
    pub(crate) fn has_records(&mut self, to: NodeId, group: LogicGroup) {
        let link = self.link(to, Some(group));
        if let Some(link) = link.filter(|link| !link.body.is_empty()) {
            link.has_records = true;
        }
    }

    /// The connection to a node's part in `group`, or to any of its workers.
    fn link(&mut self, to: NodeId, group: Option<LogicGroup>) -> Option<&mut Link> {
        let node = self.nodes.get_mut(&to)?;
        match group.map(|group| group.0 % node.workers) {
            Some(worker) => node.links.iter_mut().find(|link| link.worker == worker),
            None => node.links.first_mut(),
        }
    }

    /// A frame of the node arrived: what was held back may go.
    pub(crate) fn answered(&mut self, from: NodeId) {
        let links = self.nodes.get_mut(&from).into_iter().flat_map(|node| &mut node.links);
        links.for_each(|link| link.awaits = false);
        self.dirty = true;
    }

    /// Time passed: nothing is held back for longer.
    pub(crate) fn release(&mut self) {
        let links = self.nodes.values_mut().flat_map(|node| &mut node.links);
        links.for_each(|link| link.awaits = false);
        self.dirty = true;
    }

    /// Hands the frames of the turn to their connections, which have bytes to send then.
    pub(crate) fn close_frames(&mut self, mut touched: impl FnMut(&Rc<Peer>)) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        for link in self.nodes.values_mut().flat_map(|node| &mut node.links) {
            if link.awaits && link.body.len() < HELD_BYTES {
                self.dirty |= !link.body.is_empty();
                continue;
            }
            link.close_frame();
            if link.peer.unsent() > 0 {
                touched(&link.peer);
            }
        }
    }

    /// Drops what was put since the last [`Self::close_frames`]: it must not be said.
    pub(crate) fn forget_frames(&mut self) {
        for link in self.nodes.values_mut().flat_map(|node| &mut node.links) {
            link.body.clear();
            link.has_records = false;
        }
    }
}

impl Link {
    fn close_frame(&mut self) {
        const KEPT_BYTES: usize = 1 << 20;
        if self.body.is_empty() {
            return;
        }
        self.peer.put_frame(FrameType::Peer, 0, |out| out.extend_from_slice(&self.body));
        self.awaits |= std::mem::take(&mut self.has_records);
        self.body.clear();
        if self.body.capacity() > KEPT_BYTES {
            self.body = Vec::new();
        }
    }
}
