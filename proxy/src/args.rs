//! Command line of `fdht proxy`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use config::Size;

/// Flags of `fdht proxy`. Each has an environment variable of the same name.
#[derive(Args, Clone, Debug)]
pub struct ProxyArgs {
    /// The topology file. Watched: a changed file takes effect without a restart.
    #[arg(long, env = "FDHT_TOPOLOGY", value_name = "FILE")]
    pub topology: PathBuf,
    /// Name of this proxy in logs of the nodes.
    #[arg(long, env = "FDHT_ID", default_value = "proxy", value_name = "NAME")]
    pub id: String,
    /// Where clients connect: FastDHT, Redis and HTTP on one port.
    #[arg(long, env = "FDHT_LISTEN", default_value = "127.0.0.1:12200", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Where operators connect.
    #[arg(long, env = "FDHT_ADMIN", default_value = "127.0.0.1:12280", value_name = "ADDR")]
    pub admin: SocketAddr,
    /// Worker threads [default: one up to four processors, else half of them].
    #[arg(long, env = "FDHT_WORKERS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: Option<u16>,
    /// File with the secret that the nodes of the cluster ask for.
    #[arg(long, env = "FDHT_SECRET_FILE", value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// Longest request of a FastDHT client, header included.
    #[arg(long, env = "FDHT_FASTDHT_PACKAGE_MAX", default_value = "256KiB", value_name = "SIZE", value_parser = package)]
    pub fastdht_package_max: Size,
    /// How long a request may take before its client is told so.
    #[arg(long, env = "FDHT_DEADLINE", default_value = "5s", value_name = "TIME", value_parser = deadline)]
    pub deadline: Duration,
    /// Most client connections.
    #[arg(long, env = "FDHT_CONNECTIONS_MAX", default_value = "10000", value_name = "N", value_parser = connections)]
    pub connections_max: usize,
    /// Most memory for the buffers of all client connections together.
    #[arg(long, env = "FDHT_BUFFERS_MAX", default_value = "1GiB", value_name = "SIZE")]
    pub buffers_max: Size,
    /// error, warn, info, debug, trace, or a filter.
    #[arg(long, env = "FDHT_LOG_LEVEL", default_value = "info", value_name = "LEVEL", value_parser = rt::logging::check)]
    pub log_level: String,
    /// Stop when standard input ends, as a child of `fdht dev` does.
    #[arg(long, env = "FDHT_EXIT_ON_STDIN_EOF")]
    pub exit_on_stdin_eof: bool,
}

/// Less than a node needs to answer would refuse every request.
const DEADLINE_MIN: Duration = Duration::from_millis(10);

fn deadline(text: &str) -> Result<Duration, String> {
    let time = config::parse_time(text)?;
    if time < DEADLINE_MIN {
        return Err("no request could be answered in time: write 10ms or more".into());
    }
    Ok(time)
}

/// The protocol has the lengths of names in one byte each: with less, keys that are allowed do not fit.
const PACKAGE_MIN: Size = Size(1 << 10);

fn package(text: &str) -> Result<Size, String> {
    let size: Size = text.parse().map_err(|error: config::BadSize| error.to_string())?;
    if size < PACKAGE_MIN {
        return Err(format!("no request of a client would fit: write {PACKAGE_MIN} or more"));
    }
    Ok(size)
}

fn connections(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) => Err("no client could connect: write 1 or more".into()),
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_refuse_every_client_is_refused_itself() {
        assert_eq!(deadline("10ms"), Ok(Duration::from_millis(10)));
        assert!(deadline("9ms").unwrap_err().contains("10ms") && deadline("0s").is_err());
        assert_eq!(connections("1"), Ok(1));
        assert!(connections("0").unwrap_err().contains("1 or more") && connections("-1").is_err());
        assert_eq!(package("1KiB"), Ok(Size(1_024)));
        assert!(package("0KiB").unwrap_err().contains("1KiB") && package("1").is_err());
    }
}
