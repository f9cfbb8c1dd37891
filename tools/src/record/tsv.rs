//! Records as tab-separated lines: `object TAB field TAB value`, with `\t`, `\n` and `\\` for a tab,
//! a line feed and a backslash inside of a part. An empty field column is the unnamed field.

use super::Record;

/// Why a line is not a record.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TsvError {
    /// Not three columns.
    #[error("{0} columns instead of 3 (object, field, value; a tab inside is written \\t)")]
    Columns(usize),
    /// A backslash before something that needs none.
    #[error("unknown escape \\{0} in column {1} (known are \\t, \\n and \\\\)")]
    Escape(char, usize),
    /// A backslash at the end of a column.
    #[error("a lone backslash at the end of column {0} (write \\\\)")]
    LoneBackslash(usize),
}

/// The record of one line, which comes without its line feed.
pub(crate) fn from_tsv(line: &[u8]) -> Result<Record, TsvError> {
    let columns: Vec<&[u8]> = line.split(|b| *b == b'\t').collect();
    let [object, field, value] = columns[..] else {
        return Err(TsvError::Columns(columns.len()));
    };
    let field = unescape(field, 2)?;
    Ok(Record {
        namespace: None,
        object: unescape(object, 1)?,
        field: (!field.is_empty()).then_some(field),
        value: unescape(value, 3)?,
        expire_at_ms: None,
    })
}

fn unescape(column: &[u8], number: usize) -> Result<Vec<u8>, TsvError> {
    let mut bytes = Vec::with_capacity(column.len());
    let mut rest = column.iter();
    while let Some(byte) = rest.next() {
        if *byte != b'\\' {
            bytes.push(*byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'\\') => b'\\',
            Some(other) => return Err(TsvError::Escape(char::from(*other), number)),
            None => return Err(TsvError::LoneBackslash(number)),
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_what_would_break_a_line() {
        let record = from_tsv(b"a\\tb\tc\\\\n\t1\\n2\xff").unwrap();
        assert_eq!(record.object, b"a\tb");
        assert_eq!(record.field.as_deref(), Some(&b"c\\n"[..]));
        assert_eq!(record.value, b"1\n2\xff");
    }

    #[test]
    fn an_empty_field_column_is_the_unnamed_field() {
        assert_eq!(from_tsv(b"o\t\tv").unwrap().field, None);
    }

    #[test]
    fn wrong_lines_say_what_is_wrong() {
        assert_eq!(from_tsv(b"a\tb"), Err(TsvError::Columns(2)));
        assert_eq!(from_tsv(b"a\tb\tc\td"), Err(TsvError::Columns(4)));
        assert_eq!(from_tsv(b"a\t\\x\tc"), Err(TsvError::Escape('x', 2)));
        assert_eq!(from_tsv(b"a\tb\tc\\"), Err(TsvError::LoneBackslash(3)));
    }
}
