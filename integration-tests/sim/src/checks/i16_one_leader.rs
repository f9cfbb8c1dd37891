//! I16: at most one leader of a lane makes records official in an epoch.

use std::collections::BTreeMap;

use common::ids::{Epoch, Lane};

use super::failures::Check;

/// See the module.
#[derive(Debug, Default)]
pub struct OneLeader {
    leaders: BTreeMap<(Lane, Epoch), usize>,
}

impl OneLeader {
    /// A node made a record official.
    pub fn on_official(&mut self, lane: Lane, epoch: Epoch, node: usize) -> Check {
        let leader = *self.leaders.entry((lane, epoch)).or_insert(node);
        if leader == node {
            return Ok(());
        }
        Err(format!("I16: {lane} {epoch}: nodes {leader} and {node} lead"))
    }

    /// How many leaderships there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.leaders.len()
    }
}
