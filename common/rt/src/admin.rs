//! The admin HTTP kit: what both processes answer alike, on a port and a thread of its own.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use percent_encoding::percent_decode_str;
use serde::Serialize;
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
        let status = if self.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
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
        Self { status: StatusCode::BAD_REQUEST, text: text.into() }
    }

    /// The process cannot answer now: 503.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, text: text.into() }
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.text }))).into_response()
    }
}

/// The query of `/v1/where`: names are byte strings, percent-encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WhereQuery {
    /// The namespace.
    pub namespace: Vec<u8>,
    /// The object.
    pub object: Vec<u8>,
    /// The field; none is the unnamed one. It takes no part in the placement.
    pub field: Option<Vec<u8>>,
}

impl WhereQuery {
    /// Reads a raw query.
    ///
    /// # Errors
    /// A part is missing, unknown or given twice.
    pub fn parse(query: Option<&str>) -> Result<Self, AdminError> {
        let (mut namespace, mut object, mut field) = (None, None, None);
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let place = match name {
                "ns" => &mut namespace,
                "obj" => &mut object,
                "field" => &mut field,
                _ => return Err(Self::wrong(&format!("`{name}` is not known"))),
            };
            if place.replace(percent_decode_str(value).collect()).is_some() {
                return Err(Self::wrong(&format!("`{name}` is given twice")));
            }
        }
        let namespace = namespace.ok_or_else(|| Self::wrong("`ns` is missing"))?;
        let object = object.ok_or_else(|| Self::wrong("`obj` is missing"))?;
        Ok(Self { namespace, object, field })
    }

    fn wrong(what: &str) -> AdminError {
        let text = format!("write /v1/where?ns=NS&obj=OBJ[&field=FIELD], percent-encoded: {what}");
        AdminError::bad_request(text)
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
        .route("/version", get(async move || Json(json!({ "name": name, "version": version }))))
        .route(
            "/metrics",
            get(async move || {
                refresh();
                ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], crate::metrics::render())
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
    let other = |error| ListenError::Other { flag, address, error };
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
    Ok(AdminServer { address: local, thread })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_query_are_byte_strings() {
        let query = WhereQuery::parse(Some("ns=&obj=%ffa%26&field=+")).unwrap();
        assert_eq!(query.namespace, b"");
        assert_eq!(query.object, b"\xffa&");
        assert_eq!(query.field.as_deref(), Some(&b"+"[..]));
        for bad in ["obj=a", "ns=a", "ns=a&obj=b&x=1", "ns=a&obj=b&obj=c"] {
            assert!(WhereQuery::parse(Some(bad)).unwrap_err().text.contains("/v1/where?"), "{bad}");
        }
    }
}
