//! Splits an inline command into arguments, with the quotes and escapes of Redis.

use super::args::Span;

/// Splits `line`, appends each argument's place to `spans` and returns the bytes that the places
/// point into; `None` for unbalanced quotes.
pub(super) fn split(line: &[u8], spans: &mut Vec<Span>) -> Option<Vec<u8>> {
    let mut resolved = Vec::with_capacity(line.len());
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Some(resolved);
        }
        let start = resolved.len();
        rest = argument(rest, &mut resolved)?;
        let span = |bytes: usize| u32::try_from(bytes).ok();
        spans.push(Span { start: span(start)?, length: span(resolved.len() - start)? });
    }
}

/// Takes one argument off the front of `rest`; what follows is returned.
fn argument<'a>(mut rest: &'a [u8], resolved: &mut Vec<u8>) -> Option<&'a [u8]> {
    while let Some((&byte, behind)) = rest.split_first() {
        rest = match byte {
            b'"' => return closed(double_quoted(behind, resolved)?),
            b'\'' => return closed(single_quoted(behind, resolved)?),
            byte if byte.is_ascii_whitespace() || byte == 0 => return Some(behind),
            byte => {
                resolved.push(byte);
                behind
            }
        };
    }
    Some(rest)
}

/// A closing quote ends the argument: only white space may follow.
fn closed(rest: &[u8]) -> Option<&[u8]> {
    match rest.first() {
        Some(byte) if !byte.is_ascii_whitespace() => None,
        Some(_) | None => Some(rest),
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], resolved: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [b'\\', b'\'', behind @ ..] => {
                resolved.push(b'\'');
                rest = behind;
            }
            [b'\'', behind @ ..] => return Some(behind),
            [byte, behind @ ..] => {
                resolved.push(*byte);
                rest = behind;
            }
            [] => return None,
        }
    }
}

fn double_quoted<'a>(mut rest: &'a [u8], resolved: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [b'\\', b'x', high, low, behind @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                resolved.push(hex(*high) << 4 | hex(*low));
                behind
            }
            [b'\\', escaped, behind @ ..] => {
                resolved.push(unescape(*escaped));
                behind
            }
            [b'"', behind @ ..] => return Some(behind),
            [byte, behind @ ..] => {
                resolved.push(*byte);
                behind
            }
            [] => return None,
        };
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Option<Vec<String>> {
        let mut spans = Vec::new();
        let bytes = split(line.as_bytes(), &mut spans)?;
        let text = |span: &Span| {
            let start = span.start as usize;
            String::from_utf8(bytes[start..start + span.length as usize].to_vec()).unwrap()
        };
        Some(spans.iter().map(text).collect())
    }

    #[test]
    fn quotes_and_escapes_are_those_of_redis() {
        let some = |words: &[&str]| Some(words.iter().map(ToString::to_string).collect());
        assert_eq!(args("  get   k "), some(&["get", "k"]));
        assert_eq!(args("set k \"a b\\\"\\x41\\n\\q\""), some(&["set", "k", "a b\"A\nq"]));
        assert_eq!(args("set k 'it\\'s \\n'"), some(&["set", "k", "it's \\n"]));
        assert_eq!(args("set '' \"\""), some(&["set", "", ""]));
        assert_eq!(args("a\"b\""), some(&["ab"]));
        assert_eq!(args(""), some(&[]));
        for unbalanced in ["\"a", "'a", "\"a\"b", "'a'b", "\"a\\"] {
            assert_eq!(args(unbalanced), None, "{unbalanced}");
        }
    }
}
