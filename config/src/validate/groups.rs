//! `physical_groups`: who holds which logic groups.

use std::collections::{BTreeSet, HashMap};

use common::ids::{LogicGroup, NodeId};
use common::limits::SERVERS_PER_GROUP_MAX;

use super::names;
use super::servers::{Known, resolve_all};
use crate::field::At;
use crate::model::{GroupModel, NameList};
use crate::problem::{Problems, quoted};
use crate::ranges::{format_ranges, parse_ranges};
use crate::topology::PhysicalGroup;

/// Checks `physical_groups`. `known` and `count` are absent when they have problems themselves; then
/// what depends on them is not checked.
pub(super) fn check(
    models: &At<Vec<GroupModel>>,
    known: Option<&Known>,
    count: Option<u16>,
    problems: &mut Problems,
) -> Vec<PhysicalGroup> {
    if models.value.is_empty() {
        problems.push(&models.place, "no physical group at all; add one with servers");
        return Vec::new();
    }
    let mut groups = Vec::new();
    let mut group_of_server = HashMap::new();
    for model in &models.value {
        names::check(&model.name, problems);
        let servers = match &model.servers {
            Some(list) => check_servers(list, model, known, &mut group_of_server, problems),
            None => Vec::new(),
        };
        let name = model.name.value.clone();
        groups.push(PhysicalGroup { name, servers, logic_groups: Vec::new() });
    }
    if let Some(count) = count {
        assign(models, &mut groups, count, problems);
    }
    groups
}

fn check_servers<'m>(
    list: &'m At<NameList>,
    group: &'m GroupModel,
    known: Option<&Known>,
    group_of_server: &mut HashMap<&'m str, &'m str>,
    problems: &mut Problems,
) -> Vec<NodeId> {
    let names = &list.value.names;
    if names.is_empty() && list.value.complete {
        problems.push(&list.place, "a group without servers; list at least one");
    }
    if names.len() > usize::from(SERVERS_PER_GROUP_MAX) {
        let text = format!(
            "{} servers in one group; at most {SERVERS_PER_GROUP_MAX} are possible, make more groups",
            names.len()
        );
        problems.push(&list.place, text);
    }
    for name in names {
        let here = group.name.value.as_str();
        let first = *group_of_server.entry(name.value.as_str()).or_insert(here);
        if first != here {
            let server = quoted(&name.value);
            let text = format!("{server} is also in group {first}; a server is in one group only");
            problems.push(&name.place, text);
        }
    }
    resolve_all(names, known, problems)
}

/// Gives every logic group to the physical group that lists it, and refuses those that none or
/// several list.
fn assign(
    models: &At<Vec<GroupModel>>,
    groups: &mut [PhysicalGroup],
    count: u16,
    problems: &mut Problems,
) {
    let mut owners: Vec<Option<usize>> = vec![None; usize::from(count)];
    let mut complete = true;
    for (place, model) in models.value.iter().enumerate() {
        let Some(text) = &model.logic_groups else {
            complete = false;
            continue;
        };
        let ranges = match parse_ranges(&text.value, count) {
            Ok(ranges) => ranges,
            Err(error) => {
                problems.push(&text.place, error.to_string());
                complete = false;
                continue;
            }
        };
        // The groups listed before, by who listed them. More numbers than twice all are repetition,
        // and then a repeated one is found already.
        let mut twice: HashMap<usize, BTreeSet<u16>> = HashMap::new();
        let numbers = ranges.into_iter().flat_map(|(first, last)| first..=last);
        for number in numbers.take(2 * usize::from(count)) {
            match owners[usize::from(number)] {
                None => owners[usize::from(number)] = Some(place),
                Some(owner) => {
                    twice.entry(owner).or_default().insert(number);
                }
            }
        }
        let mut twice: Vec<_> = twice.into_iter().collect();
        twice.sort();
        for (owner, numbers) in twice {
            let numbers = plural(&format_ranges(numbers));
            let owner = &models.value[owner].name.value;
            let whose = if owner == &model.name.value {
                "listed twice here".to_owned()
            } else {
                format!("also assigned to {owner}")
            };
            problems.push(&text.place, format!("{numbers} {whose}; assign each group once"));
        }
    }
    for (number, owner) in (0..).map(LogicGroup).zip(&owners) {
        if let Some(owner) = owner {
            groups[*owner].logic_groups.push(number);
        }
    }
    let missing = (0..count).filter(|number| owners[usize::from(*number)].is_none());
    let missing = format_ranges(missing);
    if complete && !missing.is_empty() {
        let text = format!("{} assigned to no group; add each to one", plural(&missing));
        problems.push(&models.place, text);
    }
}

/// `logic group 7 is` or `logic groups 7-9 are`.
fn plural(numbers: &str) -> String {
    if numbers.contains(['-', ',']) {
        format!("logic groups {numbers} are")
    } else {
        format!("logic group {numbers} is")
    }
}
