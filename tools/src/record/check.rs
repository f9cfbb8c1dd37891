//! Both text forms of a record, for fuzzing.

use super::{Record, from_json, from_tsv, to_json};

/// Reads one line of an import in both forms and forgets it: for fuzzing.
///
/// # Panics
/// If a record that was understood is another one after it was written as JSON and read again.
pub fn check_record_line(line: &[u8]) {
    for record in [from_json(line).ok(), from_tsv(line).ok()].into_iter().flatten() {
        let again = from_json(to_json(&record).as_bytes()).ok();
        // The empty namespace need not be written down.
        let namespace = record.namespace.clone().filter(|namespace| !namespace.is_empty());
        assert_eq!(again, Some(Record { namespace, ..record }));
    }
}
