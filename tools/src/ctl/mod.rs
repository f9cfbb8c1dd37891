//! Operator commands. They know the servers only from outside: admin HTTP and RESP.

mod admin;
mod error;
mod export;
mod import;
mod status;
mod topology;
mod verify;
mod where_is;

pub(crate) use admin::probe;
pub(crate) use error::CtlError;
pub(crate) use export::{ExportArgs, export};
pub(crate) use import::{ImportArgs, import};
pub(crate) use status::{StatusArgs, status};
pub(crate) use topology::{TopologyArgs, topology};
pub(crate) use verify::{VerifyArgs, verify};
pub(crate) use where_is::{WhereArgs, where_is};
