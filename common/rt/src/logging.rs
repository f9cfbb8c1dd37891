//! Logging to standard error, one line an event.

use std::io::IsTerminal;

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// A `--log-level` that means nothing.
#[derive(Debug, Error)]
#[error(
    "`{0}` is not a level; write error, warn, info, debug or trace, or a filter such as `info,proxy=debug`"
)]
pub struct BadLevel(String);

/// Reads a `--log-level`. The filter takes any lone word for the name of a module, and would then show
/// nothing but that: here it has to be a level.
fn parse(level: &str) -> Result<EnvFilter, BadLevel> {
    let bad = || BadLevel(level.to_owned());
    let is_filter = |part: &str| part.contains(['=', '[']);
    // An empty one would be read as `error`.
    let is_level = |part: &str| !part.is_empty() && part.parse::<LevelFilter>().is_ok();
    if !level.split(',').all(|part| is_filter(part) || is_level(part)) {
        return Err(bad());
    }
    EnvFilter::try_new(level).map_err(|_| bad())
}

/// Checks a `--log-level`.
///
/// # Errors
/// The level is not one.
pub fn check(level: &str) -> Result<String, BadLevel> {
    parse(level).map(|_| level.to_owned())
}

/// Starts logging. A second call in one process changes nothing.
///
/// # Errors
/// The level is not one.
pub fn start(level: &str) -> Result<(), BadLevel> {
    let filter = parse(level)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_or_a_filter_is_needed() {
        for level in
            ["error", "WARN", "off", "info,proxy=debug", "proxy=trace", "info,[span]=debug"]
        {
            assert_eq!(check(level).unwrap(), level);
        }
        for level in ["", "wran", "info,", "inf,proxy=debug", "proxy=loud", "5x"] {
            let error = check(level).unwrap_err().to_string();
            assert!(error.contains(&format!("`{level}`")) && error.contains("debug"), "{error}");
        }
    }
}
