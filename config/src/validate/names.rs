//! Names that operators choose.

use common::limits::NAMESPACE_BYTES_MAX;

use crate::field::At;
use crate::problem::{Problems, quoted};

/// Longest name of a cluster, server, physical group or zone, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// A name that appears in paths, labels and commands: of a cluster, a server or a physical group.
pub(super) fn check(name: &At<String>, problems: &mut Problems) {
    let text = &name.value;
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.is_empty()
        || text.len() > NAME_BYTES_MAX
        || !text.starts_with(|c: char| c.is_ascii_alphanumeric())
        || !text.chars().all(inner)
    {
        let text = format!(
            "{} is not a usable name; write 1 to {NAME_BYTES_MAX} of the characters \
             A-Z a-z 0-9 . _ - with a letter or digit first",
            quoted(text)
        );
        problems.push(&name.place, text);
    }
}

/// A zone is only ever compared and shown.
pub(super) fn check_zone(zone: &At<String>, problems: &mut Problems) {
    check_free(zone, "zone", NAME_BYTES_MAX, problems);
}

/// A namespace is whatever clients write, as far as a text file can name it.
pub(super) fn check_namespace(name: &At<String>, problems: &mut Problems) {
    if name.value.is_empty() {
        let text = "the empty namespace is database 0 and takes the defaults; \
                    set them under `write`, or give this namespace a name";
        problems.push(&name.place, text);
        return;
    }
    check_free(name, "namespace", NAMESPACE_BYTES_MAX, problems);
}

fn check_free(text: &At<String>, what: &str, bytes_max: usize, problems: &mut Problems) {
    let value = &text.value;
    if value.is_empty() || value.len() > bytes_max || value.chars().any(char::is_control) {
        let message = format!(
            "{} is not a usable {what}; write 1 to {bytes_max} bytes without control characters",
            quoted(value)
        );
        problems.push(&text.place, message);
    }
}
