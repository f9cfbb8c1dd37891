//! What is wrong with a topology file: every problem with its line and path, in the order of the
//! file.

use std::fmt;

/// Most problems that are kept. A file that is wrong from end to end must not cost more memory than
/// its own size, and nobody reads further.
const PROBLEMS_MAX: usize = 100;

/// Where in the file something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) path: String,
}

impl Place {
    /// The file as a whole.
    pub(crate) fn root() -> Self {
        Self { line: 1, path: String::new() }
    }

    /// The value of `key` in the mapping that stands here; the key is on `line`.
    pub(crate) fn key(&self, key: &str, line: usize) -> Self {
        let key = path_part(key);
        let path = if self.path.is_empty() { key } else { format!("{}.{key}", self.path) };
        Self { line, path }
    }

    /// The item `index` of the list that stands here.
    pub(crate) fn item(&self, index: usize, line: usize) -> Self {
        Self { line, path: format!("{}[{index}]", self.path) }
    }
}

/// A key as a part of a path: quoted when a reader could not tell where it ends.
fn path_part(key: &str) -> String {
    const CHARS_MAX: usize = 80;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !key.is_empty() && key.len() <= CHARS_MAX && key.chars().all(plain) {
        return key.to_owned();
    }
    quoted(key)
}

/// Text from the file as a message shows it: on one line and not without end.
pub(crate) fn quoted(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    if text.chars().count() <= CHARS_MAX {
        return format!("{text:?}");
    }
    let head: String = text.chars().take(CHARS_MAX).collect();
    format!("{head:?}...")
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    place: Place,
    text: String,
}

impl Problem {
    /// The line, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.place.line
    }

    /// The keys that lead to it, such as `physical_groups.east.servers[1]`; empty for the file as a
    /// whole.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.place.path
    }

    /// What is wrong and what to do.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.place.line)?;
        if !self.place.path.is_empty() {
            write!(f, "{}: ", self.place.path)?;
        }
        f.write_str(&self.text)
    }
}

/// Everything that is wrong with a file; at least one problem.
///
/// `Display` prints one line per problem.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    problems: Vec<Problem>,
    /// How many more there were than are kept.
    omitted: usize,
}

impl Problems {
    /// The problems, in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.problems.iter()
    }

    /// How many problems there are, those that are not kept included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.problems.len() + self.omitted
    }

    /// Whether there is none. Never so for a refused file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    pub(crate) fn push(&mut self, place: &Place, text: impl Into<String>) {
        if self.is_full() {
            self.omitted += 1;
            return;
        }
        self.problems.push(Problem { place: place.clone(), text: text.into() });
    }

    /// Whether another problem would only be counted; then its text need not be worked out.
    pub(crate) fn is_full(&self) -> bool {
        self.problems.len() >= PROBLEMS_MAX
    }

    /// The problems in the order of the file. Those of one line stay in the order they were found.
    pub(crate) fn into_sorted(mut self) -> Self {
        self.problems.sort_by_key(|problem| problem.place.line);
        self
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        if self.omitted > 0 {
            write!(f, "\nand {} more problems; correct these first", self.omitted)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_quote_what_would_be_read_wrongly() {
        let servers = Place::root().key("servers", 3);
        assert_eq!(servers.key("a1", 4).path, "servers.a1");
        assert_eq!(servers.key("a.1", 4).path, "servers.\"a.1\"");
        assert_eq!(servers.key("", 4).path, "servers.\"\"");
        assert_eq!(servers.item(2, 9), Place { line: 9, path: "servers[2]".to_owned() });
        assert!(servers.key(&"x".repeat(100_000), 4).path.len() < 200);
    }

    #[test]
    fn a_file_that_is_wrong_everywhere_gives_a_bounded_list() {
        let mut problems = Problems::default();
        for line in 0..1_000 {
            problems.push(&Place { line: 1_000 - line, path: String::new() }, "wrong");
        }
        assert_eq!(problems.len(), 1_000);
        let sorted = problems.into_sorted();
        assert!(sorted.iter().zip(sorted.iter().skip(1)).all(|(a, b)| a.line() <= b.line()));
        assert!(sorted.to_string().ends_with("and 900 more problems; correct these first"));
    }
}
