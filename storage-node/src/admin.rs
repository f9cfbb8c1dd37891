//! The admin endpoints of a node.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::routing::get;
use axum::{Json, Router};
use rt::admin::{AdminError, AdminServer, Readiness, WhereQuery, common_routes, serve};
use rt::net::ListenError;
use rt::stop::Stop;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::shared::Shared;
use crate::worker::{GroupStatus, Message};

#[derive(Clone)]
struct Admin {
    shared: Arc<Shared>,
    listen: SocketAddr,
    admin: SocketAddr,
}

/// Serves the endpoints until `stop`.
pub(crate) fn start(
    address: SocketAddr,
    listen: SocketAddr,
    shared: Arc<Shared>,
    stop: Stop,
) -> Result<AdminServer, ListenError> {
    let counted = Arc::clone(&shared);
    let router = Router::new()
        .route("/readyz", get(ready))
        .route("/v1/topology", get(topology))
        .route("/v1/groups", get(groups))
        .route("/v1/nodes", get(nodes))
        .route("/v1/where", get(where_is))
        .with_state(Admin { shared, listen, admin: address });
    let version = env!("CARGO_PKG_VERSION");
    let router = common_routes(router, "fdht-node", version, move || publish(&counted));
    serve(address, router, stop)
}

/// Brings what is not counted where it happens into the metrics registry.
fn publish(shared: &Shared) {
    let log = shared.log.stats();
    metrics::gauge!("fdht_node_log_bytes").set(log.bytes as f64);
    metrics::gauge!("fdht_node_log_segments").set(log.segments as f64);
    metrics::counter!("fdht_node_log_syncs_total").absolute(log.syncs);
    metrics::gauge!("fdht_node_topology_epoch").set(shared.topology_version().epoch.0 as f64);
    let refused = shared.write_refusal().is_some();
    metrics::gauge!("fdht_node_writes_refused").set(f64::from(u8::from(refused)));
}

async fn status(shared: &Shared) -> Result<Vec<GroupStatus>, AdminError> {
    let mut all = Vec::new();
    for worker in &shared.workers {
        let (sender, receiver) = oneshot::channel();
        let gone = || AdminError::unavailable("the node is stopping");
        worker.send(Message::Status(sender)).await.map_err(|_| gone())?;
        all.extend(receiver.await.map_err(|_| gone())?);
    }
    all.sort_by_key(|group| group.group);
    Ok(all)
}

async fn ready(State(admin): State<Admin>) -> Result<Readiness, AdminError> {
    let mut detail = Vec::new();
    if admin.shared.topology.load_full().is_none() {
        detail.push("no topology yet: waiting for a proxy to announce one".to_owned());
    }
    detail.extend(admin.shared.write_refusal().map(|(_, reason)| reason));
    for group in status(&admin.shared).await? {
        if let Some(reason) = group.stopped {
            detail.push(format!("{}: stopped: {reason}", group.group));
        }
    }
    Ok(Readiness { ready: detail.is_empty(), detail })
}

async fn topology(State(admin): State<Admin>) -> Json<Value> {
    let topology = admin.shared.topology.load_full();
    Json(match topology {
        None => json!({ "cluster": admin.shared.cluster, "epoch": 0, "hash": null }),
        Some(topology) => json!({
            "cluster": topology.cluster(),
            "epoch": topology.version().epoch.0,
            "hash": format!("{:016x}", topology.version().hash),
            "logic_groups": topology.logic_groups(),
            "text": topology.text(),
        }),
    })
}

async fn groups(State(admin): State<Admin>) -> Result<Json<Value>, AdminError> {
    let group = |group: GroupStatus| {
        json!({
            "group": group.group.0,
            "lanes": [{
                "server_index": group.lane.0,
                "since_epoch": 1,
                "lsn": group.lsn.0,
            }],
            "memtable_bytes": group.memtable_bytes,
            "flushing_bytes": group.flushing_bytes,
            "file_bytes": group.file_bytes,
            "stopped": group.stopped,
        })
    };
    Ok(Json(status(&admin.shared).await?.into_iter().map(group).collect()))
}

async fn nodes(State(admin): State<Admin>) -> Json<Value> {
    let log = admin.shared.log.stats();
    let refusal = admin.shared.write_refusal().map(|(_, reason)| reason);
    Json(json!([{
        "id": admin.shared.name,
        "cluster": admin.shared.cluster,
        "store_id": admin.shared.dir.store().to_string(),
        "address": admin.listen.to_string(),
        "admin": admin.admin.to_string(),
        "state": "up",
        "write_state": refusal.unwrap_or_else(|| "ok".to_owned()),
        "log": {
            "segments": log.segments,
            "bytes": log.bytes,
            "appended": log.appended.to_string(),
            "durable": log.durable.to_string(),
        },
    }]))
}

async fn where_is(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, AdminError> {
    let query = WhereQuery::parse(query.as_deref())?;
    let Some(topology) = admin.shared.topology.load_full() else {
        return Err(AdminError::unavailable(
            "no topology yet: waiting for a proxy to announce one",
        ));
    };
    config::where_json(&topology, &query.namespace, &query.object, query.field.as_deref())
        .map(Json)
        .map_err(|error| AdminError::bad_request(error.to_string()))
}
