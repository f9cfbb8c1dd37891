//! The script on honest disks.

use super::story::{Fault, Rules, sweep};

#[test]
fn a_power_cut_at_any_sync_of_log_and_file_loses_nothing_that_was_confirmed() {
    let endings = sweep(Rules::default(), Fault::PowerCut).unwrap();
    assert!(endings > 250, "{endings} endings");
}

/// A sync that failed has lost its data, and the kernel hides that until the power is cut. So whoever
/// goes on after a restart must not build on what was not written again.
#[test]
fn a_failed_sync_of_log_or_file_loses_nothing_also_when_the_process_is_started_again() {
    let endings = sweep(Rules::default(), Fault::SyncError).unwrap();
    assert!(endings > 120, "{endings} endings");
}
