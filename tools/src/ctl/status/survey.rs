//! From what all nodes say to rows for each server and lines about what is not as it should be.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::node::{NodeGroup, NodeLane, Told};
use super::voters;
use crate::ctl::admin::items;

/// What each node said, by name; or why it did not.
pub(super) type AllTold = BTreeMap<String, Result<Told, String>>;

/// The state of the cluster.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Servers of physical groups.
    pub(super) servers: Vec<ServerRow>,
    /// Proxies that nodes know, by name and host.
    pub(super) proxies: BTreeMap<(String, String), ProxyRow>,
    /// What is not as it should be, a line each.
    pub(super) problems: Vec<String>,
}

/// One server of a physical group.
#[derive(Debug, Default)]
pub(super) struct ServerRow {
    pub(super) physical: String,
    pub(super) server: String,
    /// Logic groups of the physical group; so many lanes have their home here.
    pub(super) groups: usize,
    /// Lanes that it leads; nothing when it cannot be reached.
    pub(super) leads: Option<usize>,
    /// Groups in which it is in step; nothing when nobody says.
    pub(super) in_step: Option<usize>,
    /// The most records that a leader says it has not acknowledged.
    pub(super) lag_records: u64,
    /// The longest that one of them has waited.
    pub(super) lag_ms: u64,
    /// The shortest of its leases.
    pub(super) lease_ms: Option<u64>,
}

impl ServerRow {
    /// For people.
    pub(super) fn cells(&self) -> Vec<String> {
        let of_groups = |count: Option<usize>| match count {
            Some(count) => format!("{count} of {}", self.groups),
            None => "?".to_owned(),
        };
        vec![
            self.physical.clone(),
            self.server.clone(),
            self.leads.map_or_else(|| "unreachable".to_owned(), |leads| leads.to_string()),
            of_groups(self.in_step),
            format!("{} records, {} ms", self.lag_records, self.lag_ms),
            self.lease_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms")),
        ]
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        json!({
            "physical_group": self.physical, "server": self.server, "logic_groups": self.groups,
            "leads": self.leads, "in_step": self.in_step, "lag_records": self.lag_records,
            "lag_ms": self.lag_ms, "lease_ms_min": self.lease_ms,
        })
    }
}

/// A proxy as nodes know it.
#[derive(Debug, Default)]
pub(super) struct ProxyRow {
    /// The topologies that its connections announced: epoch and hash.
    pub(super) topologies: BTreeSet<(u64, String)>,
    /// Nodes it is connected to.
    pub(super) nodes: BTreeSet<String>,
}

/// Looks at everything. `topology` and `groups` are the proxy's.
pub(super) fn survey(topology: &Value, groups: &Value, told: &AllTold) -> Survey {
    let mut survey = Survey::default();
    for (name, answer) in told {
        match answer {
            Err(reason) => survey.problems.push(format!("{name} cannot be asked: {reason}")),
            Ok(Told { refuses_writes: Some(reason), .. }) => {
                survey.problems.push(format!("{name} takes no writes: {reason}"));
            }
            Ok(_) => {}
        }
    }
    for (physical, group) in topology["physical_groups"].as_object().into_iter().flatten() {
        let servers: Vec<&str> =
            items(&group["servers"]).iter().filter_map(Value::as_str).collect();
        let own = items(groups).iter().filter(|g| g["physical_group"] == **physical);
        let logic: Vec<u64> = own.filter_map(|g| g["group"].as_u64()).collect();
        survey.physical_group(physical, &servers, &logic, told);
    }
    survey.proxies(topology, told);
    survey.problems.extend(voters::problems(topology, told));
    survey
}

impl Survey {
    fn physical_group(&mut self, name: &str, servers: &[&str], logic: &[u64], told: &AllTold) {
        let mut rows: Vec<ServerRow> = (servers.iter())
            .map(|server| ServerRow {
                physical: name.to_owned(),
                server: (*server).to_owned(),
                groups: logic.len(),
                leads: matches!(told.get(*server), Some(Ok(_))).then_some(0),
                ..ServerRow::default()
            })
            .collect();
        let mut troubles = Troubles::default();
        for group in logic {
            let copies = copies(*group, servers, told);
            look_at_copies(*group, servers, &copies, &mut troubles);
            look_at_lanes(*group, servers, &copies, &mut rows, &mut troubles);
            look_at_step(*group, &copies, &mut rows, &mut troubles);
        }
        for row in &rows {
            let lag = format!("{} records and {} ms behind", row.lag_records, row.lag_ms);
            troubles
                .rename(&out_of_step(&row.server), &format!("{}, {lag}", out_of_step(&row.server)));
        }
        self.problems.extend(troubles.lines(name));
        self.servers.append(&mut rows);
    }

    fn proxies(&mut self, topology: &Value, told: &AllTold) {
        for (node, answer) in told {
            let Ok(told) = answer else { continue };
            for peer in told.peers.iter().filter(|peer| peer.role == "proxy") {
                let host = peer.address.rsplit_once(':').map_or("", |(host, _)| host);
                let row = self.proxies.entry((peer.name.clone(), host.to_owned())).or_default();
                row.topologies.insert((peer.topology_epoch, peer.topology_hash.clone()));
                row.nodes.insert(node.clone());
            }
        }
        let epoch = topology["epoch"].as_u64().unwrap_or_default();
        let hash = topology["hash"].as_str().unwrap_or_default();
        for ((name, host), row) in &self.proxies {
            // Its connections learn of a new one in turn, those for large requests only when they
            // are made: the greatest is what it knows.
            for (of, with) in row
                .topologies
                .iter()
                .next_back()
                .into_iter()
                .filter(|t| (t.0, t.1.as_str()) != (epoch, hash))
            {
                self.problems.push(format!(
                    "proxy {name} at {host} has topology epoch {of} hash {with}, \
                     not epoch {epoch} hash {hash}"
                ));
            }
        }
    }
}

