//! The commands of a connection that were started and not answered to the client yet, in order.

use std::collections::VecDeque;

use crate::session::front::Call;

/// One command.
#[derive(Debug)]
pub(super) enum Slot {
    /// Operations are outstanding.
    Waiting(Waiting),
    /// Its answer is complete and waits for those before it.
    Done {
        /// The answer's bytes.
        bytes: Vec<u8>,
        /// Whether the connection closes behind it.
        close: bool,
    },
}

/// A command with outstanding operations.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) call: Call,
    /// Requests that are sent when the command is the first.
    pub(super) held: Vec<Vec<u8>>,
    /// About how many bytes of answers the call keeps.
    bytes: usize,
}

/// The queue; commands have consecutive numbers.
#[derive(Debug, Default)]
pub(super) struct Slots {
    queue: VecDeque<Slot>,
    first: u64,
    held_bytes: usize,
}

impl Slot {
    pub(super) fn waiting(call: Call) -> Self {
        Self::Waiting(Waiting { call, held: Vec::new(), bytes: 0 })
    }
}

impl Slots {
    /// The number of the first command that waits.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The number the next command gets.
    pub(super) fn next(&self) -> u64 {
        self.first + self.queue.len() as u64
    }

    /// How many commands wait.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Bytes of answers that wait for those before them, or for their own rest.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Adds a command.
    pub(super) fn push(&mut self, slot: Slot) {
        if let Slot::Done { bytes, .. } = &slot {
            self.held_bytes += bytes.len();
        }
        self.queue.push_back(slot);
    }

    /// The command with this number if it waits for operations, and whether it is the first.
    pub(super) fn waiting_at(&mut self, number: u64) -> Option<(&mut Waiting, bool)> {
        let place = self.place(number)?;
        match self.queue.get_mut(place) {
            Some(Slot::Waiting(waiting)) => Some((waiting, place == 0)),
            _ => None,
        }
    }

    /// A command that goes on waiting keeps so many bytes more.
    pub(super) fn add_held_bytes(&mut self, number: u64, bytes: usize) {
        if let Some((waiting, _)) = self.waiting_at(number) {
            waiting.bytes += bytes;
            self.held_bytes += bytes;
        }
    }

    /// The command's answer is complete. The first one's bytes are where they belong already.
    pub(super) fn finish(&mut self, number: u64, bytes: Vec<u8>, close: bool) {
        let Some(slot) = self.place(number).and_then(|place| self.queue.get_mut(place)) else {
            return;
        };
        if let Slot::Waiting(waiting) = slot {
            self.held_bytes -= waiting.bytes;
        }
        self.held_bytes += bytes.len();
        *slot = Slot::Done { bytes, close };
    }

    /// Moves the answers that are next in order to `out`; whether the connection closes behind them.
    pub(super) fn drain(&mut self, out: &mut Vec<u8>) -> bool {
        while let Some(Slot::Done { .. }) = self.queue.front() {
            let Some(Slot::Done { bytes, close }) = self.queue.pop_front() else { break };
            self.first += 1;
            self.held_bytes -= bytes.len();
            out.extend_from_slice(&bytes);
            if close {
                return true;
            }
        }
        false
    }

    fn place(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }
}
