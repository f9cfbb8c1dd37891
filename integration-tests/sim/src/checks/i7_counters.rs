//! I7: each request id is applied at most once; answers are distinct and in real-time order.

use std::collections::{BTreeMap, BTreeSet};

use super::failures::Check;
use super::oracle::{Acked, Oracle};

/// An answer is greater than everything that was seen before its request was sent.
pub fn in_time(acked: &Acked, floor: u64) -> Check {
    if acked.answer > floor {
        return Ok(());
    }
    Err(format!("I7: {acked:?}, but {floor} was seen before it was sent"))
}

/// Every lane's official records count each key 1, 2, 3, … with each request once.
pub fn check(oracle: &Oracle) -> Check {
    for (lane, records) in &oracle.official {
        let mut requests = BTreeSet::new();
        let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
        for op in records.iter().filter_map(|rec| rec.op) {
            if !requests.insert(op.request) {
                return Err(format!("I7: {lane}: request {} was applied twice", op.request));
            }
            let count = counts.entry(op.key).or_default();
            *count += 1;
            if *count != op.answer {
                return Err(format!("I7: {lane}: {op:?} stands at place {count}"));
            }
        }
    }
    Ok(())
}
