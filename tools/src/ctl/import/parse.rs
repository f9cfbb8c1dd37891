//! Lines of a file or pipe as records.

use std::io::{BufRead, Read};

use super::args::Format;
use super::error::ImportError;
use crate::record::{Record, from_json, from_tsv};

/// Longest line: the longest value with every byte escaped as `\u0000`, and its address.
const LINE_BYTES_MAX: u64 = 104 << 20;

/// Reads records from lines; empty lines are no records.
pub(super) struct Lines<R> {
    from: R,
    name: String,
    format: Option<Format>,
    line: u64,
    buf: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Records of `from`, which messages call `name`. Without a format the first line decides.
    pub(super) fn new(from: R, name: String, format: Option<Format>) -> Self {
        Self { from, name, format, line: 0, buf: Vec::new() }
    }

    /// The next record, with the number of its line and how many bytes of input it took.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Record, u64)>, ImportError> {
        let mut bytes = 0;
        loop {
            self.buf.clear();
            let mut limited = self.from.by_ref().take(LINE_BYTES_MAX + 1);
            let count = limited
                .read_until(b'\n', &mut self.buf)
                .map_err(|source| ImportError::Read { from: self.name.clone(), source })?;
            if count == 0 {
                return Ok(None);
            }
            bytes += count as u64;
            self.line += 1;
            if self.buf.last() == Some(&b'\n') {
                self.buf.pop();
            } else if count as u64 > LINE_BYTES_MAX {
                return Err(ImportError::LineTooLong { line: self.line, max: LINE_BYTES_MAX });
            }
            if !self.buf.is_empty() {
                return Ok(Some((self.line, self.parse()?, bytes)));
            }
        }
    }

    fn parse(&mut self) -> Result<Record, ImportError> {
        let line = self.line;
        let looks_like = || {
            let first = self.buf.iter().find(|b| !b.is_ascii_whitespace());
            if first == Some(&b'{') { Format::Jsonl } else { Format::Tsv }
        };
        match *self.format.get_or_insert_with(looks_like) {
            Format::Jsonl => {
                from_json(&self.buf).map_err(|source| ImportError::Json { line, source })
            }
            Format::Tsv => from_tsv(&self.buf).map_err(|source| ImportError::Tsv { line, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, format: Option<Format>) -> Result<Vec<(u64, Record, u64)>, ImportError> {
        let mut lines = Lines::new(text.as_bytes(), "test".to_owned(), format);
        std::iter::from_fn(|| lines.next().transpose()).collect()
    }

    #[test]
    fn the_first_line_decides_the_format() {
        let json = all("\n{\"obj\":\"a\",\"value\":\"1\"}\n{\"obj\":\"b\",\"value\":\"2\"}", None);
        let json = json.unwrap();
        assert_eq!(json.len(), 2);
        assert_eq!((json[0].0, json[1].0), (2, 3), "line numbers count empty lines");
        assert_eq!(json.iter().map(|r| r.2).sum::<u64>(), 48);

        let tsv = all("a\tf\t1\n", None).unwrap();
        assert_eq!(tsv[0].1.field.as_deref(), Some(&b"f"[..]));
    }

    #[test]
    fn a_wrong_line_is_named() {
        let error = all("a\tf\t1\nb\tf\n", None).unwrap_err().to_string();
        assert!(error.starts_with("line 2: 2 columns"), "{error}");
        let error = all("{\"obj\":1}", Some(Format::Jsonl)).unwrap_err().to_string();
        assert!(error.starts_with("line 1: not a record"), "{error}");
        assert!(all("{\"obj\":\"a\",\"value\":\"1\"}", Some(Format::Tsv)).is_err());
    }
}
