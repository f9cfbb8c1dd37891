//! What two looks at one key on two servers say.

use std::collections::BTreeMap;

/// What a server shows of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// Its version: 40 hex digits that sort like the version.
    pub(super) version: String,
    /// A hash of everything it is.
    pub(super) hash: String,
}

/// What a server shows of some keys, by the JSON text of their address. A key that does not exist is
/// absent.
pub(super) type Reading = BTreeMap<String, State>;

/// A key on both servers.
pub(super) type Pair<'r> = [Option<&'r State>; 2];

/// What is to be thought of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was on its way: no difference.
    Fine,
    /// The servers differ.
    Different,
    /// It changed between the looks; only another look tells.
    Again,
}

/// The keys that two readings do not show alike.
pub(super) fn differing(one: &Reading, other: &Reading) -> Vec<String> {
    let all = one.keys().chain(other.keys().filter(|key| !one.contains_key(*key)));
    all.filter(|key| one.get(*key) != other.get(*key)).cloned().collect()
}

/// Whether the servers differ for certain, whatever is on its way: a version has one content (I5).
pub(super) fn contradict([one, other]: Pair<'_>) -> bool {
    matches!((one, other), (Some(a), Some(b)) if a.version == b.version && a.hash != b.hash)
}

/// Judges a key that differed at the first look, by a second look after both servers had applied
/// everything that either had applied at the first.
pub(super) fn judge(first: Pair<'_>, second: Pair<'_>) -> Verdict {
    if second[0] == second[1] {
        return Verdict::Fine;
    }
    if contradict(second) {
        return Verdict::Different;
    }
    if lagged(first[0], first[1], second[0]) || lagged(first[1], first[0], second[1]) {
        return Verdict::Fine;
    }
    // A server that shows after all that what it showed before, has not applied what the other had.
    // If it shows nothing, it may have, and a delete behind it.
    let stuck = |side: usize| first[side] == second[side] && second[side].is_some();
    if first == second || stuck(0) || stuck(1) { Verdict::Different } else { Verdict::Again }
}

/// Whether a server was behind the other at the first look and has come at least so far now.
fn lagged(mine: Option<&State>, others: Option<&State>, mine_now: Option<&State>) -> bool {
    let Some(others) = others else {
        return false;
    };
    mine.is_none_or(|mine| mine.version < others.version)
        && mine_now.is_some_and(|now| now.version >= others.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(version: u32) -> State {
        State { version: format!("{version:040x}"), hash: format!("{version:016x}") }
    }

    fn judged(first: [u32; 2], second: [u32; 2]) -> Verdict {
        let states = [first, second].map(|pair| pair.map(|v| (v > 0).then(|| state(v))));
        let [first, second] = &states;
        judge([first[0].as_ref(), first[1].as_ref()], [second[0].as_ref(), second[1].as_ref()])
    }

    /// 0 stands for a key that does not exist. Both orders of the servers are tried.
    #[test]
    fn what_was_on_its_way_is_fine_and_what_stays_is_not() {
        use Verdict::{Again, Different, Fine};
        let cases = [
            ("the write has arrived", [1, 2], [2, 2], Fine),
            ("the delete has arrived", [1, 0], [0, 0], Fine),
            ("a new key has arrived", [0, 2], [2, 2], Fine),
            ("it was written again and again", [1, 2], [2, 3], Fine),
            ("it was written again here first", [1, 2], [3, 2], Fine),
            ("a new key, written again", [0, 2], [2, 5], Fine),
            ("created again at once", [0, 2], [4, 0], Fine),
            ("nothing came", [1, 2], [1, 2], Different),
            ("a key never came", [0, 2], [0, 2], Different),
            ("a delete never came", [1, 0], [1, 0], Different),
            ("an old value stays while others are written", [1, 2], [1, 3], Different),
            ("a deleted one stays while others come", [3, 0], [3, 1], Different),
            ("deleted and created again, or never there", [0, 2], [0, 3], Again),
            ("deleted on both, in different moments", [1, 2], [0, 3], Again),
        ];
        for (what, first, second, expected) in cases {
            assert_eq!(judged(first, second), expected, "{what}");
            let [first, second] = [first, second].map(|[a, b]| [b, a]);
            assert_eq!(judged(first, second), expected, "{what}, the other way round");
        }
    }

    #[test]
    fn one_version_with_two_contents_is_a_contradiction() {
        let (one, mut other) = (state(4), state(4));
        assert!(!contradict([Some(&one), Some(&other)]));
        other.hash = "f".into();
        assert!(contradict([Some(&one), Some(&other)]));
        assert!(!contradict([Some(&one), Some(&state(5))]) && !contradict([None, Some(&one)]));
        let before = [Some(&one), None];
        assert_eq!(judge(before, [Some(&one), Some(&other)]), Verdict::Different);
    }

    #[test]
    fn keys_that_differ_are_found_on_both_sides() {
        let reading = |keys: &[(&str, u32)]| -> Reading {
            keys.iter().map(|(key, version)| ((*key).to_owned(), state(*version))).collect()
        };
        let one = reading(&[("a", 1), ("b", 2), ("c", 3)]);
        let other = reading(&[("b", 2), ("c", 4), ("d", 1)]);
        assert_eq!(differing(&one, &other), ["a", "c", "d"]);
        assert!(differing(&one, &one).is_empty());
    }
}
