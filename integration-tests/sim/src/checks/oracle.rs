//! What clients were told, and the official records of each lane as they became so.

use std::collections::BTreeMap;

use common::ids::Lane;

use super::failures::Check;
use super::i1_power::Power;
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
    /// I1: what may be lost after all.
    pub i1_power: Power,
    /// Since when the official records of each lane are.
    since_us: BTreeMap<Lane, Vec<u64>>,
    /// When official records of a key were last lost: what was asked before shows nothing.
    lost_us: [u64; KEYS],
}

impl Oracle {
    /// Nothing happened yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let (official, acked) = (BTreeMap::new(), Vec::new());
        let (i1_power, since_us) = (Power::default(), BTreeMap::new());
        let (floors, lost_us) = ([0; KEYS], [0; KEYS]);
        Self { setup, official, acked, reads: 0, floors, i1_power, since_us, lost_us }
    }

    /// The greatest value of a key that any client has seen.
    #[must_use]
    pub fn floor(&self, key: usize) -> u64 {
        self.floors[key]
    }

    /// A leader made records official: they continue what was official before (I2, I16), unless all
    /// of R lost power (I1). Says whether anything was lost in that way.
    pub fn on_official(
        &mut self,
        now_us: u64,
        lane: Lane,
        state: &mut LeadState,
    ) -> Result<bool, String> {
        let mut lost = false;
        while state.checked < state.official {
            let (place, rec) = (state.checked, &state.flat[state.checked]);
            let known = self.official.entry(lane).or_default();
            match known.get(place) {
                Some(other) if other == rec => {}
                other => {
                    if let Some(other) = other {
                        let was = format!("{lane}: record {place} was {other:?}, is {rec:?}");
                        self.on_lost(lane, place, now_us).map_err(|e| format!("{e}; {was}"))?;
                        lost = true;
                    }
                    self.official.entry(lane).or_default().push(rec.clone());
                    self.since_us.entry(lane).or_default().push(now_us);
                }
            }
            state.checked += 1;
        }
        Ok(lost)
    }

    /// The official records of a lane from this place on are not official any more.
    fn on_lost(&mut self, lane: Lane, place: usize, now_us: u64) -> Check {
        let records = self.official.entry(lane).or_default().split_off(place);
        let times = self.since_us.entry(lane).or_default().split_off(place);
        for (rec, since_us) in records.iter().zip(times) {
            self.i1_power.on_lost(lane.group, since_us, rec.op.map(|op| op.request))?;
        }
        for key in (0..KEYS).filter(|key| self.setup.lane_of(*key) == lane) {
            let ops = self.official.get(&lane).into_iter().flatten().filter_map(|rec| rec.op);
            let count = u64::try_from(ops.filter(|op| op.key == key).count()).unwrap_or(u64::MAX);
            self.floors[key] = self.floors[key].min(count);
            self.lost_us[key] = now_us;
        }
        Ok(())
    }

    fn has_seen(&mut self, open: &Open, value: u64) {
        if open.since_us >= self.lost_us[open.key] {
            self.floors[open.key] = self.floors[open.key].max(value);
        }
    }

    /// An INCR was answered.
    pub fn on_acked(&mut self, open: &Open, answer: u64, now_us: u64) -> Check {
        let (key, request, sent_us) = (open.key, open.id, open.since_us);
        let acked = Acked { key, request, answer, sent_us, answered_us: now_us };
        self.acked.push(acked);
        let floor = open.floor;
        self.has_seen(open, answer);
        i7_counters::in_time(&acked, floor)
    }

    /// A read was answered.
    pub fn on_read(&mut self, open: &Open, value: u64) -> Check {
        self.reads += 1;
        self.has_seen(open, value);
        i8_reads::not_behind(open, value)
    }
}
