//! Typed reading of a [`Node`] tree: a value of the wrong type, an unknown key or a missing key is
//! recorded as a problem and reads as absent, so that the rest is still looked at.

use crate::problem::{Place, Problems, quoted};
use crate::scalar::{self, Plain};
use crate::suggest;
use crate::tree::{Entry, Node, Value};

/// A value from the file with its place.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// A node that is about to be read as something.
pub(crate) struct Item<'n> {
    node: &'n Node,
    /// Of the key, for a value of a mapping: there a problem is best shown.
    place: Place,
}

impl<'n> Item<'n> {
    pub(crate) fn root(node: &'n Node) -> Self {
        Self { node, place: Place::root() }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn text(self, problems: &mut Problems) -> Option<At<String>> {
        match &self.node.value {
            Value::Quoted(text) => Some(self.at(text.clone())),
            Value::Plain(text) => match scalar::plain(text) {
                Plain::Text => Some(self.at(text.clone())),
                Plain::Nothing => self.wrong("text", "write one", problems),
                _ => self.wrong("text", "put it in quotes", problems),
            },
            _ => self.wrong("text", "write one", problems),
        }
    }

    /// Text, or a number for its text: `acks: 1`, `logic_groups: 5`.
    pub(crate) fn text_or_number(self, problems: &mut Problems) -> Option<At<String>> {
        match &self.node.value {
            Value::Plain(text) if matches!(scalar::plain(text), Plain::Number(_)) => {
                Some(self.at(text.clone()))
            }
            _ => self.text(problems),
        }
    }

    pub(crate) fn number(self, problems: &mut Problems) -> Option<At<u64>> {
        match &self.node.value {
            Value::Plain(text) => match scalar::plain(text) {
                Plain::Number(number) => Some(self.at(number)),
                Plain::OtherNumber => {
                    let advice =
                        "write a whole decimal number below 2^64, without sign or leading zeros";
                    self.wrong("a number", advice, problems)
                }
                _ => self.wrong("a number", "write one", problems),
            },
            Value::Quoted(text) if matches!(scalar::plain(text), Plain::Number(_)) => {
                self.wrong("a number", "remove the quotes", problems)
            }
            _ => self.wrong("a number", "write one", problems),
        }
    }

    pub(crate) fn boolean(self, problems: &mut Problems) -> Option<At<bool>> {
        match &self.node.value {
            Value::Plain(text) => match scalar::plain(text) {
                Plain::Boolean(value) => Some(self.at(value)),
                _ => self.wrong("a boolean", "write true or false", problems),
            },
            _ => self.wrong("a boolean", "write true or false", problems),
        }
    }

    pub(crate) fn list(self, problems: &mut Problems) -> Option<At<Vec<Self>>> {
        let Value::List(nodes) = &self.node.value else {
            return self.wrong("a list", "write one, such as [a1, a2]", problems);
        };
        let item = |(index, node): (usize, &'n Node)| Item {
            node,
            place: self.place.item(index, node.line),
        };
        let items = nodes.iter().enumerate().map(item).collect();
        Some(self.at(items))
    }

    /// A mapping whose keys are names that the operator chose.
    pub(crate) fn names(self, problems: &mut Problems) -> Option<Vec<Named<'n>>> {
        let named = |entry: &'n Entry| {
            let place = self.place.key(&entry.key, entry.line);
            let name = At { value: entry.key.clone(), place: place.clone() };
            Named { name, item: Item { node: &entry.value, place } }
        };
        Some(self.entries(problems)?.iter().map(named).collect())
    }

    /// A mapping whose keys are `known`. Other keys are problems.
    pub(crate) fn section(
        self,
        known: &[&'static str],
        problems: &mut Problems,
    ) -> Option<Section<'n>> {
        let entries = self.entries(problems)?;
        let free: Vec<&'static str> = known
            .iter()
            .copied()
            .filter(|known| entries.iter().all(|entry| entry.key != *known))
            .collect();
        let mut mistyped = Vec::new();
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let place = Place { line: entry.line, path: self.place.path.clone() };
            let key = quoted(&entry.key).replace('"', "`");
            let text = match suggest::nearest(&entry.key, &free) {
                Some(meant) => {
                    mistyped.push(meant);
                    format!("unknown key {key}; did you mean `{meant}`?")
                }
                None => {
                    let known = known.join(", ");
                    format!("unknown key {key}; remove it, the known keys are: {known}")
                }
            };
            problems.push(&place, text);
        }
        Some(Section { entries, place: self.place, mistyped })
    }

    fn entries(&self, problems: &mut Problems) -> Option<&'n [Entry]> {
        match &self.node.value {
            Value::Map(entries) => Some(entries),
            _ => self.wrong("a mapping", "write `key: value` lines, or {} for none", problems),
        }
    }

    fn at<T>(self, value: T) -> At<T> {
        At { value, place: self.place }
    }

    fn wrong<T>(&self, expected: &str, advice: &str, problems: &mut Problems) -> Option<T> {
        let found = match &self.node.value {
            Value::Refused => return None,
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
            Value::Quoted(text) => format!("the text {}", quoted(text)),
            Value::Plain(text) => match scalar::plain(text) {
                Plain::Nothing => "nothing".to_owned(),
                Plain::Boolean(_) | Plain::OtherBoolean => format!("the boolean {text}"),
                Plain::Number(_) | Plain::OtherNumber => format!("the number {text}"),
                Plain::Text => format!("the text {}", quoted(text)),
            },
        };
        problems.push(&self.place, format!("expected {expected}, found {found}; {advice}"));
        None
    }
}

/// An entry of a mapping whose keys are names.
pub(crate) struct Named<'n> {
    pub(crate) name: At<String>,
    pub(crate) item: Item<'n>,
}

/// A mapping with known keys.
pub(crate) struct Section<'n> {
    entries: &'n [Entry],
    place: Place,
    /// Keys that an unknown one probably stands for: they are not also called missing.
    mistyped: Vec<&'static str>,
}

impl<'n> Section<'n> {
    pub(crate) fn optional(&self, key: &str) -> Option<Item<'n>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(Item { node: &entry.value, place: self.place.key(key, entry.line) })
    }

    /// The value of `key`, which has to be there; `example` shows how it is written.
    pub(crate) fn required(
        &self,
        key: &str,
        example: &str,
        problems: &mut Problems,
    ) -> Option<Item<'n>> {
        let item = self.optional(key);
        if item.is_none() && !self.mistyped.contains(&key) {
            let text = format!("missing key `{key}`; add it, such as `{key}: {example}`");
            problems.push(&self.place, text);
        }
        item
    }
}
