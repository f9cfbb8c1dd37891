//! Status bytes: Linux errno numbers below 100, since the C client takes others for a broken network.

use common::failure::{Class, Failure};

/// Done.
pub(super) const OK: u8 = 0;
/// No such key.
pub(super) const MISSING: u8 = 2;
/// The outcome is unknown, or the write is held by fewer servers than asked for.
pub(super) const UNKNOWN: u8 = 5;
/// Not applied: ask again later.
pub(super) const AGAIN: u8 = 11;
/// The request is wrong, over a limit, or meets an object of the other kind.
pub(super) const INVALID: u8 = 22;
/// Writes are refused until an operator helps.
pub(super) const STOPPED: u8 = 28;

/// The status of a failure.
pub(super) fn of(failure: &Failure) -> u8 {
    match failure.code.class() {
        Class::Client => INVALID,
        Class::NotApplied => AGAIN,
        Class::Stopped => STOPPED,
        Class::AcksShort | Class::Unknown => UNKNOWN,
    }
}
