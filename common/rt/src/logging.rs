//! Logging to standard error, one line an event.

use std::io::IsTerminal;

use thiserror::Error;
use tracing_subscriber::EnvFilter;

/// A `--log-level` that means nothing.
#[derive(Debug, Error)]
#[error(
    "--log-level `{0}` is not a level; write error, warn, info, debug or trace, or a filter such as `info,proxy=debug`"
)]
pub struct BadLevel(String);

/// Starts logging. A second call in one process changes nothing.
///
/// # Errors
/// The level is not one.
pub fn start(level: &str) -> Result<(), BadLevel> {
    let filter = EnvFilter::try_new(level).map_err(|_| BadLevel(level.to_owned()))?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_writer(std::io::stderr)
        .finish();
    // Fails only where a test or an embedding program has set a subscriber before: theirs stays.
    drop(tracing::subscriber::set_global_default(subscriber));
    Ok(())
}
