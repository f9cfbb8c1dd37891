//! One record as `import` and `export` see it, and the two text forms it has in files.

mod base64;
mod check;
mod entry;
mod jsonl;
mod tsv;

pub use check::check_record_line;
pub(crate) use entry::Record;
pub(crate) use jsonl::{JsonError, from_json, to_json};
pub(crate) use tsv::{TsvError, from_tsv};
