//! The admin HTTP kit: what both processes answer alike, on a port and a thread of its own.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::net::{self, ListenError};
use crate::stop::Stop;
use crate::worker;

/// What `/readyz` answers.
#[derive(Clone, Debug, Serialize)]
pub struct Readiness {
    /// Whether the process serves.
    pub ready: bool,
    /// Why not; or, when it does, what an operator should look at all the same.
    pub detail: Vec<String>,
}

impl IntoResponse for Readiness {
    fn into_response(self) -> Response {
        let status = if self.ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        (status, Json(self)).into_response()
    }
}

/// A JSON error answer.
#[derive(Debug)]
pub struct AdminError {
    status: StatusCode,
    text: String,
}

impl AdminError {
    /// The request is wrong: 400.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            text: text.into(),
        }
    }

    /// The process cannot answer now: 503.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            text: text.into(),
        }
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.text }))).into_response()
    }
}

/// The query of `/v1/where`.
#[derive(Clone, Debug, Deserialize)]
pub struct WhereQuery {
    /// The namespace.
    pub ns: String,
    /// The object.
    pub obj: String,
    /// The field; none is the unnamed one. It takes no part in the placement.
    pub field: Option<String>,
}

impl WhereQuery {
    /// The query, or what a caller has to write.
    ///
    /// # Errors
    /// A part is missing or not UTF-8.
    pub fn check(query: Result<Query<Self>, QueryRejection>) -> Result<Self, AdminError> {
        match query {
            Ok(Query(query)) => Ok(query),
            Err(error) => Err(AdminError::bad_request(format!(
                "write /v1/where?ns=NS&obj=OBJ[&field=FIELD]: {error}"
            ))),
        }
    }
}

/// The members of a JSON object; none of anything else.
#[must_use]
pub fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Adds what every process answers: liveness, metrics, version, and errors that name the paths.
/// `refresh` is called before metrics are rendered.
pub fn common_routes(
    router: Router,
    name: &'static str,
    version: &'static str,
    refresh: impl Fn() + Clone + Send + Sync + 'static,
) -> Router {
    router
        .route("/livez", get(async || Json(json!({ "live": true }))))
        .route(
            "/version",
            get(async move || Json(json!({ "name": name, "version": version }))),
        )
        .route(
            "/metrics",
            get(async move || {
                refresh();
                (
                    [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
                    crate::metrics::render(),
                )
            }),
        )
        .fallback(async |uri: Uri| AdminError {
            status: StatusCode::NOT_FOUND,
            text: format!(
                "no such path: {}; there are /livez /readyz /metrics /version /v1/topology \
                 /v1/groups /v1/nodes /v1/where",
                uri.path()
            ),
        })
        .method_not_allowed_fallback(async |method: Method| AdminError {
            status: StatusCode::METHOD_NOT_ALLOWED,
            text: format!("{method} is not allowed here; use GET"),
        })
}

/// An admin server that was started.
#[derive(Debug)]
pub struct AdminServer {
    /// Where it listens.
    pub address: SocketAddr,
    thread: JoinHandle<()>,
}

impl AdminServer {
    /// Waits for its end, which follows a stop.
    pub fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the admin thread panicked");
        }
    }
}

/// Listens on `--admin` and serves `router` on a thread of its own until `stop`.
///
/// # Errors
/// The port is taken or the address is not this machine's.
pub fn serve(
    address: SocketAddr,
    router: Router,
    mut stop: Stop,
) -> Result<AdminServer, ListenError> {
    let flag = "--admin";
    let other = |error| ListenError::Other {
        flag,
        address,
        error,
    };
    let listener = net::listen(address, flag)?;
    let local = listener.local_addr().map_err(other)?;
    let thread = worker::spawn("admin", move || async move {
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "the admin port cannot be served"),
        };
        let server = axum::serve(listener, router);
        // Idle keep-alive connections must not hold the process up.
        tokio::select! {
            biased;
            () = stop.stopped() => {}
            ended = server.into_future() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "the admin port is not served any more");
                }
            }
        }
    })
    .map_err(other)?;
    Ok(AdminServer {
        address: local,
        thread,
    })
}
