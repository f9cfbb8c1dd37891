//! Compares two copies of a lane whose digests differ, key by key.

use std::thread;

use super::judge::{Reading, State, Verdict, contradict, differing, judge};
use super::positions::Positions;
use super::side::{Digest, Side};
use crate::ctl::CtlError;

/// The keys of so many buckets are read at a time.
const BUCKETS_AT_ONCE: usize = 8;
/// A lane with so many differing keys is not looked at further.
const DIFFERENCES_MAX: usize = 20;

/// A key that differs for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    /// Its address as JSON text.
    pub(super) address: String,
    /// What either server shows.
    pub(super) states: [Option<State>; 2],
}

/// What comparing two copies has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    /// Keys that differ.
    pub(super) differences: Vec<Difference>,
    /// Not all that may differ was looked at: there are enough already.
    pub(super) more: bool,
    /// Keys that changed at each look until time was up.
    pub(super) undecided: usize,
    /// Which side, 0 or 1, had not applied in time what the other had at the first look.
    pub(super) behind: Option<usize>,
}

/// The buckets in which two digests differ.
pub(super) fn differing_buckets(one: &Digest, other: &Digest) -> Vec<u8> {
    (0..=u8::MAX).filter(|bucket| one.get(bucket) != other.get(bucket)).collect()
}

/// Compares the keys of buckets. `patience` is asked when it is time to look again: it waits a
/// little, or says that time is up.
pub(super) fn compare<S: Side>(
    sides: [&S; 2],
    buckets: &[u8],
    patience: &mut dyn FnMut() -> bool,
) -> Result<Comparison, CtlError> {
    let mut found = Comparison::default();
    for buckets in buckets.chunks(BUCKETS_AT_ONCE) {
        if found.differences.len() >= DIFFERENCES_MAX || found.behind.is_some() {
            found.more = true;
            break;
        }
        compare_some(sides, buckets, patience, &mut found)?;
    }
    Ok(found)
}

fn compare_some<S: Side>(
    sides: [&S; 2],
    buckets: &[u8],
    patience: &mut dyn FnMut() -> bool,
    found: &mut Comparison,
) -> Result<(), CtlError> {
    let (mut first, mut target) = look(sides, buckets)?;
    let mut open = differing(&first[0], &first[1]);
    open.retain(|address| {
        let differs = contradict(pair(&first, address));
        if differs {
            found.differences.push(difference(&first, address));
        }
        !differs
    });
    while !open.is_empty() {
        found.behind = wait_until_passed(sides, &target, patience)?;
        if found.behind.is_some() {
            return Ok(());
        }
        let (second, positions) = look(sides, buckets)?;
        open.retain(|address| match judge(pair(&first, address), pair(&second, address)) {
            Verdict::Fine => false,
            Verdict::Different => {
                found.differences.push(difference(&second, address));
                false
            }
            Verdict::Again => true,
        });
        if !open.is_empty() && !patience() {
            found.undecided += open.len();
            return Ok(());
        }
        (first, target) = (second, positions);
    }
    Ok(())
}

/// Reads the keys of both sides at the same time; the positions are what either had applied.
fn look<S: Side>(sides: [&S; 2], buckets: &[u8]) -> Result<([Reading; 2], Positions), CtlError> {
    let (one, other) = thread::scope(|scope| {
        let other = scope.spawn(|| sides[1].keys(buckets));
        (sides[0].keys(buckets), other.join().expect("reading does not panic"))
    });
    let ((one, mut positions), (other, of_other)) = (one?, other?);
    positions.join(&of_other);
    Ok(([one, other], positions))
}

/// Returns the side that has not passed `target` when patience ends.
fn wait_until_passed<S: Side>(
    sides: [&S; 2],
    target: &Positions,
    patience: &mut dyn FnMut() -> bool,
) -> Result<Option<usize>, CtlError> {
    for (at, side) in sides.into_iter().enumerate() {
        while !side.positions()?.have_passed(target) {
            if !patience() {
                return Ok(Some(at));
            }
        }
    }
    Ok(None)
}

fn pair<'r>(readings: &'r [Reading; 2], address: &str) -> [Option<&'r State>; 2] {
    [readings[0].get(address), readings[1].get(address)]
}

