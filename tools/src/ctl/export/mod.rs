//! `fdht export`: everything of one namespace as JSON lines.
//!
//! Objects are found with SCAN and read with GET or HGETALL, their expiries with PEXPIRETIME and
//! HPEXPIRETIME. A field's record says when the field ceases to exist: at its own expiry or at its
//! object's, whichever is earlier.
//!
//! What is written while the export runs may or may not be in it, and a value may come with the
//! expiry that it got a moment later; what was there all the time is in it once.

mod reader;
mod run;

pub(crate) use reader::is_passing;
pub(crate) use run::{ExportArgs, export, with_suffix};
