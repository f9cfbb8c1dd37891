//! What the person at the terminal sees. A closed pipe (`fdht export | head`) is no error: there is
//! nobody left to tell.

use std::io::{self, Write};

/// One line on standard output.
pub(crate) fn line(text: impl AsRef<str>) {
    put(&mut io::stdout().lock(), text.as_ref());
}

/// One line on standard error.
pub(crate) fn warn(text: impl AsRef<str>) {
    put(&mut io::stderr().lock(), text.as_ref());
}

fn put(to: &mut impl Write, text: &str) {
    let done =
        to.write_all(text.as_bytes()).and_then(|()| to.write_all(b"\n")).and_then(|()| to.flush());
    drop(done);
}

/// A table in the one look that all commands share.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
    table.set_header(header.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    table.to_string()
}
