//! The cluster's shared secret, where there is one.

use std::path::Path;

use rt::secret::Secret;

use super::ClusterError;

/// Reads the shared secret, where there is one.
pub(crate) fn secret(path: Option<&Path>) -> Result<Option<Secret>, ClusterError> {
    path.map(Secret::load).transpose().map_err(ClusterError::Secret)
}
