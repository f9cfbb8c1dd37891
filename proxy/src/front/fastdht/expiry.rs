//! Expiry in the header: seconds of 32 bits, with the client's clock skew removed.
//!
//! | timestamp | expires | stored |
//! |---|---|---|
//! | > 0 | > 0 | the leader's now, in whole seconds, + (expires - timestamp) |
//! | <= 0 | > 0 | expires, absolute |
//! | any | 0 | never |
//! | any | < 0 | expired at once; the answer repeats the number |
//!
//! In GET and BATCH_GET, -1 leaves the expiry alone. Answers carry `ceil(ms / 1000)`.

use common::op::Expiry;

use super::decode::Header;

/// "Leave the expiry alone", where a request reads.
const NONE: i32 = -1;

/// The expiry that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    timestamp: i32,
    expires: i32,
}

impl Wish {
    /// What the header says.
    pub(super) fn of(header: &Header) -> Self {
        Self { timestamp: header.timestamp, expires: header.expires }
    }

    /// Whether a reading request leaves the expiry alone.
    pub(super) fn is_none(self) -> bool {
        self.expires == NONE
    }

    /// What is to be stored.
    pub(super) fn expiry(self) -> Expiry {
        match u64::try_from(self.expires) {
            Ok(0) => Expiry::Never,
            // Both are positive, so the difference has 32 bits.
            Ok(_) if self.timestamp > 0 => Expiry::AfterSeconds(self.expires - self.timestamp),
            Ok(seconds) => Expiry::At(seconds * 1000),
            Err(_) => Expiry::At(1),
        }
    }

    /// What the answer's header says about an expiry that was stored for this wish.
    pub(super) fn answer(self, expire_at_ms: u64) -> i32 {
        if self.expires < 0 { self.expires } else { seconds(expire_at_ms) }
    }
}

/// An expiry as the header carries it; 0 is never.
pub(super) fn seconds(expire_at_ms: u64) -> i32 {
    i32::try_from(expire_at_ms.div_ceil(1000)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds() {
        let wish = |timestamp, expires| Wish { timestamp, expires };
        assert_eq!(wish(100, 160).expiry(), Expiry::AfterSeconds(60));
        assert_eq!(wish(100, 40).expiry(), Expiry::AfterSeconds(-60));
        assert_eq!(wish(0, 160).expiry(), Expiry::At(160_000));
        assert_eq!(wish(-5, 160).expiry(), Expiry::At(160_000));
        assert_eq!(wish(100, 0).expiry(), Expiry::Never);
        assert_eq!(wish(100, -1).expiry(), Expiry::At(1));
        assert_eq!(wish(i32::MAX, 1).expiry(), Expiry::AfterSeconds(1 - i32::MAX));
        assert!(wish(100, -1).is_none() && !wish(100, 0).is_none());
    }

    #[test]
    fn answers_round_up_and_repeat_negative_wishes() {
        assert_eq!([0, 1, 1000, 1001].map(seconds), [0, 1, 1, 2]);
        assert_eq!(seconds(u64::MAX), i32::MAX);
        assert_eq!(Wish { timestamp: 9, expires: -7 }.answer(1), -7);
        assert_eq!(Wish { timestamp: 9, expires: 10 }.answer(4_001), 5);
    }
}
