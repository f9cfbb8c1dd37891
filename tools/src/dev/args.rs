//! The command line of `fdht dev`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use common::limits::{LOGIC_GROUPS_MAX, SERVERS_PER_GROUP_MAX};

/// One letter each; `v` is for voters without data.
pub(super) const GROUPS_MAX: u16 = 25;

/// `fdht dev`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = false, subcommand_negates_reqs = true)]
pub(crate) struct DevArgs {
    /// Folder of the cluster: made when it does not exist, kept between runs.
    #[arg(long, env = "FDHT_DEV_DIR", default_value = "./fdht-dev", global = true)]
    pub(crate) dir: PathBuf,
    /// Physical groups of a new cluster [default: 2].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=i64::from(GROUPS_MAX)))]
    pub(super) groups: Option<u16>,
    /// Servers in each physical group of a new cluster [default: 2].
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=i64::from(SERVERS_PER_GROUP_MAX)))]
    pub(super) servers_per_group: Option<u8>,
    /// Logic groups of a new cluster; a prime spreads best [default: 17].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=i64::from(LOGIC_GROUPS_MAX)))]
    pub(super) logic_groups: Option<u16>,
    /// Port of the proxy; 0 takes a free one. Kept for later runs [default: 12200].
    #[arg(long, env = "FDHT_DEV_PORT")]
    pub(super) port: Option<u16>,
    /// Admin port of the proxy; 0 takes a free one. Kept for later runs [default: 12280].
    #[arg(long, env = "FDHT_DEV_ADMIN_PORT")]
    pub(super) admin_port: Option<u16>,
    /// How long the cluster may take to become ready.
    #[arg(long, default_value = "120s", value_parser = config::parse_time)]
    pub(super) ready_within: Duration,
    #[command(subcommand)]
    pub(super) action: Option<Action>,
}

/// What to ask of a `dev` that runs already.
#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Start a process of the running cluster again.
    Start {
        /// Its id: `a1`, or `proxy`.
        id: String,
    },
    /// Stop a process of the running cluster.
    Stop {
        /// Its id: `a1`, or `proxy`.
        id: String,
    },
}
