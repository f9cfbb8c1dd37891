//! The law: what follows from how much memory memtables take.

/// So many parts of the room may be filled before a flush begins and writers are slowed.
const SOFT_PARTS: usize = 2;
const PARTS: usize = 3;
/// This part of the budget is left for moments in which a disk does nothing and writers go on slowly.
const SPARE_PART: u128 = 16;
/// Writers are never slower than this part of what flushes drain; where that is too fast, the budget
/// ends it.
const SLOWEST: u64 = 8;

/// The marks of a budget for all memtables of a node.
///
/// A memtable that is flushed gives its memory back at the end, all at once; until then what is written
/// needs room beside it. So of a budget, a sixteenth less, only `budget / (1 + share)` may be filled with what is not in
/// the files yet, the *room*, `share` being that of the group with the most memory: half of it where
/// all is in one group, most of it where groups are many and alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    budget: usize,
}

impl Marks {
    /// Marks for a budget in bytes.
    #[must_use]
    pub const fn new(budget: usize) -> Self {
        Self { budget }
    }

    /// The budget, in bytes.
    #[must_use]
    pub const fn budget(self) -> usize {
        self.budget
    }

    /// Most bytes that may wait to be in the files while all memtables take `used` bytes and those of
    /// one group at most `largest` of them.
    #[must_use]
    pub fn room(self, used: usize, largest: usize) -> usize {
        let budget = self.budget as u128;
        let budget = budget - budget / SPARE_PART;
        let (used, largest) = if used == 0 { (1, 1) } else { (used as u128, largest as u128) };
        usize::try_from(budget * used / (used + largest.min(used))).unwrap_or(usize::MAX)
    }

    /// Above so many bytes that are not in the files a flush begins, and writers are slowed.
    #[must_use]
    pub const fn soft(room: usize) -> usize {
        room / PARTS * SOFT_PARTS
    }

    /// The room whose soft mark this is, or a little less.
    #[must_use]
    pub const fn room_above(soft: usize) -> usize {
        (soft / SOFT_PARTS).saturating_mul(PARTS)
    }

    /// How many bytes a second may be written while `unflushed` bytes wait to be in the files, and
    /// flushes take `drain` bytes a second: as many as anybody likes (`None`) up to the soft mark, as
    /// many as are drained half way between it and the room's end, none to speak of there. So under a
    /// load that lasts, memory settles where writers are as fast as flushes, however wrong `drain` is.
    #[must_use]
    pub fn rate(room: usize, unflushed: usize, drain: u64) -> Option<u64> {
        let over = unflushed.checked_sub(Self::soft(room)).filter(|over| *over > 0)?;
        let left = room.saturating_sub(unflushed);
        let rate = u128::from(drain) * left as u128 / over as u128;
        Some(u64::try_from(rate).unwrap_or(u64::MAX).max(drain / SLOWEST).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn room_is_left_for_what_is_written_while_a_memtable_is_flushed() {
        let marks = Marks::new(64 * MIB);
        assert_eq!(marks.room(0, 0), 30 * MIB);
        assert_eq!(marks.room(40 * MIB, 40 * MIB), 30 * MIB, "everything is in one group");
        assert_eq!(marks.room(56 * MIB, 4 * MIB), 56 * MIB, "fourteen groups that are alike");
        for largest in [1, 5, 10, 20, 30] {
            let room = marks.room(30 * MIB, largest * MIB);
            // The frozen memtable counts until its end, when as much was written again.
            assert!(room + room * largest / 30 <= 60 * MIB);
        }
        assert_eq!(Marks::new(0).room(5, 5), 0);
        assert!(Marks::new(usize::MAX).room(usize::MAX, usize::MAX) > usize::MAX / 3);
    }

    #[test]
    fn a_soft_mark_tells_its_room() {
        assert_eq!(Marks::soft(Marks::room_above(9 * MIB)), 9 * MIB);
        assert_eq!(Marks::room_above(0), 0);
        assert_eq!(Marks::room_above(usize::MAX), usize::MAX);
    }

    #[test]
    fn writers_are_slowed_the_more_the_less_room_is_left() {
        let drain = 1_000_000;
        let rate = |unflushed| Marks::rate(36 * MIB, unflushed, drain);
        assert_eq!(rate(0), None);
        assert_eq!(rate(24 * MIB), None, "up to the soft mark");
        assert_eq!(rate(30 * MIB), Some(drain), "half way as fast as flushes");
        let rates: Vec<u64> = (25..=40).map(|mib| rate(mib * MIB).unwrap()).collect();
        assert!(rates.is_sorted_by(|a, b| a >= b), "{rates:?}");
        assert_eq!(rates[0], 11 * drain);
        assert_eq!(rate(36 * MIB), Some(drain / 8), "but never stopped");
        assert_eq!(Marks::rate(0, 1, 0), Some(1));
    }

    /// What is written settles at what flushes take, also if their speed is not known well.
    #[test]
    fn memory_settles_whatever_flushes_are_thought_to_take() {
        const DRAINED: usize = 8 * MIB;
        const STEPS: usize = 100;
        for thought in [DRAINED / 4, DRAINED, DRAINED * 4] {
            let (room, mut unflushed) = (32 * MIB, 0);
            let mut written = 0;
            for step in 0..STEPS * 60 {
                let rate = Marks::rate(room, unflushed, thought as u64);
                let rate = rate.map_or(80 * MIB, |rate| usize::try_from(rate).unwrap());
                let more = rate.min(80 * MIB) / STEPS;
                unflushed = (unflushed + more).saturating_sub(DRAINED / STEPS);
                assert!(unflushed < room);
                written += if step >= STEPS * 30 { more } else { 0 };
            }
            let (fast, slow) = (DRAINED * 30 * 101 / 100, DRAINED * 30 * 99 / 100);
            assert!((slow..fast).contains(&written), "{thought}: {written}");
        }
    }
}
