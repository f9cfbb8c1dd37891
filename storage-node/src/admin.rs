//! The admin endpoints of a node.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::routing::get;
use axum::{Json, Router};
use common::ids::{NodeId, ServerIndex};
use rt::admin::{AdminError, AdminServer, Readiness, WhereQuery, common_routes, serve};
use rt::net::ListenError;
use rt::stop::Stop;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::digest::{DigestQuery, KeysQuery};
use crate::peers::PeerStatus;
use crate::shared::Shared;
use crate::worker::{DigestAsk, FollowerLag, GroupStatus, LaneStatus, Message};

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
        .route("/v1/peers", get(peers))
        .route("/v1/digest", get(digest_page))
        .route("/v1/digest/keys", get(digest_keys))
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
    let shared = &admin.shared;
    if shared.topology.load_full().is_none() {
        detail.push("no topology yet: waiting for a proxy to announce one".to_owned());
    }
    detail.extend(shared.write_refusal().map(|(_, reason)| reason));
    detail.extend(shared.refusal());
    for group in status(shared).await? {
        let id = group.group;
        if let Some(reason) = &group.stopped {
            detail.push(format!("{id}: stopped: {reason}"));
        }
        if group.stranger {
            detail.push(format!(
                "{id}: another data directory is the member under this node's id: this one serves \
                 nothing"
            ));
        }
        if group.register.is_none() {
            detail.push(format!(
                "{id}: its register is not known yet: no majority of the voters answered, or it was \
                 never created (`fdht topology init`)"
            ));
        }
        let reseed = group.lanes.iter().filter(|lane| lane.phase == "needs re-seed");
        detail.extend(reseed.map(|lane| {
            let server = lane.server_index;
            format!("{id}: lane {server} needs re-seed: the records it lacks left the leader's log")
        }));
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
    let shared = &admin.shared;
    let all = status(shared).await?;
    Ok(Json(all.into_iter().map(|group| group_json(shared, &group)).collect()))
}

fn group_json(shared: &Shared, group: &GroupStatus) -> Value {
    let name = |node: NodeId| shared.name_of(node);
    let register = group.register.as_ref();
    let in_step: Vec<String> =
        register.map(|r| r.in_step.iter().map(|node| name(*node)).collect()).unwrap_or_default();
    let lane = |lane: &LaneStatus| {
        let leader = register.and_then(|r| r.leader(ServerIndex(lane.server_index)));
        let followers: Vec<Value> =
            lane.followers.iter().map(|f| follower_json(shared, f)).collect();
        json!({
            "server_index": lane.server_index,
            "role": lane.role,
            "phase": lane.phase,
            "leader": leader.map(|leader| name(leader.node)),
            "since_epoch": leader.map(|leader| leader.since.0),
            "official": lane.official,
            "last": lane.last,
            "backlog_records": lane.backlog_records,
            "lease_ms": lane.lease_ms,
            "followers": followers,
        })
    };
    json!({
        "group": group.group.0,
        "register_epoch": register.map(|register| register.epoch.0),
        "in_step": in_step,
        "leaving": register.and_then(|register| register.leaving).map(name),
        "stranger": group.stranger,
        "lanes": group.lanes.iter().map(lane).collect::<Vec<_>>(),
        "memtable_bytes": group.memtable_bytes,
        "flushing_bytes": group.flushing_bytes,
        "file_bytes": group.file_bytes,
        "stopped": group.stopped,
    })
}

fn follower_json(shared: &Shared, follower: &FollowerLag) -> Value {
    json!({
        "server": shared.name_of(follower.node),
        "written": follower.written,
        "durable": follower.durable,
        "lag_records": follower.lag_records,
        "lag_ms": follower.lag_ms,
        "heard_ms": follower.heard_ms,
        "in_step": follower.in_step,
    })
}

async fn peers(State(admin): State<Admin>) -> Json<Value> {
    let peer = |peer: PeerStatus| {
        json!({
            "role": peer.role,
            "name": peer.name,
            "address": peer.address,
            "topology_epoch": peer.topology.epoch.0,
            "topology_hash": format!("{:016x}", peer.topology.hash),
            "connected_ms": peer.connected_ms,
        })
    };
    Json(admin.shared.peers.status().into_iter().map(peer).collect())
}

async fn digest_page(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, AdminError> {
    digest(&admin.shared, DigestAsk::Page(DigestQuery::parse(query.as_deref())?)).await
}

async fn digest_keys(
    State(admin): State<Admin>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, AdminError> {
    digest(&admin.shared, DigestAsk::Keys(KeysQuery::parse(query.as_deref())?)).await
}

async fn digest(shared: &Shared, ask: DigestAsk) -> Result<Json<Value>, AdminError> {
    let workers = &shared.workers;
    let gone = || AdminError::unavailable("the node is stopping");
    let worker = workers.get(usize::from(ask.group().0) % workers.len().max(1)).ok_or_else(gone)?;
    let (sender, receiver) = oneshot::channel();
    worker.send(Message::Digest(ask, sender)).await.map_err(|_| gone())?;
    receiver.await.map_err(|_| gone())?.map(Json).map_err(AdminError::unavailable)
}

async fn nodes(State(admin): State<Admin>) -> Json<Value> {
    let log = admin.shared.log.stats();
    let refusal = admin.shared.write_refusal().map(|(_, reason)| reason);
    let voters = admin.shared.voters.load();
    Json(json!([{
        "id": admin.shared.name,
        "cluster": admin.shared.cluster,
        "store_id": admin.shared.dir.store().to_string(),
        "address": admin.listen.to_string(),
        "admin": admin.admin.to_string(),
        "state": "up",
        "life": admin.shared.life.life,
        "voters": {
            "generation": voters.generation.0,
            "voters": voters.voters.iter().map(|id| admin.shared.name_of(*id)).collect::<Vec<_>>(),
        },
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
