//! HTTP: records under `/v1/kv`, objects under `/v1/objects`. Reference: `docs/HTTP.md`.
//!
//! Pure: a request whose body has arrived goes in, operations and an answer come out. The driver
//! speaks HTTP/1.1, frames bodies and drops the body of an answer to HEAD.

mod accept;
mod answer;
mod base64;
mod call;
mod conditions;
mod json;
mod object;
mod options;
mod origin;
mod percent;
mod record;
mod request;
mod start;
mod target;

#[cfg(test)]
mod tests;

pub use answer::HttpAnswer;
pub use call::{HttpCall, HttpStarted};
pub use request::HttpRequest;
pub use start::start;
pub use target::check_target;
