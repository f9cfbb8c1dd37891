//! `servers` and `voters`.

use std::collections::{HashMap, HashSet};

use common::ids::NodeId;
use common::limits::SERVERS_MAX;

use super::{address, names};
use crate::field::At;
use crate::model::{NameList, ServerModel};
use crate::problem::{Place, Problems, quoted};
use crate::suggest;
use crate::topology::Server;

/// The servers of the file. Those with a problem are in it too: their names are known.
pub(super) struct Known {
    pub(super) servers: Vec<Server>,
    ids: HashMap<String, NodeId>,
}

impl Known {
    /// The id of the server that a list of names means.
    pub(super) fn resolve(&self, name: &At<String>, problems: &mut Problems) -> Option<NodeId> {
        if self.servers.is_empty() {
            return None; // said already
        }
        let id = self.ids.get(&name.value).copied();
        if id.is_none() {
            let names: Vec<&str> = self.servers.iter().map(|s| s.name.as_str()).collect();
            let server = quoted(&name.value);
            let text = match suggest::nearest(&name.value, &names) {
                Some(meant) if !problems.is_full() => {
                    format!("there is no server {server}; did you mean {meant}?")
                }
                _ => format!("there is no server {server}; add it to `servers` or remove it here"),
            };
            problems.push(&name.place, text);
        }
        id
    }
}

/// Checks `servers`.
pub(super) fn check(models: &At<Vec<ServerModel>>, problems: &mut Problems) -> Known {
    let count = models.value.len();
    if count == 0 {
        problems.push(&models.place, "no server at all; add one, such as a1: { address: ... }");
    }
    if count > SERVERS_MAX {
        let text = format!("{count} servers; at most {SERVERS_MAX} are possible, remove some");
        problems.push(&models.place, text);
    }
    let mut known = Known { servers: Vec::new(), ids: HashMap::new() };
    let mut names_by_id: HashMap<NodeId, &str> = HashMap::new();
    let mut addresses: HashMap<String, &Place> = HashMap::new();
    for model in &models.value {
        names::check(&model.name, problems);
        let name = &model.name.value;
        let id = NodeId::of_name(name);
        if let Some(other) = names_by_id.insert(id, name) {
            let text = format!(
                "{} and {} have the same 32-bit id ({id}), so they cannot be told apart; \
                 rename the newer one",
                quoted(other),
                quoted(name)
            );
            problems.push(&model.name.place, text);
        }
        for address in [&model.address, &model.admin].into_iter().flatten() {
            check_address(address, &mut addresses, problems);
        }
        if let Some(zone) = &model.zone {
            names::check_zone(zone, problems);
        }
        let text = |field: &Option<At<String>>| field.as_ref().map(|at| at.value.clone());
        known.ids.insert(name.clone(), id);
        known.servers.push(Server {
            name: name.clone(),
            id,
            // Absent only with a recorded problem, and then the file is refused.
            address: text(&model.address).unwrap_or_default(),
            admin: text(&model.admin).unwrap_or_default(),
            zone: text(&model.zone),
        });
    }
    known
}

fn check_address<'m>(
    address: &'m At<String>,
    taken: &mut HashMap<String, &'m Place>,
    problems: &mut Problems,
) {
    let shown = quoted(&address.value);
    match address::normalize(&address.value) {
        Err(error) => problems.push(&address.place, format!("the address {shown} {error}")),
        Ok(normal) => {
            if let Some(first) = taken.get(&normal) {
                let text = format!(
                    "the address {shown} is also {} on line {}; give each its own",
                    first.path, first.line
                );
                problems.push(&address.place, text);
            } else {
                taken.insert(normal, &address.place);
            }
        }
    }
}

/// Checks `voters`.
pub(super) fn voters(
    list: Option<&At<NameList>>,
    known: Option<&Known>,
    problems: &mut Problems,
) -> Vec<NodeId> {
    let Some(list) = list else {
        return Vec::new();
    };
    let names = &list.value.names;
    if list.value.complete && !matches!(names.len(), 1 | 3 | 5) {
        let text = format!("{} voters; a majority needs 1, 3 or 5, write that many", names.len());
        problems.push(&list.place, text);
    }
    resolve_all(names, known, problems)
}

/// The ids of a list of distinct names of servers.
pub(super) fn resolve_all(
    names: &[At<String>],
    known: Option<&Known>,
    problems: &mut Problems,
) -> Vec<NodeId> {
    let mut seen = HashSet::new();
    let mut ids = Vec::new();
    for name in names {
        if !seen.insert(&name.value) {
            let text = format!("{} is in the list twice; remove one", quoted(&name.value));
            problems.push(&name.place, text);
        } else if let Some(known) = known {
            ids.extend(known.resolve(name, problems));
        }
    }
    ids
}
