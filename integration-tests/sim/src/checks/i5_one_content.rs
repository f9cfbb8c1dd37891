//! I5: (stream, LSN) has one content for ever.

use std::collections::HashMap;

use common::ids::Lane;
use storage_node::replication::position::Position;

use super::failures::Check;
use crate::log::Rec;

/// Remembers every record any node ever appended.
#[derive(Debug, Default)]
pub struct OneContent {
    seen: HashMap<(Lane, Position), Rec>,
}

impl OneContent {
    /// A node appends a record.
    pub fn on_append(&mut self, lane: Lane, rec: &Rec) -> Check {
        let seen = self.seen.entry((lane, rec.head.at)).or_insert_with(|| rec.clone());
        if seen == rec {
            return Ok(());
        }
        Err(format!("I5: {lane} {:?} was {seen:?}, is {rec:?}", rec.head.at))
    }
}
