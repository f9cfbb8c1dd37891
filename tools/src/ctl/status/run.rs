//! `fdht status`: asks the proxy, every server of a group and every voter, and shows the answers.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::node::Told;
use super::survey::{AllTold, ProxyRow, ServerRow, Survey, survey};
use super::voters;
use crate::cli::Output;
use crate::console;
use crate::ctl::CtlError;
use crate::ctl::admin::{AdminArgs, ask, get, items, text};
use crate::failure::STATUS_PROBLEM;

/// Longest wait for a node's answer.
const NODE_TIME_MAX: Duration = Duration::from_secs(3);
/// So many nodes are asked at a time.
const NODES_AT_ONCE: usize = 32;

/// `fdht status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    admin: AdminArgs,
}

/// Shows what the proxy and the nodes know; the exit status says whether all is as it should be.
pub(crate) fn status(args: &StatusArgs) -> Result<ExitCode, CtlError> {
    let address = &args.admin.admin;
    let ready = ask(address, "/readyz", Duration::from_secs(10))?.body;
    let version = get(address, "/version")?;
    let topology = get(address, "/v1/topology")?;
    let nodes = get(address, "/v1/nodes")?;
    let groups = get(address, "/v1/groups")?;
    let told = ask_nodes(&topology);
    let found = survey(&topology, &groups, &told);
    let voters = voters::in_force(&told);
    match args.admin.output {
        Output::Json => {
            let all = json!({
                "ready": ready["ready"], "detail": ready["detail"], "version": version,
                "topology": topology, "nodes": nodes, "groups": groups,
                "servers": found.servers.iter().map(ServerRow::json).collect::<Vec<_>>(),
                "proxies": proxies_json(&found), "problems": found.problems,
                "voters": voters.map(|set| {
                    json!({ "generation": set.generation, "voters": set.voters })
                }),
            });
            console::line(all.to_string());
        }
        Output::Table => {
            console::line(summary(address, &ready, &version, &topology));
            console::line(console::table(
                &NODE_HEADER,
                items(&nodes).iter().map(node_row).collect(),
            ));
            console::line(console::table(&GROUP_HEADER, group_rows(&topology, &groups)));
            let rows = found.servers.iter().map(ServerRow::cells).collect();
            console::line(console::table(&SERVER_HEADER, rows));
            if !found.proxies.is_empty() {
                console::line(console::table(&PROXY_HEADER, proxy_rows(&found)));
            }
            if let Some(set) = voters {
                let (names, generation) = (set.voters.join(", "), set.generation);
                console::line(format!("voters: {names} (generation {generation})"));
            }
            for problem in &found.problems {
                console::line(problem);
            }
        }
    }
    let fine = ready["ready"] == Value::Bool(true) && found.problems.is_empty();
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::from(STATUS_PROBLEM) })
}

/// Asks all servers of physical groups and all voters, those in force too where the file names
/// others.
fn ask_nodes(topology: &Value) -> AllTold {
    let groups = topology["physical_groups"].as_object().into_iter().flatten();
    let servers = groups.flat_map(|(_, g)| items(&g["servers"]).iter().filter_map(Value::as_str));
    let mut told = AllTold::new();
    ask_more(topology, servers.chain(voters::of_file(topology)), &mut told);
    let others: Vec<String> =
        voters::in_force(&told).map(|set| set.voters.clone()).unwrap_or_default();
    let is_server = |name: &&str| topology["servers"].get(*name).is_some();
    ask_more(topology, others.iter().map(String::as_str).filter(is_server), &mut told);
    told
}

/// Asks those that were not asked yet at the same time: one that is away costs its waiting time once.
fn ask_more<'n>(topology: &Value, names: impl Iterator<Item = &'n str>, told: &mut AllTold) {
    let names: BTreeSet<&str> = names.filter(|name| !told.contains_key(*name)).collect();
    let names: Vec<&str> = names.into_iter().collect();
    for some in names.chunks(NODES_AT_ONCE) {
        thread::scope(|scope| {
            let asked: Vec<_> = (some.iter())
                .map(|name| (*name, scope.spawn(move || ask_node(topology, name))))
                .collect();
            for (name, answer) in asked {
                told.insert(name.to_owned(), answer.join().expect("asking does not panic"));
            }
        });
    }
}

fn ask_node(topology: &Value, name: &str) -> Result<Told, String> {
    let admin = topology["servers"][name]["admin"].as_str().unwrap_or_default();
    let ask = |path: &str| match ask(admin, path, NODE_TIME_MAX) {
        Ok(answer) if answer.status == 200 => Ok(answer.body),
        // A node of an older version has fewer paths.
        Ok(answer) if answer.status == 404 => Ok(json!([])),
        Ok(answer) => Err(format!("{path} of {admin} says {}: {}", answer.status, answer.body)),
        Err(e) => Err(e.to_string()),
    };
    Told::of_json(ask("/v1/groups")?, ask("/v1/peers")?, ask("/v1/nodes")?)
}

fn proxies_json(found: &Survey) -> Vec<Value> {
    let proxy = |((name, host), row): (&(String, String), &ProxyRow)| {
        let topologies: Vec<Value> = (row.topologies.iter())
            .map(|(epoch, hash)| json!({ "epoch": epoch, "hash": hash }))
            .collect();
        json!({ "name": name, "host": host, "topologies": topologies, "nodes": row.nodes })
    };
    found.proxies.iter().map(proxy).collect()
}

