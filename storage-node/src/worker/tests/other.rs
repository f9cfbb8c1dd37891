//! The other server of a group of two, as far as the node hears of it. It is the follower of lane
//! 0.0 and the leader of lane 0.1.

use common::ids::{Lsn, ServerIndex};

use crate::replication::message::{Message, Pull, Records, Term};
use crate::replication::position::Position;
use crate::replication::wire;
use crate::worker::tests::node::{Node, lane, other};

/// Its process start.
const LIFE: u64 = 1;

impl Node {
    /// The other server, if there is one in R, holds and acknowledges everything, and lives.
    pub(super) fn hear_other(&mut self) {
        let in_step = self.register(0).is_some_and(|register| register.is_in_step(other()));
        let leads = self.core.groups.values().next().and_then(|group| group.lanes[0].lead.as_ref());
        if let (true, Some(last)) = (in_step, leads.map(|lead| lead.appended)) {
            self.hear_pull(last, last);
        }
    }

    /// The other server pulls: it has handed so many records of the stream to its kernel, and has
    /// made so many durable. It also lets hear of itself as leader of its own lane.
    pub(super) fn hear_pull(&mut self, written: Lsn, durable: Lsn) {
        let term = self.lead(0).term;
        let adopted = Position { epoch: term.since, lsn: written };
        let have = Vec::from_iter((written > Lsn(0)).then_some(adopted));
        let pull = Pull { term, life: LIFE, have, written, durable, leaving: false };
        let since = self.register(0).unwrap().leader(ServerIndex(1)).unwrap().since;
        let (term, life) = (Term { lane: lane(1), since }, self.core.shared.life.life);
        let records = Records { term, life, spans: Vec::new(), official: Lsn(0), confirmed: None };
        self.hear(&[Message::Pull(pull), Message::Records(records)]);
    }

    /// The other server asks to be taken out of R, and is. It gives its lane up for that.
    pub(super) fn let_other_depart(&mut self) {
        let register = self.register(0).unwrap();
        let own = register.leaders().filter(|(_, leader)| leader.node == other());
        let consent = own.map(|(server, leader)| (server, leader.since)).collect();
        let depart = Message::Depart { group: register.group, known: register.epoch, consent };
        self.hear(&[depart]);
        self.until("the other server stays in R", |node| {
            !node.register(0).unwrap().is_in_step(other())
        });
        self.serve();
    }

    /// Messages of the other server.
    pub(super) fn hear(&mut self, messages: &[Message]) {
        let frame = self.frame(messages);
        self.core_turn(|core| core.on_peer_frame(other(), &frame)).unwrap();
    }

    /// The body of a frame with these messages.
    pub(super) fn frame(&self, messages: &[Message]) -> Vec<u8> {
        let mut frame = Vec::new();
        wire::put_generation(&mut frame, self.core.shared.voters.load().generation);
        messages.iter().for_each(|message| wire::put_message(&mut frame, message));
        frame
    }
}
