//! YAML text into a [`Node`] tree; the only file that names the YAML library.
//!
//! The library's events are read directly, because its deserializer stops at the first mistake and a
//! topology file is refused with all of them. What YAML offers beyond plain data is refused here:
//! anchors, aliases, merge keys, tags, directives, several documents, keys that are not text, deep
//! nesting. A syntax error ends the reading; the problems before it are reported with it.

use std::collections::HashMap;

use serde_yaml::granit_parser::{Event, Parser, ScalarStyle, Span, options};

use crate::problem::{Place, Problems, quoted};
use crate::scalar::{self, Plain};
use crate::tree::{Entry, Node, Value};

/// Deepest nesting that is read. A topology file needs 4; trees are dropped recursively.
const DEPTH_MAX: usize = 16;

/// Reads `text` as one YAML document. `None` says that there is no usable tree; `problems` then says
/// why.
pub(crate) fn tree(text: &str, problems: &mut Problems) -> Option<Node> {
    let options = options! {
        disallow_directives: true,
        emit_comments: false,
        emit_unresolved_aliases: true,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    let mut builder = Builder { open: Vec::new(), root: None, documents: 0, problems };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => builder.on_event(event, &span),
            Err(error) => {
                let place = Place { line: error.marker().line(), path: builder.path() };
                let text = format!("not valid YAML: {}; correct the text here", error.info());
                builder.problems.push(&place, text);
                return None;
            }
        }
    }
    if builder.root.is_none() {
        builder.problems.push(&Place::root(), "the file is empty; write a topology into it");
    }
    builder.root
}

/// A list or mapping whose end has not come yet.
enum Open {
    List { line: usize, items: Vec<Node> },
    Map { line: usize, entries: Vec<Entry>, lines: HashMap<String, usize>, key: Option<Key> },
}

/// A key whose value has not come yet. Without text it was refused and its value is dropped.
struct Key {
    line: usize,
    text: Option<String>,
}

struct Builder<'p> {
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    problems: &'p mut Problems,
}

impl Builder<'_> {
    fn on_event(&mut self, event: Event<'_>, span: &Span) {
        let line = span.start.line();
        self.refuse_extras(&event, span);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents == 2 {
                    let place = Place { line, path: String::new() };
                    self.problems.push(&place, "a second document; keep one and remove the `---`");
                }
            }
            Event::Scalar(text, style, _, tag) => {
                let value = match (tag, style) {
                    (Some(_), _) => Value::Refused,
                    (None, ScalarStyle::Plain) => Value::Plain(text.into_owned()),
                    (None, _) => Value::Quoted(text.into_owned()),
                };
                self.add(Node { line, value });
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.refuse(line, "an alias; write the value out");
                self.add(Node { line, value: Value::Refused });
            }
            Event::SequenceStart(..) => self.open.push(Open::List { line, items: Vec::new() }),
            Event::MappingStart(..) => {
                let (entries, lines) = (Vec::new(), HashMap::new());
                self.open.push(Open::Map { line, entries, lines, key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            // The rest marks the stream and comments, or is new to the library: no data.
            _ => {}
        }
    }

    /// Anchors and tags can stand before any value.
    fn refuse_extras(&mut self, event: &Event<'_>, span: &Span) {
        let (anchor, tag) = match event {
            Event::Scalar(_, _, anchor, tag) => (*anchor, tag.as_deref()),
            Event::SequenceStart(_, anchor, tag) | Event::MappingStart(_, anchor, tag) => {
                (*anchor, tag.as_deref())
            }
            _ => return,
        };
        if anchor != 0 {
            self.refuse(span.start.line(), "an anchor; remove the `&name`");
        }
        if let Some(tag) = tag {
            let line = span.tag_start.map_or(span.start.line(), |mark| mark.line());
            self.refuse(line, &format!("a tag ({}); remove it", quoted(&tag.to_string())));
        }
    }

    fn refuse(&mut self, line: usize, text: &str) {
        let place = Place { line, path: self.path() };
        self.problems.push(&place, text);
    }

    fn close(&mut self) {
        let node = match self.open.pop() {
            Some(Open::List { line, items }) => Node { line, value: Value::List(items) },
            Some(Open::Map { line, entries, .. }) => Node { line, value: Value::Map(entries) },
            None => return,
        };
        self.add(node);
    }

    /// Puts a complete node where it belongs: a list, a mapping as key or as value, or the root.
    fn add(&mut self, node: Node) {
        match self.open.last_mut() {
            None => {
                // Later documents were refused; the first one is still looked at.
                self.root.get_or_insert(node);
            }
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, lines, key: slot, .. }) => match slot.take() {
                None => self.add_key(node),
                Some(Key { line, text: Some(key) }) => {
                    lines.insert(key.clone(), line);
                    entries.push(Entry { key, line, value: node });
                }
                Some(Key { text: None, .. }) => {}
            },
        }
    }

    fn add_key(&mut self, node: Node) {
        let line = node.line;
        let refused = match &node.value {
            Value::Refused => Some(String::new()),
            Value::List(_) | Value::Map(_) => {
                Some("a key that is a list or a mapping; write a name".to_owned())
            }
            Value::Plain(text) if text == "<<" => {
                Some("a merge key; write the keys out".to_owned())
            }
            Value::Plain(text) if scalar::plain(text) == Plain::Nothing => {
                Some("a key without a name; write one before the `:`".to_owned())
            }
            Value::Plain(text) | Value::Quoted(text) => self.first_line_of(text).map(|first| {
                format!("duplicate key {}, first on line {first}; remove one", quoted(text))
            }),
        };
        if let Some(text) = refused.as_deref().filter(|text| !text.is_empty()) {
            self.refuse(line, text);
        }
        let text = match node.value {
            Value::Plain(text) | Value::Quoted(text) if refused.is_none() => Some(text),
            _ => None,
        };
        if let Some(Open::Map { key, .. }) = self.open.last_mut() {
            *key = Some(Key { line, text });
        }
    }

    fn first_line_of(&self, name: &str) -> Option<usize> {
        match self.open.last() {
            Some(Open::Map { lines, .. }) => lines.get(name).copied(),
            _ => None,
        }
    }

    /// The path of what is being read, for problems found before the tree is complete.
    fn path(&self) -> String {
        let mut place = Place::root();
        for open in &self.open {
            match open {
                Open::List { items, .. } => place = place.item(items.len(), 1),
                Open::Map { key: Some(Key { text: Some(text), .. }), .. } => {
                    place = place.key(text, 1);
                }
                Open::Map { .. } => {}
            }
        }
        place.path
    }
}
