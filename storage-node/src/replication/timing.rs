//! The protocol's times in milliseconds, and how they relate.

/// A lease renewal is sent this often.
pub const RENEW_MS: u64 = 400;
/// How long a voter takes no lane from the leader it granted a lease to, from the arrival.
pub const LEASE_VOTER_MS: u64 = 1_500;
/// How long a leader relies on a grant, from the sending: 10 % less, for clocks of different rate.
pub const LEASE_HOLDER_MS: u64 = 1_350;
/// A server without a pull, or without progress while a record waits, is silent after this.
pub const SILENT_MS: u64 = 1_000;
/// A server whose address refuses connections is silent after this.
pub const REFUSED_MS: u64 = 2 * HEARTBEAT_MS;
/// A parked pull is answered after this in any case: the heartbeat of both sides.
pub const HEARTBEAT_MS: u64 = 200;
/// An unanswered message to a peer is repeated after this.
pub const REPEAT_MS: u64 = 300;
/// How long a new leader waits for more promises once one would suffice.
pub const SEAL_WAIT_MS: u64 = 150;
/// How long a lane is held for a hand-over before its leader goes on.
pub const HOLD_MS: u64 = 500;
/// After a hand-over that did not come about in that time the next one begins this much later.
pub const HOLD_PAUSE_MS: u64 = 2_000;
/// A register round without a majority is given up after this.
pub const ROUND_MS: u64 = 400;
/// Least pause between two register rounds of one node and group; jitter comes on top.
pub const ROUND_PAUSE_MS: u64 = 40;
/// What a group wants from its register is looked at this often.
pub const LOOK_MS: u64 = 40;
/// Longest jitter before a register round, so that two askers do not outbid each other for ever.
pub const ROUND_JITTER_MS: u64 = 120;
/// A server marked as leaving may ask for the mark's end after this: who set it is gone.
pub const MARK_MS_MAX: u64 = 2_500;
/// A voter is asked this often for a newer register.
pub const ASK_MS: u64 = 500;
/// A home server keeps its lane from being handed back for this long after a register change.
pub const HAND_BACK_PAUSE_MS: u64 = 300;
/// A departing server asks to be taken out of R this often.
pub const DEPART_MS: u64 = 60;
/// Most records of one answer to a pull.
pub const RECORDS_MAX: u64 = 256;
/// A returning server is needed once it is at most so many records behind.
pub const NEAR_RECORDS: u64 = 16;

// Two clocks differ in rate by less than 10 %: the holder's time ends first on the voter's clock.
const _: () = assert!(LEASE_HOLDER_MS * 110 / 100 < LEASE_VOTER_MS);
// Two renewals may be lost before a lease ends.
const _: () = assert!(3 * RENEW_MS < LEASE_HOLDER_MS);
const _: () = assert!(HEARTBEAT_MS + REPEAT_MS < SILENT_MS);
