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
    generation: u32,
}

/// A request that left the table without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unanswered {
    pub(crate) ticket: Ticket,
    /// Whether it only reads: then nothing can have been applied.
    pub(crate) read: bool,
}

/// Gives out ids, and takes them back once. A late answer to an id that was given up finds nothing.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    entries: Slab<Entry>,
    generation: u32,
}

const PLACE_BITS: u32 = 32;

impl InFlight {
    /// Adds a request and returns the id it travels under.
    pub(crate) fn add(&mut self, ticket: Ticket, deadline_ms: u64, read: bool) -> u64 {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let place = self.entries.insert(Entry { ticket, deadline_ms, read, generation });
        u64::from(generation) << PLACE_BITS | place as u64
    }

    /// Takes out the request that travels under this id, unless it was given up.
    pub(crate) fn take(&mut self, id: u64) -> Option<Ticket> {
        let place = self.place_of(id)?;
        Some(self.entries.remove(place).ticket)
    }

    /// When the request's client stops waiting; `None` if it was given up.
    pub(crate) fn deadline_ms(&self, id: u64) -> Option<u64> {
        self.place_of(id).and_then(|place| self.entries.get(place)).map(|e| e.deadline_ms)
    }

    /// Gives up every request whose deadline is not after `now_ms`.
    pub(crate) fn expire(&mut self, now_ms: u64, given_up: &mut Vec<(u64, Unanswered)>) {
        self.entries.retain(|place, entry| {
            let keep = entry.deadline_ms > now_ms;
            if !keep {
                let id = u64::from(entry.generation) << PLACE_BITS | place as u64;
                given_up.push((id, Unanswered { ticket: entry.ticket, read: entry.read }));
            }
            keep
        });
    }

    /// Gives up one request.
    pub(crate) fn give_up(&mut self, id: u64) -> Option<Unanswered> {
        let place = self.place_of(id)?;
        let entry = self.entries.remove(place);
        Some(Unanswered { ticket: entry.ticket, read: entry.read })
    }

    /// The ids of all requests.
    pub(crate) fn ids(&self) -> Vec<u64> {
        let id = |(place, entry): (usize, &Entry)| {
            u64::from(entry.generation) << PLACE_BITS | place as u64
        };
        self.entries.iter().map(id).collect()
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
        let first = table.add(ticket(1), 100, true);
        let second = table.add(ticket(2), 200, false);
        let mut given_up = Vec::new();
        table.expire(100, &mut given_up);
        assert_eq!(given_up, [(first, Unanswered { ticket: ticket(1), read: true })]);
        let third = table.add(ticket(3), 300, false);
        assert_ne!(first, third, "the place is used again, the id is not");
        assert_eq!(table.take(first), None);
        assert_eq!(table.take(third), Some(ticket(3)));
        assert_eq!(table.take(second), Some(ticket(2)));
        assert_eq!(table.len(), 0);
    }
}
