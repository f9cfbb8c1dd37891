//! What a scalar without quotes means: text, a number, a boolean or nothing.
//!
//! Stricter than YAML where YAML surprises: booleans are `true` and `false` only (`yes`, `no`, `on`
//! are text), numbers are decimal without leading zeros. Everything else that some YAML reader
//! would take for a number, a boolean or nothing is refused as text too, so that no other program
//! reads another file than we do.

/// The meaning of a plain scalar.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    Nothing,
    Boolean(bool),
    Number(u64),
    /// A number, but not one that a topology file uses.
    OtherNumber,
    /// `True`, `FALSE` and the like.
    OtherBoolean,
    Text,
}

/// Says what the plain scalar `text` means.
pub(crate) fn plain(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Nothing,
        "true" => return Plain::Boolean(true),
        "false" => return Plain::Boolean(false),
        "True" | "TRUE" | "False" | "FALSE" => return Plain::OtherBoolean,
        _ => {}
    }
    if !looks_like_number(text) {
        return Plain::Text;
    }
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    match text.parse() {
        Ok(number) if canonical => Plain::Number(number),
        _ => Plain::OtherNumber,
    }
}

fn looks_like_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    if matches!(lower.as_str(), ".inf" | ".nan") {
        return true;
    }
    let radix = |prefix, radix| {
        lower.strip_prefix(prefix).is_some_and(|digits: &str| {
            !digits.is_empty() && digits.chars().all(|c| c == '_' || c.is_digit(radix))
        })
    };
    if radix("0x", 16) || radix("0o", 8) || radix("0b", 2) {
        return true;
    }
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return false;
    }
    unsigned.replace('_', "").parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_every_yaml_reader_takes_them_for() {
        let table = [
            ("7", Plain::Number(7)),
            ("0", Plain::Number(0)),
            ("18446744073709551615", Plain::Number(u64::MAX)),
            ("18446744073709551616", Plain::OtherNumber),
            ("-1", Plain::OtherNumber),
            ("+1", Plain::OtherNumber),
            ("007", Plain::OtherNumber),
            ("1_000", Plain::OtherNumber),
            ("1.5", Plain::OtherNumber),
            ("1e3", Plain::OtherNumber),
            (".5", Plain::OtherNumber),
            ("0x10", Plain::OtherNumber),
            ("0b_11", Plain::OtherNumber),
            ("-.inf", Plain::OtherNumber),
            ("true", Plain::Boolean(true)),
            ("False", Plain::OtherBoolean),
            ("no", Plain::Text),
            ("~", Plain::Nothing),
            ("", Plain::Nothing),
            ("0-60", Plain::Text),
            ("80MiB", Plain::Text),
            ("10.0.0.1:12300", Plain::Text),
            ("nan", Plain::Text),
            ("infinity", Plain::Text),
            ("0x", Plain::Text),
            ("-", Plain::Text),
            (".", Plain::Text),
        ];
        for (text, meaning) in table {
            assert_eq!(plain(text), meaning, "{text:?}");
        }
    }
}