/// A group as the servers that hold it describe it: by server index.
type Copies<'t> = BTreeMap<usize, &'t NodeGroup>;

fn copies<'t>(group: u64, servers: &[&str], told: &'t AllTold) -> Copies<'t> {
    let copy = |(at, server): (usize, &&str)| {
        let told = told.get(*server)?.as_ref().ok()?;
        Some((at, told.groups.iter().find(|of| of.group == group)?))
    };
    servers.iter().enumerate().filter_map(copy).collect()
}

/// Lines about many logic groups, each with those it holds for.
#[derive(Debug, Default)]
struct Troubles(BTreeMap<String, Vec<u64>>);

impl Troubles {
    fn note(&mut self, what: String, group: u64) {
        let groups = self.0.entry(what).or_default();
        if groups.last() != Some(&group) {
            groups.push(group);
        }
    }

    fn rename(&mut self, what: &str, to: &str) {
        if let Some(groups) = self.0.remove(what) {
            self.0.insert(to.to_owned(), groups);
        }
    }

    fn lines(self, physical: &str) -> Vec<String> {
        let line = |(what, groups): (String, Vec<u64>)| {
            format!("group {physical}: {what}: logic groups {}", ranges(&groups))
        };
        self.0.into_iter().map(line).collect()
    }
}

fn out_of_step(server: &str) -> String {
    format!("{server} is out of step")
}

fn look_at_copies(group: u64, servers: &[&str], copies: &Copies<'_>, troubles: &mut Troubles) {
    for (at, copy) in copies {
        let server = servers.get(*at).copied().unwrap_or_default();
        if copy.stranger {
            troubles.note(format!("{server} is a stranger: the register does not name it"), group);
        }
        if let Some(reason) = &copy.stopped {
            troubles.note(format!("{server} has stopped: {reason}"), group);
        }
        for lane in &copy.lanes {
            let home = servers.get(lane.server_index).copied().unwrap_or("?");
            if let Some(phase) = lane.phase.as_deref().filter(|phase| !is_normal(lane, phase)) {
                troubles.note(format!("{server}, lane of {home}: {phase}"), group);
            }
        }
    }
}

/// Whether a lane of this role may be in this phase all day.
fn is_normal(lane: &NodeLane, phase: &str) -> bool {
    match lane.role.as_deref() {
        Some("leading") => phase == "serving",
        Some("following") => matches!(phase, "pulling" | "serving"),
        _ => phase != "needs re-seed",
    }
}

fn look_at_lanes(
    group: u64,
    servers: &[&str],
    copies: &Copies<'_>,
    rows: &mut [ServerRow],
    troubles: &mut Troubles,
) {
    // A node of an older version does not say who leads.
    if !copies.values().flat_map(|copy| &copy.lanes).any(|lane| lane.role.is_some()) {
        return;
    }
    for (index, home) in servers.iter().enumerate() {
        let claims = copies.iter().flat_map(|(at, copy)| {
            let lanes = copy.lanes.iter();
            lanes.filter(|lane| lane.server_index == index && lane.leads()).map(|lane| (*at, lane))
        });
        // Of two that say they lead, the later one was named by the register.
        let Some((leader, lane)) = claims.max_by_key(|(_, lane)| lane.since_epoch) else {
            troubles.note(format!("the lane of {home} has no leader"), group);
            continue;
        };
        if leader != index {
            let leader = servers.get(leader).copied().unwrap_or("?");
            troubles.note(format!("the lane of {home} is led by {leader}"), group);
        }
        if let Some(row) = rows.get_mut(leader) {
            row.leads = row.leads.map(|leads| leads + 1);
            row.lease_ms = row.lease_ms.into_iter().chain(lane.lease_ms).min();
        }
        for follower in &lane.followers {
            if let Some(row) = rows.iter_mut().find(|row| row.server == follower.server) {
                row.lag_records = row.lag_records.max(follower.lag_records);
                row.lag_ms = row.lag_ms.max(follower.lag_ms);
            }
        }
    }
}

fn look_at_step(group: u64, copies: &Copies<'_>, rows: &mut [ServerRow], troubles: &mut Troubles) {
    let known = copies.values().filter(|copy| copy.in_step.is_some());
    let newest = known.max_by_key(|copy| copy.register_epoch);
    let Some(in_step) = newest.and_then(|copy| copy.in_step.as_ref()) else {
        return;
    };
    for row in rows {
        let count = row.in_step.get_or_insert(0);
        if in_step.contains(&row.server) {
            *count += 1;
        } else {
            troubles.note(out_of_step(&row.server), group);
        }
    }
}

/// Ascending numbers as `0-7,12`.
fn ranges(numbers: &[u64]) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let text = |(first, last): &(u64, u64)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    ranges.iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
#[path = "survey_tests.rs"]
mod tests;
