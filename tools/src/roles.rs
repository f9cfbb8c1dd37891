//! `fdht node` and `fdht proxy`: the only place where the tools start the servers' own code.

use crate::failure::STATUS_PROBLEM;

pub(crate) use ::proxy::args::ProxyArgs;
pub(crate) use storage_node::args::NodeArgs;

/// Why a server did not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoleError {
    /// The storage node's own text.
    #[error("node: {0}")]
    Node(#[from] storage_node::StartError),
    /// The proxy's own text.
    #[error("proxy: {0}")]
    Proxy(#[from] ::proxy::StartError),
}

impl RoleError {
    /// The exit status.
    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Node(_) | Self::Proxy(_) => STATUS_PROBLEM,
        }
    }
}

/// Runs a storage node until it is told to stop.
pub(crate) fn node(args: NodeArgs) -> Result<(), RoleError> {
    Ok(storage_node::run(args)?)
}

/// Runs a proxy until it is told to stop.
pub(crate) fn proxy(args: ProxyArgs) -> Result<(), RoleError> {
    Ok(::proxy::run(args)?)
}
