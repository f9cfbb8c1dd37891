//! The requests that were handed to one connection and not answered yet.

use common::ids::LogicGroup;
use slab::Slab;

/// Whom an answer belongs to. The pool does not look inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// Place of the owner among the worker's owners.
    pub(crate) owner: usize,
    /// The owner's serial number: places are used again.
    pub(crate) serial: u64,
    /// The owner's command.
    pub(crate) sequence: u64,
    /// The command's operation.
    pub(crate) part: u32,
    /// The logic group it is about, for messages.
    pub(crate) group: LogicGroup,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    ticket: Ticket,
    deadline_ms: u64,
    read: bool,
    /// Whether it may have reached the node.
    sent: bool,
    generation: u32,
}

/// A request that left the table without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unanswered {
    pub(crate) ticket: Ticket,
    /// When its client stops waiting.
    pub(crate) deadline_ms: u64,
    /// Whether it only reads: then nothing can have been applied.
    pub(crate) read: bool,
    /// Whether it may have reached the node.
    pub(crate) sent: bool,
}

impl Entry {
    fn unanswered(&self) -> Unanswered {
        let Self { ticket, deadline_ms, read, sent, .. } = *self;
        Unanswered { ticket, deadline_ms, read, sent }
    }
}

/// Gives out ids, and takes them back once. A late answer to an id that was given up finds nothing.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    entries: Slab<Entry>,
    generation: u32,
}

const PLACE_BITS: u32 = 32;

impl InFlight {
    /// Adds a request and returns the id it travels under. `sent`: it goes out at once.
    pub(crate) fn add(&mut self, ticket: Ticket, deadline_ms: u64, read: bool, sent: bool) -> u64 {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let place = self.entries.insert(Entry { ticket, deadline_ms, read, sent, generation });
        u64::from(generation) << PLACE_BITS | place as u64
    }

    /// Takes out the request that travels under this id, unless it was given up.
    pub(crate) fn take(&mut self, id: u64) -> Option<Ticket> {
        let place = self.place_of(id)?;
        Some(self.entries.remove(place).ticket)
    }

    /// A request that waited goes out now. When its client stops waiting; `None` if it was given up.
    pub(crate) fn on_sent(&mut self, id: u64) -> Option<u64> {
        let place = self.place_of(id)?;
        let entry = self.entries.get_mut(place)?;
        entry.sent = true;
        Some(entry.deadline_ms)
    }

    /// Whether the request still waits for an answer.
    pub(crate) fn holds(&self, id: u64) -> bool {
        self.place_of(id).is_some()
    }

    /// Gives up every request whose deadline is not after `now_ms`.
    pub(crate) fn expire(&mut self, now_ms: u64, given_up: &mut Vec<Unanswered>) {
        self.give_up_if(|entry| entry.deadline_ms <= now_ms, given_up);
    }

    /// Gives up every request that may have reached the node.
    pub(crate) fn give_up_sent(&mut self, given_up: &mut Vec<Unanswered>) {
        self.give_up_if(|entry| entry.sent, given_up);
    }

    fn give_up_if(&mut self, lost: impl Fn(&Entry) -> bool, given_up: &mut Vec<Unanswered>) {
        self.entries.retain(|_, entry| {
            let lost = lost(entry);
            if lost {
                given_up.push(entry.unanswered());
            }
            !lost
        });
    }

    /// Gives up one request.
    pub(crate) fn give_up(&mut self, id: u64) -> Option<Unanswered> {
        let place = self.place_of(id)?;
        Some(self.entries.remove(place).unanswered())
    }

    /// How many requests wait.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn place_of(&self, id: u64) -> Option<usize> {
        let place = usize::try_from(id & u64::from(u32::MAX)).ok()?;
        let entry = self.entries.get(place)?;
        (u64::from(entry.generation) == id >> PLACE_BITS).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(sequence: u64) -> Ticket {
        Ticket { owner: 0, serial: 1, sequence, part: 0, group: LogicGroup(0) }
    }

    #[test]
    fn an_answer_after_the_request_was_given_up_finds_nothing() {
        let mut table = InFlight::default();
        let first = table.add(ticket(1), 100, true, true);
        let second = table.add(ticket(2), 200, false, true);
        let mut given_up = Vec::new();
        table.expire(100, &mut given_up);
        let lost = Unanswered { ticket: ticket(1), deadline_ms: 100, read: true, sent: true };
        assert_eq!(given_up, [lost]);
        let third = table.add(ticket(3), 300, false, false);
        assert_ne!(first, third, "the place is used again, the id is not");
        assert!(!table.holds(first));
        assert_eq!(table.take(first), None);
        given_up.clear();
        table.give_up_sent(&mut given_up);
        assert_eq!(given_up.len(), 1, "only the second was sent");
        assert_eq!(table.take(second), None);
        assert_eq!(table.on_sent(third), Some(300));
        assert_eq!(table.take(third), Some(ticket(3)));
        assert_eq!(table.len(), 0);
    }
}
