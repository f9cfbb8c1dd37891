//! A YAML document as a tree in which every node and every key knows its line.
//!
//! Scalars stay text here: whether `7` is a number is decided where a number or a text is wanted, so
//! that a wrong type is one problem among others and not the end of the reading.

/// A value and the line on which it begins.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) value: Value,
}

/// What a node holds.
#[derive(Debug)]
pub(crate) enum Value {
    /// A scalar in quotes or a block scalar: always text.
    Quoted(String),
    /// A scalar without quotes: text, a number, a boolean or nothing.
    Plain(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping; its keys are distinct.
    Map(Vec<Entry>),
    /// Something that was refused already; nothing more is said about it.
    Refused,
}

/// A key with its value.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) line: usize,
    pub(crate) value: Node,
}
