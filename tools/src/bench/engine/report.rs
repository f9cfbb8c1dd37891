//! What a case says at its end, as Markdown.

use super::args::Scale;
use super::sizes::Sizes;
use crate::console;

/// What a case found.
pub(super) struct Section {
    pub(super) title: &'static str,
    /// What was measured, in sentences.
    pub(super) text: String,
    pub(super) header: &'static [&'static str],
    pub(super) rows: Vec<Vec<String>>,
    pub(super) figures: Vec<Figure>,
    /// What was looked at to know that the right thing was measured.
    pub(super) checked: String,
}

/// A number with a target.
pub(super) struct Figure {
    pub(super) what: String,
    pub(super) measured: f64,
    pub(super) target: Target,
}

/// What a figure is to be.
#[derive(Clone, Copy)]
pub(super) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn text(self) -> String {
        match self {
            Self::AtLeast(value) => format!(">= {}", grouped(value)),
            Self::AtMost(value) => format!("<= {}", grouped(value)),
        }
    }

    fn is_reached(self, measured: f64) -> bool {
        match self {
            Self::AtLeast(value) => measured >= value,
            Self::AtMost(value) => measured <= value,
        }
    }
}

/// A target as it is written in the list of them.
fn grouped(value: f64) -> String {
    if value >= 1e6 { format!("{} M", value / 1e6) } else { value.to_string() }
}

/// A number with about three digits.
pub(super) fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Bytes as MiB.
pub(super) fn mib(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / f64::from(1 << 20))
}

/// Prints a case.
pub(super) fn print(section: &Section) {
    console::line(markdown(section));
}

/// Prints what holds for all cases.
pub(super) fn print_head(sizes: &Sizes) {
    let (scale, of) = match sizes.scale {
        Scale::Small => ("small", "; the targets are those of `--scale full`"),
        Scale::Full => ("full", ""),
    };
    console::line(format!(
        "Scale {scale}{of}. Keys of 16 to 64 bytes, {}-byte values, {} group(s), page cache {} MiB on \
         each side, turns of {}, sync {}; medians of {} rounds in turns. CPU is user and system time \
         of the whole process, making keys and values included.\n",
        sizes.value_bytes,
        sizes.groups,
        mib(sizes.cache_bytes as u64),
        sizes.turn,
        sizes.sync,
        sizes.rounds,
    ));
}

fn markdown(section: &Section) -> String {
    let Section { title, text, header, rows, figures, checked } = section;
    let mut out = format!("## {title}\n\n{text}\n\n{}", row(header.iter().copied()));
    out.push_str(&row(header.iter().map(|_| "---")));
    for cells in rows {
        out.push_str(&row(cells.iter().map(String::as_str)));
    }
    out.push('\n');
    out.push_str(&row(["figure", "measured", "target", ""]));
    out.push_str(&row(["---"; 4]));
    for Figure { what, measured, target } in figures {
        let reached = if target.is_reached(*measured) { "reached" } else { "missed" };
        out.push_str(&row([what, digits(*measured).as_str(), &target.text(), reached]));
    }
    out.push_str(&format!("\nChecked: {checked}.\n"));
    out
}

fn row<'c>(cells: impl IntoIterator<Item = &'c str>) -> String {
    let mut out = String::new();
    cells.into_iter().for_each(|cell| out.push_str(&format!("| {cell} ")));
    out.push_str("|\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_stands_beside_what_was_measured() {
        let figure = |measured, target| Figure { what: "ratio".to_owned(), measured, target };
        let text = markdown(&Section {
            title: "puts",
            text: "How.".to_owned(),
            header: &["side", "ops/s"],
            rows: vec![vec!["engine".to_owned(), digits(12_345.6)]],
            figures: vec![
                figure(3.999, Target::AtLeast(4.0)),
                figure(1.25, Target::AtMost(1.3)),
                figure(2.5e6, Target::AtLeast(2e6)),
            ],
            checked: "nothing".to_owned(),
        });
        let expected = "## puts\n\nHow.\n\n| side | ops/s |\n| --- | --- |\n| engine | 12346 |\n\n\
                        | figure | measured | target |  |\n| --- | --- | --- | --- |\n\
                        | ratio | 4.00 | >= 4 | missed |\n| ratio | 1.25 | <= 1.3 | reached |\n\
                        | ratio | 2500000 | >= 2 M | reached |\n\nChecked: nothing.\n";
        assert_eq!(text, expected);
    }
}
