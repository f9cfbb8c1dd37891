//! Asks a process's admin port.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::CtlError;
use crate::cli::Output;

/// Longest wait for an answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest wait for an answer about readiness on the same machine.
const PROBE_TIME_MAX: Duration = Duration::from_secs(1);
/// Longest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// What every command that asks an admin port takes.
#[derive(Debug, Args)]
pub(crate) struct AdminArgs {
    /// Admin address of a proxy.
    #[arg(long, env = "FDHT_ADMIN", default_value = "127.0.0.1:12280", value_name = "HOST:PORT")]
    pub(crate) admin: String,
    /// How to show the result.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

/// An answer with its HTTP status.
#[derive(Debug)]
pub(crate) struct Answer {
    /// HTTP status code.
    pub(crate) status: u16,
    /// The JSON body; a text where it is not JSON.
    pub(crate) body: Value,
}

/// Asks `GET path` and expects 200.
pub(crate) fn get(address: &str, path: &str) -> Result<Value, CtlError> {
    let answer = ask(address, path, ANSWER_TIME_MAX)?;
    if answer.status == 200 {
        return match answer.body {
            Value::String(_) => Err(CtlError::NotJson { url: url(address, path) }),
            body => Ok(body),
        };
    }
    let error = answer.body.get("error").and_then(Value::as_str).map(str::to_owned);
    Err(CtlError::Answer {
        url: url(address, path),
        status: answer.status,
        text: error.unwrap_or_else(|| answer.body.to_string()),
    })
}

/// Asks `GET path`, whatever the status of the answer.
pub(crate) fn ask(address: &str, path: &str, time_max: Duration) -> Result<Answer, CtlError> {
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(time_max))
        .max_redirects(0)
        // An operator's HTTP_PROXY is for the outside world.
        .proxy(None)
        .build()
        .new_agent();
    let url = url(address, path);
    let unreachable = |e: ureq::Error| CtlError::Unreachable {
        address: address.to_owned(),
        reason: e.to_string(),
    };
    let mut response = agent.get(&url).call().map_err(unreachable)?;
    let status = response.status().as_u16();
    let text = response
        .body_mut()
        .with_config()
        .limit(ANSWER_BYTES_MAX)
        .read_to_string()
        .map_err(unreachable)?;
    match serde_json::from_str(&text) {
        Ok(body) => Ok(Answer { status, body }),
        Err(_) => Ok(Answer { status, body: Value::String(text) }),
    }
}

/// Whether a process answers `GET path` with 200; otherwise why not.
pub(crate) fn probe(address: &str, path: &str) -> Result<(), String> {
    let answer = ask(address, path, PROBE_TIME_MAX).map_err(|e| match e {
        CtlError::Unreachable { reason, .. } => format!("{address}: {reason}"),
        other => other.to_string(),
    })?;
    if answer.status == 200 {
        return Ok(());
    }
    let detail: Vec<&str> =
        items(&answer.body["detail"]).iter().filter_map(Value::as_str).collect();
    Err(format!("{path} of {address} says {}: {}", answer.status, detail.join("; ")))
}

fn url(address: &str, path: &str) -> String {
    format!("http://{address}{path}")
}

/// `bytes` percent-encoded for a query value.
pub(crate) fn percent_encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// A member of a JSON object as the text a person reads; `-` where there is none.
pub(crate) fn text(of: &Value, name: &str) -> String {
    match of.get(name) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(s)) => s.clone(),
        Some(other) => other.to_string(),
    }
}

/// The items of a JSON array; none for anything else.
pub(crate) fn items(of: &Value) -> &[Value] {
    of.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_bytes_fit_into_a_query() {
        assert_eq!(percent_encode(b"/usr/a b&c=\xff~"), "%2Fusr%2Fa%20b%26c%3D%FF~");
    }

    #[test]
    fn an_unreachable_port_is_said_to_be_unreachable() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let error = get(&address, "/readyz").unwrap_err();
        assert_eq!(error.status(), 3, "{error}");
        assert!(error.to_string().contains(&address));
    }
}