fn proxy_rows(found: &Survey) -> Vec<Vec<String>> {
    let rows = found.proxies.iter().flat_map(|((name, host), row)| {
        let nodes = row.nodes.iter().cloned().collect::<Vec<_>>().join(", ");
        row.topologies.iter().map(move |(epoch, hash)| {
            vec![name.clone(), host.clone(), epoch.to_string(), hash.clone(), nodes.clone()]
        })
    });
    rows.collect()
}

fn summary(address: &str, ready: &Value, version: &Value, topology: &Value) -> String {
    let mut lines = format!(
        "cluster {} epoch {} hash {} · {} logic groups · {} {} at {address} · {}",
        text(topology, "cluster"),
        text(topology, "epoch"),
        text(topology, "hash"),
        text(topology, "logic_groups"),
        text(version, "name"),
        text(version, "version"),
        if ready["ready"] == Value::Bool(true) { "ready" } else { "NOT READY" },
    );
    let refused = &topology["last_error"];
    // A refused topology is among the details as well.
    let details = items(&ready["detail"]).iter();
    for detail in details.filter(|detail| refused.is_null() || *detail != refused) {
        let detail = detail.as_str().map_or_else(|| detail.to_string(), str::to_owned);
        lines.push_str(&format!("\n  {detail}"));
    }
    if !refused.is_null() {
        lines.push_str(&format!("\n  refused topology: {}", text(topology, "last_error")));
    }
    lines
}

const NODE_HEADER: [&str; 8] =
    ["node", "address", "admin", "state", "in flight", "requests", "failures", "last error"];

fn node_row(node: &Value) -> Vec<String> {
    ["id", "address", "admin", "state", "in_flight", "requests", "failures", "last_error"]
        .map(|name| text(node, name))
        .to_vec()
}

const SERVER_HEADER: [&str; 6] =
    ["physical group", "server", "lanes led", "in step", "behind, at most", "shortest lease"];

const PROXY_HEADER: [&str; 5] = ["proxy", "host", "epoch", "file hash", "connected to"];

const GROUP_HEADER: [&str; 5] =
    ["physical group", "logic groups", "servers", "lanes up", "lanes not up"];

/// One row per physical group: with dozens of logic groups only what differs is worth a line.
fn group_rows(topology: &Value, groups: &Value) -> Vec<Vec<String>> {
    let Some(physical) = topology["physical_groups"].as_object() else {
        return Vec::new();
    };
    physical
        .iter()
        .map(|(name, group)| {
            let lanes: Vec<(&Value, &Value)> = items(groups)
                .iter()
                .filter(|g| g["physical_group"] == **name)
                .flat_map(|g| items(&g["lanes"]).iter().map(move |lane| (g, lane)))
                .collect();
            let not_up: Vec<String> = lanes
                .iter()
                .filter(|(_, lane)| lane["state"] != "up")
                .map(|(g, lane)| {
                    format!("{}/{} {}", text(g, "group"), text(lane, "server"), text(lane, "state"))
                })
                .collect();
            let servers: Vec<&str> =
                items(&group["servers"]).iter().filter_map(Value::as_str).collect();
            vec![
                name.clone(),
                text(group, "logic_groups"),
                servers.join(", "),
                format!("{} of {}", lanes.len() - not_up.len(), lanes.len()),
                if not_up.is_empty() { "-".to_owned() } else { not_up.join(", ") },
            ]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_topology_is_said_once_beside_what_else_is_wrong() {
        let ready = json!({"ready": false, "detail": ["node b1 is down", "line 3: epoch: falls"]});
        let topology = json!({"cluster": "dev", "last_error": "line 3: epoch: falls"});
        let text = summary("here", &ready, &json!({}), &topology);
        let lines: Vec<&str> = text.lines().skip(1).map(str::trim).collect();
        assert_eq!(lines, ["node b1 is down", "refused topology: line 3: epoch: falls"]);
        let fine = summary("here", &ready, &json!({}), &json!({"last_error": null}));
        assert_eq!(fine.matches("falls").count(), 1, "{fine}");
    }

    #[test]
    fn a_voter_without_data_is_asked_too() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let away = held.local_addr().unwrap().to_string();
        drop(held);
        let topology = json!({
            "servers": { "a1": { "admin": away }, "w1": { "admin": away }, "idle": {} },
            "voters": ["a1", "w1"],
            "physical_groups": { "a": { "servers": ["a1"], "logic_groups": "0" } },
        });
        let told = ask_nodes(&topology);
        assert_eq!(told.keys().collect::<Vec<_>>(), ["a1", "w1"]);
        let problems = survey(&topology, &json!([]), &told).problems;
        assert!(problems.iter().any(|line| line.starts_with("w1 cannot be asked")), "{problems:?}");
    }

    #[test]
    fn lanes_that_are_not_up_are_named() {
        let topology =
            json!({"physical_groups": {"a": {"servers": ["a1", "a2"], "logic_groups": "0-1"}}});
        let groups = json!([
            {"group": 0, "physical_group": "a", "lanes": [
                {"server": "a1", "state": "up"}, {"server": "a2", "state": "down"}]},
            {"group": 1, "physical_group": "b", "lanes": [{"server": "b1", "state": "up"}]},
        ]);
        let rows = group_rows(&topology, &groups);
        assert_eq!(rows, vec![vec!["a", "0-1", "a1, a2", "1 of 2", "0/a2 down"]]);
    }
}
