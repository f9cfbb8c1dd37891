//! I8: reads never go back behind what any client had seen when they were sent.

use super::failures::Check;
use crate::client::Open;

/// A read was answered.
pub fn not_behind(open: &Open, value: u64) -> Check {
    if value >= open.floor {
        return Ok(());
    }
    Err(format!("I8: {open:?} shows {value}"))
}
