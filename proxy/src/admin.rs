//! The admin endpoints of a proxy.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::routing::get;
use axum::{Json, Router};
use common::ids::{LogicGroup, NodeId};
use rt::admin::{AdminError, AdminServer, Readiness, WhereQuery, common_routes, serve};
use rt::net::ListenError;
use rt::stop::Stop;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::pool::{LaneStatus, LinkState};
use crate::shared::Shared;
use crate::status::Status;
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
    metrics::counter!("fdht_proxy_retries_total").absolute(shared.sum(|c| &c.retries));
    metrics::counter!("fdht_proxy_views_adopted_total").absolute(shared.sum(|c| &c.views_adopted));
    metrics::gauge!("fdht_proxy_lanes_stalled").set(shared.sum(|c| &c.lanes_stalled) as f64);
    let load =
        |value: &std::sync::atomic::AtomicU64| value.load(std::sync::atomic::Ordering::Relaxed);
    metrics::counter!("fdht_proxy_connections_total").absolute(load(&shared.connections_total));
    metrics::counter!("fdht_proxy_connections_rejected_total")
        .absolute(load(&shared.connections_rejected));
}

async fn status(admin: &Admin) -> Result<Status, AdminError> {
    let gone = || AdminError::unavailable("the proxy is stopping");
    let mut merged = Status::default();
    for worker in &admin.workers {
        let (sender, receiver) = oneshot::channel();
        worker.send(Message::Status(sender)).await.map_err(|_| gone())?;
        merged.add(receiver.await.map_err(|_| gone())?);
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
    let status = status(&admin).await?;
    let not_served = status.not_served(&topology);
    let ready = not_served.is_empty();
    let mut detail = not_served;
    detail.extend(status.not_connected(&topology));
    let of_topology = admin.shared.topology.status();
    if of_topology.source != admin.shared.options.topology_file {
        let epoch = topology.version().epoch.0;
        detail.push(format!("topology epoch {epoch} was adopted from {}", of_topology.source));
    }
    detail.extend(of_topology.last_error);
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
        "voters": topology.voters().iter().filter_map(|id| name(*id)).collect::<Vec<_>>(),
        "physical_groups": groups,
        "write": write(topology.write_options(b"")),
        "namespaces": namespaces,
    })
}

async fn groups(State(admin): State<Admin>) -> Result<Json<Value>, AdminError> {
    let topology = admin.shared.topology.load_full();
    let status = status(&admin).await?;
    let server = |id: NodeId| topology.server_by_id(id).map(|server| &server.name);
    let group = |group: u16| {
        let physical = topology.physical_group_of(LogicGroup(group));
        let lane = |(home, lane): (&NodeId, LaneStatus)| {
            let leader = lane.leader.and_then(|(id, _)| server(id));
            let state = match leader.and_then(|name| status.nodes.get(name)) {
                Some(node) => state_word(&node.state),
                None => "no leader known",
            };
            json!({
                "server": server(*home),
                "leader": leader,
                "since_epoch": lane.leader.map(|(_, since)| since.0),
                "state": state,
                "waiting": lane.waiting,
            })
        };
        let lanes: Vec<_> = physical.servers.iter().zip(status.lanes(group)).map(lane).collect();
        json!({ "group": group, "physical_group": physical.name, "lanes": lanes })
    };
    Ok(Json((0..topology.logic_groups()).map(group).collect()))
}

async fn nodes(State(admin): State<Admin>) -> Result<Json<Value>, AdminError> {
    let topology = admin.shared.topology.load_full();
    let status = status(&admin).await?;
    let node = |server: &config::Server| {
        let status = status.nodes.get(&server.name)?;
        let error = match &status.state {
            LinkState::Down { error } => Some(error),
            LinkState::Up | LinkState::Connecting => None,
        };
        let known = status
            .topology
            .map(|known| json!({ "epoch": known.epoch.0, "hash": format!("{:016x}", known.hash) }));
        Some(json!({
            "id": server.name,
            "address": server.address,
            "admin": server.admin,
            "state": state_word(&status.state),
            "topology": known,
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