fn difference(readings: &[Reading; 2], address: &str) -> Difference {
    let states = pair(readings, address).map(|state| state.cloned());
    Difference { address: address.to_owned(), states }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;

    use super::*;

    /// A look: the LSN applied, keys and versions.
    type Look = (u64, Vec<(&'static str, u32)>);

    /// A server that plays looks in turn, last first; the first one stays.
    struct Played(Mutex<Vec<Look>>);

    impl Played {
        fn new(looks: &[(u64, &[(&'static str, u32)])]) -> Self {
            Self(Mutex::new(looks.iter().rev().map(|(lsn, keys)| (*lsn, keys.to_vec())).collect()))
        }
    }

    impl Side for Played {
        fn digest(&self) -> Result<Digest, CtlError> {
            unreachable!("only keys are compared here")
        }

        fn keys(&self, _: &[u8]) -> Result<(Reading, Positions), CtlError> {
            let mut looks = self.0.lock().unwrap();
            let (lsn, keys) = if looks.len() > 1 { looks.pop().unwrap() } else { looks[0].clone() };
            let state = |v: u32| State { version: format!("{v:04}"), hash: format!("hash {v}") };
            let reading = keys.iter().map(|(key, v)| ((*key).to_owned(), state(*v))).collect();
            Ok((reading, Positions::of_json(&json!([{ "epoch": 1, "lsn": lsn }]))))
        }

        fn positions(&self) -> Result<Positions, CtlError> {
            Ok(self.keys(&[])?.1)
        }
    }

    fn compared(one: &Played, other: &Played, waits: usize) -> Comparison {
        let mut left = waits;
        let mut patience = || {
            left = left.saturating_sub(1);
            left > 0
        };
        compare([one, other], &[1], &mut patience).unwrap()
    }

    fn names(found: &Comparison) -> Vec<&str> {
        found.differences.iter().map(|difference| difference.address.as_str()).collect()
    }

    #[test]
    fn what_arrives_while_the_servers_are_compared_is_no_difference() {
        let leader = Played::new(&[(9, &[("a", 9), ("b", 2)])]);
        // Looks are spent by the question for positions as well.
        let follower = Played::new(&[
            (7, &[("a", 3), ("b", 2), ("c", 1)]),
            (8, &[]),
            (9, &[]),
            (9, &[("a", 9), ("b", 2)]),
        ]);
        assert_eq!(compared(&leader, &follower, 10), Comparison::default());
    }

    #[test]
    fn what_is_missing_when_everything_was_applied_is_named() {
        let leader = Played::new(&[(9, &[("a", 9), ("b", 2)])]);
        let follower = Played::new(&[(9, &[("a", 3), ("c", 1)])]);
        let found = compared(&leader, &follower, 10);
        assert_eq!(names(&found), ["a", "b", "c"]);
        assert_eq!((found.undecided, found.behind, found.more), (0, None, false));
        let [ours, theirs] = &found.differences[0].states;
        assert_eq!(ours.as_ref().unwrap().version, "0009");
        assert_eq!(theirs.as_ref().unwrap().version, "0003");
        assert_eq!(found.differences[1].states[1], None);
    }

    #[test]
    fn a_server_that_does_not_come_on_is_named_and_blamed_for_nothing() {
        let leader = Played::new(&[(9, &[("a", 9)])]);
        let follower = Played::new(&[(7, &[("a", 3)])]);
        let found = compared(&leader, &follower, 10);
        assert_eq!((found.behind, names(&found)), (Some(1), vec![]));
        let found = compared(&follower, &leader, 10);
        assert_eq!((found.behind, names(&found)), (Some(0), vec![]));
    }

    #[test]
    fn a_key_that_changes_at_each_look_is_undecided_in_the_end() {
        // Never seen on one side; every look shows it with another version on the other.
        let looks: Vec<Look> = (1..200_u32).rev().map(|n| (9, vec![("a", n)])).collect();
        let busy = Played(Mutex::new(looks));
        let found = compared(&Played::new(&[(9, &[])]), &busy, 10);
        assert_eq!((names(&found), found.undecided), (vec![], 1));
    }

    #[test]
    fn enough_differences_end_the_search() {
        let many: Vec<(&'static str, u32)> =
            (1..30).map(|n| (&*Box::leak(format!("key {n}").into_boxed_str()), n)).collect();
        let (one, other) = (Played::new(&[(9, &many)]), Played::new(&[(9, &[])]));
        let all: Vec<u8> = (0..=255).collect();
        let found = compare([&one, &other], &all, &mut || true).unwrap();
        assert!(found.more && found.differences.len() == 29, "{}", found.differences.len());
        let digests = [Digest::from([(1, 5), (2, 6)]), Digest::from([(2, 6), (255, 1)])];
        assert_eq!(differing_buckets(&digests[0], &digests[1]), [1, 255]);
    }
}
