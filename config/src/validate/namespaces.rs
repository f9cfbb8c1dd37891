//! `namespaces`: database numbers and write options of their own.

use std::collections::HashMap;

use super::{names, settings};
use crate::field::At;
use crate::model::NamespaceModel;
use crate::problem::{Problems, quoted};
use crate::topology::{Namespace, WriteOptions};

/// Greatest database number.
const DATABASE_MAX: u32 = i32::MAX.unsigned_abs();

/// Checks `namespaces`.
pub(super) fn check(
    models: &[NamespaceModel],
    defaults: WriteOptions,
    problems: &mut Problems,
) -> Vec<Namespace> {
    let by_name: HashMap<&str, &NamespaceModel> =
        models.iter().map(|model| (model.name.value.as_str(), model)).collect();
    let mut by_database: HashMap<u32, &NamespaceModel> = HashMap::new();
    let mut namespaces = Vec::new();
    for model in models {
        names::check_namespace(&model.name, problems);
        let database = model.database.as_ref().and_then(|n| check_number(n, problems));
        if let (Some(number), Some(at)) = (database, &model.database) {
            if let Some(first) = by_database.get(&number) {
                let text = format!(
                    "database {number} is also given to {} on line {}; take another number",
                    quoted(&first.name.value),
                    first.name.place.line
                );
                problems.push(&at.place, text);
            } else {
                by_database.insert(number, model);
            }
            let other = by_name.get(number.to_string().as_str());
            if let Some(other) = other.filter(|other| other.name.value != model.name.value) {
                let text = format!(
                    "database {number} would hide the namespace {} of line {}, which has that \
                     number for its name; take another number",
                    quoted(&other.name.value),
                    other.name.place.line
                );
                problems.push(&at.place, text);
            }
        }
        namespaces.push(Namespace {
            name: model.name.value.clone(),
            database,
            write: settings::write(&model.write, defaults, problems),
        });
    }
    namespaces
}

fn check_number(number: &At<u64>, problems: &mut Problems) -> Option<u32> {
    let checked =
        u32::try_from(number.value).ok().filter(|number| (1..=DATABASE_MAX).contains(number));
    if checked.is_none() {
        let text = format!(
            "{} is no database number to give; write one from 1 to {DATABASE_MAX} \
             (0 is the empty namespace)",
            number.value
        );
        problems.push(&number.place, text);
    }
    checked
}
