//! The connections to other nodes, and what waits to be sent on them.
//!
//! Both ends use one connection for everything they say to each other. Messages may be lost: a
//! link that is down, or whose peer reads too slowly, takes none, and the protocol repeats.

use std::collections::BTreeMap;
use std::rc::Rc;

use common::ids::{LogicGroup, NodeId, VoterGeneration};
use common::wire::frame::FrameType;

use crate::replication::wire;
use crate::worker::peer::Peer;

/// A frame that grew above this is closed, and the next one begun.
const FRAME_BYTES: usize = 4 << 20;
/// With so many unsent bytes a link takes nothing more.
const UNSENT_BYTES_MAX: usize = 48 << 20;

/// One connection.
struct Link {
    /// The worker at the other end.
    worker: u16,
    peer: Rc<Peer>,
    /// The body of the frame that is being filled; empty if none is.
    body: Vec<u8>,
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
        self.generation = generation;
    }

    /// A connection is of use. One that was there for the same worker is forgotten.
    pub(crate) fn add(&mut self, node: NodeId, worker: u16, workers: u16, peer: Rc<Peer>) {
        let node = self.nodes.entry(node).or_insert(Node { workers, links: Vec::new() });
        node.workers = workers.max(1);
        node.links.retain(|link| link.worker != worker);
        node.links.push(Link { worker, peer, body: Vec::new() });
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
        let Some(node) = self.nodes.get_mut(&to) else { return false };
        let wanted = group.map(|group| group.0 % node.workers);
        let link = match wanted {
            Some(worker) => node.links.iter_mut().find(|link| link.worker == worker),
            None => node.links.first_mut(),
        };
        let Some(link) = link else { return false };
        if link.peer.unsent() > UNSENT_BYTES_MAX {
            metrics::counter!("fdht_node_link_drops_total").increment(1);
            return false;
        }
        if link.body.is_empty() {
            wire::put_generation(&mut link.body, generation);
        }
        encode(&mut link.body);
        if link.body.len() > FRAME_BYTES {
            link.close_frame();
        }
        self.dirty = true;
        true
    }

    /// Hands the frames of the turn to their connections, which have bytes to send then.
    pub(crate) fn close_frames(&mut self, mut touched: impl FnMut(&Rc<Peer>)) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        for link in self.nodes.values_mut().flat_map(|node| &mut node.links) {
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
        self.body.clear();
        if self.body.capacity() > KEPT_BYTES {
            self.body = Vec::new();
        }
    }
}
