//! What the table of commands says about each of them, and how one is found in it.

use std::cmp::Ordering;

use crate::front::call::Started;

use super::args::Args;
use super::call::RespCall;
use super::error::CommandError;
use super::session::Context;
use super::table::COMMANDS;

/// Longest name of a command or subcommand that is worth looking up.
const NAME_BYTES_MAX: usize = 32;

/// What a handler gives back; the dispatcher writes the error.
pub(super) type Outcome = Result<Started<RespCall>, CommandError>;

/// Checks and starts one command.
pub(super) type Handler = fn(&mut Context<'_>, &Args<'_>) -> Outcome;

/// One row of the table.
#[derive(Debug)]
pub struct Command {
    /// Its name, or its second word for a subcommand, in upper case.
    pub(super) name: &'static str,
    /// Number of arguments, the name included; negative for "at least".
    pub(super) arity: i32,
    pub(super) flags: Flags,
    pub(super) keys: Keys,
    pub(super) group: Group,
    /// The Redis version that introduced it.
    pub(super) since: &'static str,
    pub(super) summary: &'static str,
    pub(super) subcommands: &'static [Self],
    pub(super) run: Handler,
}

impl Command {
    /// Its name, in upper case: a bounded set, fit for a metric's label.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it may be given this many arguments, its name included.
    pub(super) fn takes(&self, arguments: usize) -> bool {
        let least = usize::try_from(self.arity.unsigned_abs()).unwrap_or(usize::MAX);
        match self.arity.cmp(&0) {
            Ordering::Less => arguments >= least,
            Ordering::Equal | Ordering::Greater => arguments == least,
        }
    }
}

/// Properties of a command, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags(pub(super) u16);

/// The bits of [`Flags`]; each one's name in COMMAND INFO stands at the same place in
/// [`flag::NAMES`].
pub(super) mod flag {
    pub(in super::super) const WRITE: u16 = 1;
    pub(in super::super) const READONLY: u16 = 1 << 1;
    pub(in super::super) const DENYOOM: u16 = 1 << 2;
    pub(in super::super) const ADMIN: u16 = 1 << 3;
    pub(in super::super) const NOSCRIPT: u16 = 1 << 4;
    pub(in super::super) const LOADING: u16 = 1 << 5;
    pub(in super::super) const STALE: u16 = 1 << 6;
    pub(in super::super) const FAST: u16 = 1 << 7;
    pub(in super::super) const NO_AUTH: u16 = 1 << 8;
    pub(in super::super) const ALLOW_BUSY: u16 = 1 << 9;

    pub(in super::super) const NAMES: [&str; 10] = [
        "write",
        "readonly",
        "denyoom",
        "admin",
        "noscript",
        "loading",
        "stale",
        "fast",
        "no_auth",
        "allow_busy",
    ];
}

impl Flags {
    /// Whether this one is set.
    pub(super) fn has(self, bit: u16) -> bool {
        self.0 & bit != 0
    }

    /// The names of those that are set.
    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        (0u32..).zip(flag::NAMES).filter(move |(bit, _)| self.has(1 << bit)).map(|(_, name)| name)
    }
}

/// Which arguments are keys: from `first` to `last` (negative from the end), every `step`-th.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) first: i32,
    pub(super) last: i32,
    pub(super) step: i32,
}

impl Keys {
    pub(super) const NONE: Self = Self { first: 0, last: 0, step: 0 };
    pub(super) const ONE: Self = Self { first: 1, last: 1, step: 1 };
    pub(super) const ALL: Self = Self { first: 1, last: -1, step: 1 };
    pub(super) const PAIRS: Self = Self { first: 1, last: -1, step: 2 };
}

/// What a command belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Connection,
    Generic,
    Hash,
    Server,
    String,
}

impl Group {
    /// Its name in COMMAND DOCS.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Generic => "generic",
            Self::Hash => "hash",
            Self::Server => "server",
            Self::String => "string",
        }
    }

    /// Its ACL category, where it has one.
    pub(super) fn category(self) -> Option<&'static str> {
        match self {
            Self::Connection => Some("@connection"),
            Self::Generic => Some("@keyspace"),
            Self::Hash => Some("@hash"),
            Self::String => Some("@string"),
            Self::Server => None,
        }
    }
}

/// The command with this name, in whatever case. Allocates nothing.
pub(super) fn find(name: &[u8]) -> Option<&'static Command> {
    find_in(COMMANDS, name)
}

/// The row of a sorted table with this name, in whatever case.
pub(super) fn find_in(table: &'static [Command], name: &[u8]) -> Option<&'static Command> {
    let mut buffer = [0; NAME_BYTES_MAX];
    let upper = buffer.get_mut(..name.len())?;
    upper.copy_from_slice(name);
    upper.make_ascii_uppercase();
    let index = table.binary_search_by(|row| row.name.as_bytes().cmp(upper)).ok()?;
    table.get(index)
}

/// Whether two words are the same but for their case.
pub(super) fn is_word(argument: &[u8], word: &str) -> bool {
    argument.eq_ignore_ascii_case(word.as_bytes())
}
