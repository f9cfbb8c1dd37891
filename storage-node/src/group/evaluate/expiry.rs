//! Expiries: from what was asked for to an absolute time, and whether a touch may change it.

use common::op::{Expiry, ExpiryRule};

/// The absolute expiry in milliseconds since 1970; 0 is never. `present` is that of what is there,
/// `None` if nothing is.
///
/// A time before 1970 becomes the first millisecond: it is past as well, and 0 would mean never.
pub(super) fn resolve(expiry: Expiry, now_ms: u64, present: Option<u64>) -> u64 {
    match expiry {
        Expiry::Keep => present.unwrap_or(0),
        Expiry::Never => 0,
        Expiry::At(at_ms) => at_ms.max(1),
        Expiry::After(ms) => now_ms.saturating_add(ms).max(1),
        Expiry::AfterSeconds(seconds) => {
            (now_ms / 1000).saturating_add_signed(i64::from(seconds)).saturating_mul(1000).max(1)
        }
    }
}

/// Whether `rule` lets the expiry change from `present` to `new`.
pub(super) fn allows(rule: ExpiryRule, present: u64, new: u64) -> bool {
    // Never is later than any time.
    let order = |expire_at: u64| if expire_at == 0 { u64::MAX } else { expire_at };
    match rule {
        ExpiryRule::Always => true,
        ExpiryRule::IfNever => present == 0,
        ExpiryRule::IfExpiring => present != 0,
        ExpiryRule::IfLater => order(new) > order(present),
        ExpiryRule::IfEarlier => order(new) < order(present),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_becomes_an_absolute_time() {
        let table = [
            (Expiry::Keep, Some(7), 7),
            (Expiry::Keep, Some(0), 0),
            (Expiry::Keep, None, 0),
            (Expiry::Never, Some(7), 0),
            (Expiry::At(5), Some(7), 5),
            (Expiry::At(0), None, 1),
            (Expiry::After(0), None, 10_999),
            (Expiry::After(1), None, 11_000),
            (Expiry::After(u64::MAX), None, u64::MAX),
            (Expiry::AfterSeconds(0), None, 10_000),
            (Expiry::AfterSeconds(2), None, 12_000),
            (Expiry::AfterSeconds(-1), None, 9_000),
            (Expiry::AfterSeconds(i32::MIN), None, 1),
        ];
        for (expiry, present, expected) in table {
            assert_eq!(resolve(expiry, 10_999, present), expected, "{expiry:?}");
        }
    }

    #[test]
    fn rules_take_never_for_later_than_any_time() {
        use ExpiryRule::{Always, IfEarlier, IfExpiring, IfLater, IfNever};
        let table = [
            ((0, 0), [Always, IfNever].as_slice()),
            ((0, 5), &[Always, IfNever, IfEarlier]),
            ((5, 0), &[Always, IfExpiring, IfLater]),
            ((5, 5), &[Always, IfExpiring]),
            ((5, 6), &[Always, IfExpiring, IfLater]),
            ((5, 4), &[Always, IfExpiring, IfEarlier]),
        ];
        for ((present, new), allowed) in table {
            for rule in [Always, IfNever, IfExpiring, IfLater, IfEarlier] {
                let expected = allowed.contains(&rule);
                assert_eq!(allows(rule, present, new), expected, "{rule:?} {present} -> {new}");
            }
        }
    }
}
