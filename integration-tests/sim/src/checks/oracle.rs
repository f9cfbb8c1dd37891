//! What clients were told, and the official records of each lane as they became so.

use std::collections::BTreeMap;

use common::ids::Lane;

use super::failures::Check;
use super::{i7_counters, i8_reads};
use crate::client::Open;
use crate::log::Rec;
use crate::node::LeadState;
use crate::setup::{KEYS, Setup};

/// An INCR that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Acked {
    /// The key.
    pub key: usize,
    /// The request.
    pub request: u64,
    /// The answer.
    pub answer: u64,
    /// When it was first sent.
    pub sent_us: u64,
    /// When its answer arrived.
    pub answered_us: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Oracle {
    /// The parameters of the run.
    pub setup: Setup,
    /// The official records of each lane, in order.
    pub official: BTreeMap<Lane, Vec<Rec>>,
    /// All answered INCRs, in the order of their answers.
    pub acked: Vec<Acked>,
    /// Answers to reads.
    pub reads: u64,
    floors: [u64; KEYS],
}

impl Oracle {
    /// Nothing happened yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let (official, acked) = (BTreeMap::new(), Vec::new());
        Self { setup, official, acked, reads: 0, floors: [0; KEYS] }
    }

    /// The greatest value of a key that any client has seen.
    #[must_use]
    pub fn floor(&self, key: usize) -> u64 {
        self.floors[key]
    }

    /// A leader made records official: they continue what was official before (I2, I16).
    pub fn on_official(&mut self, lane: Lane, state: &mut LeadState) -> Check {
        let known = self.official.entry(lane).or_default();
        while state.checked < state.official {
            let (place, rec) = (state.checked, &state.flat[state.checked]);
            match known.get(place) {
                None => known.push(rec.clone()),
                Some(other) if other == rec => {}
                Some(other) => {
                    return Err(format!(
                        "I2: {lane}: record {place} was official as {other:?}, now as {rec:?}"
                    ));
                }
            }
            state.checked += 1;
        }
        Ok(())
    }

    /// An INCR was answered.
    pub fn on_acked(&mut self, open: &Open, answer: u64, now_us: u64) -> Check {
        let (key, request, sent_us) = (open.key, open.id, open.since_us);
        let acked = Acked { key, request, answer, sent_us, answered_us: now_us };
        self.acked.push(acked);
        let floor = open.floor;
        self.floors[key] = self.floors[key].max(answer);
        i7_counters::in_time(&acked, floor)
    }

    /// A read was answered.
    pub fn on_read(&mut self, open: &Open, value: u64) -> Check {
        self.reads += 1;
        self.floors[open.key] = self.floors[open.key].max(value);
        i8_reads::not_behind(open, value)
    }
}
