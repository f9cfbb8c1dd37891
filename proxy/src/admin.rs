//! The admin endpoints of a proxy.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::routing::get;
use axum::{Json, Router};
use common::ids::{Lane, LogicGroup, ServerIndex};
use rt::admin::{AdminError, AdminServer, Readiness, WhereQuery, common_routes, serve};
use rt::net::ListenError;
use rt::stop::Stop;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::pool::{LinkState, NodeStatus};
use crate::shared::Shared;
use crate::worker::Message;

#[derive(Clone)]
struct Admin {
    shared: Arc<Shared>,
    workers: Vec<mpsc::Sender<Message>>,
}

/// Serves the endpoints until `stop`.
pub(crate) fn start(
    address: SocketAddr,
    shared: Arc<Shared>,
    workers: Vec<mpsc::Sender<Message>>,
    stop: Stop,
) -> Result<AdminServer, ListenError> {
    let counted = Arc::clone(&shared);
    let router = Router::new()
        .route("/readyz", get(ready))
        .route("/v1/topology", get(topology))
        .route("/v1/groups", get(groups))
        .route("/v1/nodes", get(nodes))
        .route("/v1/where", get(where_is))
        .with_state(Admin { shared, workers });
    let version = env!("CARGO_PKG_VERSION");
    let router = common_routes(router, "fdht-proxy", version, move || publish(&counted));
    serve(address, router, stop)
}

/// Brings the counters into the metrics registry.
fn publish(shared: &Shared) {
    let status = shared.topology.status();
    metrics::gauge!("fdht_proxy_connections").set(shared.connections() as f64);
    metrics::gauge!("fdht_proxy_buffer_bytes").set(shared.budget.held() as f64);
    metrics::gauge!("fdht_proxy_topology_epoch")
        .set(shared.topology.load_full().version().epoch.0 as f64);
    metrics::gauge!("fdht_proxy_topology_refused")
        .set(f64::from(u8::from(status.last_error.is_some())));
    metrics::counter!("fdht_proxy_requests_total").absolute(shared.sum(|c| &c.commands));
    metrics::counter!("fdht_proxy_failures_total").absolute(shared.sum(|c| &c.failures));
    metrics::counter!("fdht_proxy_received_bytes_total").absolute(shared.sum(|c| &c.bytes_in));
    metrics::counter!("fdht_proxy_sent_bytes_total").absolute(shared.sum(|c| &c.bytes_out));
    let load =
        |value: &std::sync::atomic::AtomicU64| value.load(std::sync::atomic::Ordering::Relaxed);
    metrics::counter!("fdht_proxy_connections_total").absolute(load(&shared.connections_total));
    metrics::counter!("fdht_proxy_connections_rejected_total")
        .absolute(load(&shared.connections_rejected));
}

/// The state of every node, merged over the workers: a node is as well as it is for the worker that
/// reaches it worst.
async fn node_status(admin: &Admin) -> Result<BTreeMap<String, NodeStatus>, AdminError> {
    let mut merged: BTreeMap<String, NodeStatus> = BTreeMap::new();
    for worker in &admin.workers {
        let (sender, receiver) = oneshot::channel();
        let gone = || AdminError::unavailable("the proxy is stopping");
        worker.send(Message::Nodes(sender)).await.map_err(|_| gone())?;
        for status in receiver.await.map_err(|_| gone())? {
            match merged.get_mut(&status.name) {
                None => drop(merged.insert(status.name.clone(), status)),
                Some(all) => {
                    all.in_flight += status.in_flight;
                    all.connections += status.connections;
                    all.requests += status.requests;
                    all.failures += status.failures;
                    if all.state == LinkState::Up {
                        all.state = status.state;
                    }
                }
            }
        }
    }
    Ok(merged)
}

fn state_word(state: &LinkState) -> &'static str {
    match state {
        LinkState::Up => "up",
        LinkState::Connecting => "connecting",
        LinkState::Down { .. } => "down",
    }
}

