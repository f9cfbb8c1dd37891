//! Command line of `fdht node`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use config::Size;

/// Flags of `fdht node`. Each has an environment variable of the same name.
#[derive(Args, Clone, Debug)]
pub struct NodeArgs {
    /// The node's name in the topology file.
    #[arg(long, env = "FDHT_ID", value_name = "NAME", value_parser = name)]
    pub id: String,
    /// The cluster's name in the topology file.
    #[arg(long, env = "FDHT_CLUSTER", value_name = "NAME", value_parser = name)]
    pub cluster: String,
    /// The data directory.
    #[arg(long, env = "FDHT_DIR", value_name = "DIR")]
    pub dir: PathBuf,
    /// Make a new, empty data directory. Without it an absent one is an error: a node that lost its
    /// disk must not come back empty under its old name.
    #[arg(long, env = "FDHT_CREATE")]
    pub create: bool,
    /// Where proxies connect.
    #[arg(long, env = "FDHT_LISTEN", default_value = "127.0.0.1:12300", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Where operators connect.
    #[arg(long, env = "FDHT_ADMIN", default_value = "127.0.0.1:12380", value_name = "ADDR")]
    pub admin: SocketAddr,
    /// Memory for recent writes and for file caches together [default: half of the machine or
    /// cgroup].
    #[arg(long, env = "FDHT_MEMORY", value_name = "SIZE", value_parser = memory)]
    pub memory: Option<Size>,
    /// Worker threads [default: one up to four processors, else half of them].
    #[arg(long, env = "FDHT_WORKERS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: Option<u16>,
    /// Refuse writes while the disk has less free space than this [default: 5 % of it, at most
    /// 2GiB].
    #[arg(long, env = "FDHT_DISK_RESERVE", value_name = "SIZE")]
    pub disk_reserve: Option<Size>,
    /// Keep the log for servers of a group that are away up to this size. One that is away for
    /// longer needs a copy of the data.
    #[arg(long, env = "FDHT_LOG_KEEP", default_value = "4GiB", value_name = "SIZE")]
    pub log_keep: Size,
    /// Keep the log for servers that are away for so long.
    #[arg(long, env = "FDHT_LOG_KEEP_FOR", default_value = "24h", value_name = "TIME",
          value_parser = config::parse_time)]
    pub log_keep_for: Duration,
    /// File with the secret that peers have to know. Required when --listen is not a loopback
    /// address.
    #[arg(long, env = "FDHT_SECRET_FILE", value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// error, warn, info, debug, trace, or a filter.
    #[arg(long, env = "FDHT_LOG_LEVEL", default_value = "info", value_name = "LEVEL", value_parser = rt::logging::check)]
    pub log_level: String,
    /// Stop when standard input ends, as a child of `fdht dev` does.
    #[arg(long, env = "FDHT_EXIT_ON_STDIN_EOF")]
    pub exit_on_stdin_eof: bool,
}

/// Less is taken by what every process needs.
pub(crate) const MEMORY_MIN: Size = Size(16 << 20);

/// A size between what a node needs and what the machine or cgroup has.
fn memory(text: &str) -> Result<Size, String> {
    let size: Size = text.parse().map_err(|error: config::BadSize| error.to_string())?;
    let most = Size(rt::process::memory_bytes());
    if size < MEMORY_MIN {
        return Err(format!("a node needs {MEMORY_MIN} or more"));
    }
    if size > most {
        return Err(format!("the machine or cgroup has {most}"));
    }
    Ok(size)
}

/// The names a topology file allows for servers and clusters.
fn name(text: &str) -> Result<String, String> {
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let rest = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if first && rest && text.len() <= 64 {
        return Ok(text.to_owned());
    }
    Err("write 1 to 64 letters, digits, `.`, `_` or `-`, beginning with a letter or digit".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_between_what_a_node_needs_and_what_the_machine_has() {
        assert_eq!(memory("16MiB"), Ok(MEMORY_MIN));
        assert!(memory("15MiB").unwrap_err().contains("16MiB"));
        assert!(memory("99999GiB").unwrap_err().contains("machine"));
        assert!(memory("16").unwrap_err().contains("MiB"));
    }
}
