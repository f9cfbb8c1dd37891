//! I1: `sync: always` loses no OK write at any power cut; `everysec` at most one second, and only
//! when all of an R lost power.

use std::collections::{BTreeMap, BTreeSet};

use common::ids::LogicGroup;

use super::failures::Check;
use crate::log::UNSYNCED_US_MAX;

/// See the module. Under `sync: always` no such power cut is ever noted.
#[derive(Debug, Default)]
pub struct Power {
    all_without_power_us: BTreeMap<LogicGroup, Vec<u64>>,
    lost: BTreeSet<u64>,
}

impl Power {
    /// The last server of an R that had kept its log lost power.
    pub fn on_all_without_power(&mut self, group: LogicGroup, now_us: u64) {
        self.all_without_power_us.entry(group).or_default().push(now_us);
    }

    /// A record that was official since `since_us` is not any more; `request` is what it did.
    pub fn on_lost(&mut self, group: LogicGroup, since_us: u64, request: Option<u64>) -> Check {
        let Some(cuts) = self.all_without_power_us.get(&group) else {
            return Err(format!("I2: {group}: {request:?}, official since {since_us}, is lost"));
        };
        let last_second = |cut: &u64| since_us <= *cut && *cut <= since_us + UNSYNCED_US_MAX;
        if !cuts.iter().any(last_second) {
            return Err(format!(
                "I1: {group}: {request:?}, official since {since_us}, is lost; all of R lost \
                 power at {cuts:?}"
            ));
        }
        self.lost.extend(request);
        Ok(())
    }

    /// How many requests were lost in that way.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.lost.len()
    }

    /// Whether a request was lost in that way.
    #[must_use]
    pub fn is_lost(&self, request: u64) -> bool {
        self.lost.contains(&request)
    }
}
