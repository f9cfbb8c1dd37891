//! Section 1, `acks: majority` and `acks: all`: a write is answered only when so many of the
//! configured servers hold it, under `sync: always` durably.

use common::ids::Lane;
use storage_node::replication::position::Position;

use super::failures::Check;
use crate::client::Acks;
use crate::world::World;

impl World {
    /// A write is about to be answered. What a power cut took since it was acknowledged counts.
    pub fn acks_reached(&self, lane: Lane, at: Position, acks: Acks) -> Check {
        let servers = self.setup.rf;
        let least = match acks {
            Acks::One | Acks::Step => 1,
            Acks::Majority => servers / 2 + 1,
            Acks::All => servers,
        };
        let holds = |node: &usize| {
            let had = self.nodes[*node].disk.logs.get(&lane).map(|log| log.had(at));
            // Of a disk that is gone for good nothing is known.
            let blank = self.nodes[*node].blank;
            blank || had.is_some_and(|(ever, durable)| ever && (durable || !self.setup.always))
        };
        let count = (0..servers).filter(holds).count();
        if count >= least {
            return Ok(());
        }
        Err(format!("acks: {lane} {at:?} is answered as {acks:?}, {count} of {servers} hold it"))
    }
}
