//! I2: no OK write is lost while one server that was in step survives. (That official records
//! continue each other is checked as they become official, by the oracle.)

use super::failures::Check;
use super::oracle::Oracle;

/// Every acknowledged write is among the official records, with the answer that was given.
pub fn check(oracle: &Oracle) -> Check {
    for acked in &oracle.acked {
        let lane = oracle.setup.lane_of(acked.key);
        let records = oracle.official.get(&lane).map(Vec::as_slice).unwrap_or_default();
        let op = records.iter().filter_map(|rec| rec.op).find(|op| op.request == acked.request);
        match op {
            _ if oracle.i1_power.is_lost(acked.request) => {}
            Some(op) if op.answer == acked.answer => {}
            other => return Err(format!("I2: acknowledged {acked:?} is {other:?}")),
        }
    }
    Ok(())
}
