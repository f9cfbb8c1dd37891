//! The commands of a connection that were started and not answered to the client yet, in order.

use std::collections::VecDeque;

use crate::session::front::Call;

/// One command.
#[derive(Debug)]
pub(crate) enum Slot {
    /// Operations are outstanding.
    Waiting(Call),
    /// Its answer is complete and waits for those before it.
    Done {
        /// The answer's bytes.
        bytes: Vec<u8>,
        /// Whether the connection closes behind it.
        close: bool,
    },
}

/// The queue; commands have consecutive numbers.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    queue: VecDeque<Slot>,
    first: u64,
    held_bytes: usize,
}

impl Slots {
    /// The number the next command gets.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.queue.len() as u64
    }

    /// How many commands wait.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Bytes of answers that wait for those before them.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Adds a command.
    pub(crate) fn push(&mut self, slot: Slot) {
        if let Slot::Done { bytes, .. } = &slot {
            self.held_bytes += bytes.len();
        }
        self.queue.push_back(slot);
    }

    /// The command with this number if it waits for operations, and whether it is the first.
    pub(crate) fn waiting(&mut self, number: u64) -> Option<(&mut Call, bool)> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        match self.queue.get_mut(place) {
            Some(Slot::Waiting(call)) => Some((call, place == 0)),
            _ => None,
        }
    }

    /// The command's answer is complete. The first one's bytes are where they belong already.
    pub(crate) fn finish(&mut self, number: u64, bytes: Vec<u8>, close: bool) {
        let place = number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        if let Some(slot) = place.and_then(|place| self.queue.get_mut(place)) {
            self.held_bytes += bytes.len();
            *slot = Slot::Done { bytes, close };
        }
    }

    /// Moves the answers that are next in order to `out`; whether the connection closes behind them.
    pub(crate) fn drain(&mut self, out: &mut Vec<u8>) -> bool {
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
}
