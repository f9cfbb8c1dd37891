//! Redis' glob patterns: `*`, `?`, `[a-z]`, `[^a]`, `\x`.
//!
//! A failed match behind a `*` goes back to that star only, never to an earlier one, so the time is
//! at most pattern times text.

/// Whether letters must agree in case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// They must: names of keys.
    Sensitive,
    /// They need not: names of settings and commands.
    Insensitive,
}

/// Whether the whole of `text` matches `pattern`.
pub(super) fn matches(pattern: &[u8], text: &[u8], case: Case) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // The pattern behind the last star, and where the text stood when that was last tried.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', behind @ ..] = pattern {
            pattern = behind;
            if pattern.is_empty() {
                return true;
            }
            retry = Some((pattern, text));
            continue;
        }
        let step = match text.split_first() {
            Some((&byte, text_behind)) => {
                one(pattern, byte, case).map(|pattern_behind| (pattern_behind, text_behind))
            }
            None if pattern.is_empty() => return true,
            // Trying later starts of the text cannot help: it is used up.
            None => return false,
        };
        if let Some((pattern_behind, text_behind)) = step {
            (pattern, text) = (pattern_behind, text_behind);
            continue;
        }
        let Some((star, [_, later @ ..])) = retry else {
            return false;
        };
        (pattern, text) = (star, later);
        retry = Some((star, later));
    }
}

/// Matches the pattern's first element with one byte; gives the pattern behind it.
fn one(pattern: &[u8], byte: u8, case: Case) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', behind @ ..] => Some(behind),
        [b'[', behind @ ..] => {
            let (hit, behind) = class(behind, byte, case);
            hit.then_some(behind)
        }
        [b'\\', literal, behind @ ..] | [literal, behind @ ..] => {
            (fold(*literal, case) == fold(byte, case)).then_some(behind)
        }
    }
}

/// A bracket's inside: whether it holds `byte`, and the pattern behind the bracket. A missing `]`
/// is taken to stand at the pattern's end, as in Redis.
fn class(pattern: &[u8], byte: u8, case: Case) -> (bool, &[u8]) {
    let (negated, mut rest) = match pattern {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let byte = fold(byte, case);
    let mut hit = false;
    loop {
        rest = match rest {
            [] => return (hit != negated, rest),
            [b']', behind @ ..] => return (hit != negated, behind),
            [b'\\', literal, behind @ ..] => {
                hit |= fold(*literal, case) == byte;
                behind
            }
            [first, b'-', last, behind @ ..] => {
                let (first, last) = (fold(*first, case), fold(*last, case));
                hit |= (first.min(last)..=first.max(last)).contains(&byte);
                behind
            }
            [literal, behind @ ..] => {
                hit |= fold(*literal, case) == byte;
                behind
            }
        };
    }
}

fn fold(byte: u8, case: Case) -> u8 {
    match case {
        Case::Sensitive => byte,
        Case::Insensitive => byte.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sensitive(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes(), Case::Sensitive)
    }

    #[test]
    fn patterns_mean_what_they_mean_in_redis() {
        let yes = [
            ("*", ""),
            ("h?llo", "hallo"),
            ("h*llo", "hllo"),
            ("h[ae]llo", "hello"),
            ("h[^e]llo", "hallo"),
            ("h[a-b]llo", "hbllo"),
            ("h[b-a]llo", "hallo"),
            ("\\*", "*"),
            ("[\\]]", "]"),
            ("a[bc", "ab"),
            ("sess:*:x", "sess:1:x:x"),
            ("**a**", "bab"),
            ("\\", "\\"),
            ("", ""),
            ("[^]", "a"),
        ];
        for (pattern, text) in yes {
            assert!(sensitive(pattern, text), "{pattern} {text}");
        }
        let no = [
            ("", "a"),
            ("h?llo", "hllo"),
            ("h[^e]llo", "hello"),
            ("\\*", "a"),
            ("a", "A"),
            ("[]", "a"),
            ("*a", "b"),
            ("a*b", "ac"),
            ("ab", "a"),
        ];
        for (pattern, text) in no {
            assert!(!sensitive(pattern, text), "{pattern} {text}");
        }
        assert!(matches(b"MAX[A-M]*", b"maxmemory", Case::Insensitive));
    }

    #[test]
    fn many_stars_do_not_explode() {
        let pattern = "*a".repeat(200) + "b";
        assert!(!sensitive(&pattern, &"a".repeat(20_000)));
    }

    /// The obvious recursion, for short inputs.
    fn reference(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', behind @ ..] => (0..=text.len()).any(|skip| reference(behind, &text[skip..])),
            [b'?', behind @ ..] => !text.is_empty() && reference(behind, &text[1..]),
            [b'\\', literal, behind @ ..] => {
                text.first() == Some(literal) && reference(behind, &text[1..])
            }
            [b'[', set, b']', behind @ ..] if !matches!(set, b']' | b'^' | b'\\') => {
                text.first() == Some(set) && reference(behind, &text[1..])
            }
            [literal, behind @ ..] => {
                text.first() == Some(literal) && reference(behind, &text[1..])
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_obvious_recursion(
            pattern in "([ab?*]|\\\\[ab*]|\\[[ab]\\]){0,8}",
            text in "[ab*]{0,10}",
        ) {
            let expected = reference(pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(sensitive(&pattern, &text), expected);
        }

        #[test]
        fn any_bytes_are_a_pattern(
            pattern in proptest::collection::vec(any::<u8>(), 0..40),
            text in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            matches(&pattern, &text, Case::Insensitive);
        }
    }
}