async fn ready(State(admin): State<Admin>) -> Result<Readiness, AdminError> {
    let topology = admin.shared.topology.load_full();
    let status = node_status(&admin).await?;
    let mut detail = Vec::new();
    for group in topology.physical_groups() {
        for server in group.servers.iter().filter_map(|id| topology.server_by_id(*id)) {
            match status.get(&server.name).map(|status| &status.state) {
                Some(LinkState::Up) => {}
                Some(LinkState::Down { error }) => {
                    detail.push(format!("group {}: {}: {error}", group.name, server.name));
                }
                Some(LinkState::Connecting) | None => {
                    detail.push(format!("group {}: {}: connecting", group.name, server.name));
                }
            }
        }
    }
    let ready = detail.is_empty();
    detail.extend(admin.shared.topology.status().last_error);
    Ok(Readiness { ready, detail })
}

async fn topology(State(admin): State<Admin>) -> Json<Value> {
    let topology = admin.shared.topology.load_full();
    let status = admin.shared.topology.status();
    let mut body = rt::admin::object(topology_json(&topology));
    body.insert("source".into(), json!(status.source));
    body.insert("loaded_at_ms".into(), json!(status.loaded_at_ms));
    body.insert("last_error".into(), json!(status.last_error));
    Json(Value::Object(body))
}

/// A topology as the endpoints show it.
fn topology_json(topology: &config::Topology) -> Value {
    let servers: Map<String, Value> = (topology.servers().iter())
        .map(|s| {
            let server = json!({ "address": s.address, "admin": s.admin, "zone": s.zone });
            (s.name.clone(), server)
        })
        .collect();
    let name = |id| topology.server_by_id(id).map(|server| server.name.clone());
    let groups: Map<String, Value> = (topology.physical_groups().iter())
        .map(|g| {
            let servers: Vec<_> = g.servers.iter().filter_map(|id| name(*id)).collect();
            let group = json!({ "servers": servers, "logic_groups": g.logic_groups_text() });
            (g.name.clone(), group)
        })
        .collect();
    let write =
        |w: config::WriteOptions| json!({ "acks": w.acks.to_string(), "sync": w.sync.to_string() });
    let namespaces: Map<String, Value> = (topology.namespaces().iter())
        .map(|n| (n.name.clone(), json!({ "database": n.database, "write": write(n.write) })))
        .collect();
    json!({
        "cluster": topology.cluster(),
        "epoch": topology.version().epoch.0,
        "hash": format!("{:016x}", topology.version().hash),
        "logic_groups": topology.logic_groups(),
        "servers": servers,
        "physical_groups": groups,
        "write": write(topology.write_options(b"")),
        "namespaces": namespaces,
    })
}

async fn groups(State(admin): State<Admin>) -> Result<Json<Value>, AdminError> {
    let topology = admin.shared.topology.load_full();
    let status = node_status(&admin).await?;
    let group = |group: u16| {
        let group = LogicGroup(group);
        let physical = topology.physical_group_of(group);
        let lanes: Vec<_> = (0u8..)
            .zip(&physical.servers)
            .filter_map(|(server, _)| topology.leader(Lane { group, server: ServerIndex(server) }))
            .map(|server| {
                let state = status.get(&server.name).map_or("connecting", |s| state_word(&s.state));
                json!({ "server": server.name, "since_epoch": 1, "state": state })
            })
            .collect();
        json!({ "group": group.0, "physical_group": physical.name, "lanes": lanes })
    };
    Ok(Json((0..topology.logic_groups()).map(group).collect()))
}

async fn nodes(State(admin): State<Admin>) -> Result<Json<Value>, AdminError> {
    let topology = admin.shared.topology.load_full();
    let status = node_status(&admin).await?;
    let node = |server: &config::Server| {
        let status = status.get(&server.name)?;
        let error = match &status.state {
            LinkState::Down { error } => Some(error),
            LinkState::Up | LinkState::Connecting => None,
        };
        Some(json!({
            "id": server.name,
            "address": server.address,
            "admin": server.admin,
            "state": state_word(&status.state),
            "in_flight": status.in_flight,
            "connections": status.connections,
            "requests": status.requests,
            "failures": status.failures,
            "last_error": error,
        }))
    };
    Ok(Json(topology.servers().iter().filter_map(node).collect()))
}

async fn where_is(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, AdminError> {
    let query = WhereQuery::parse(query.as_deref())?;
    let topology = admin.shared.topology.load_full();
    config::where_json(&topology, &query.namespace, &query.object, query.field.as_deref())
        .map(Json)
        .map_err(|error| AdminError::bad_request(error.to_string()))
}
