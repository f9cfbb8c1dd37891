//! The processes of a local cluster and their command lines. Pure.

use std::ffi::OsString;

use config::Topology;

use super::machine::NODE_MIB_MIN;
use super::paths::Paths;
use super::settings::Settings;

/// The id of the one proxy.
pub(super) const PROXY: &str = "proxy";
/// A local cluster stops writing below this much free disk.
const DISK_RESERVE: &str = "256MiB";

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A storage node.
    Node,
    /// The proxy.
    Proxy,
}

/// One process of the cluster.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// Its id.
    pub(super) id: String,
    /// What it does.
    pub(super) role: Role,
    /// Where it serves.
    pub(super) address: String,
    /// Where it serves admin HTTP.
    pub(super) admin: String,
    /// Its arguments, without `--create`.
    args: Vec<OsString>,
}

impl Member {
    /// All processes: the nodes of the topology, the proxy last. Each node with data gets
    /// `memory_mib`.
    pub(super) fn all(
        paths: &Paths,
        topology: &Topology,
        settings: &Settings,
        memory_mib: u64,
    ) -> Vec<Self> {
        let mut members: Vec<Self> = topology
            .servers()
            .iter()
            .map(|server| {
                let mut args: Vec<OsString> = ["node", "--id", &server.name].map(Into::into).into();
                args.extend(["--cluster".into(), topology.cluster().into()]);
                args.extend(["--dir".into(), paths.node(&server.name).into()]);
                let has_data = topology.place_of_server(server.id).is_some();
                let memory_mib = if has_data { memory_mib } else { NODE_MIB_MIN };
                args.extend(["--memory".into(), format!("{memory_mib}MiB").into()]);
                args.extend(["--disk-reserve", DISK_RESERVE].map(Into::into));
                let (address, admin) = (server.address.clone(), server.admin.clone());
                Self::new(&server.name, Role::Node, address, admin, args)
            })
            .collect();
        let mut args: Vec<OsString> = vec!["proxy".into(), "--id".into(), PROXY.into()];
        args.extend(["--topology".into(), paths.topology().into()]);
        let (address, admin) = (loopback(settings.port), loopback(settings.admin_port));
        members.push(Self::new(PROXY, Role::Proxy, address, admin, args));
        members
    }

    fn new(id: &str, role: Role, address: String, admin: String, mut args: Vec<OsString>) -> Self {
        args.extend(["--listen".into(), OsString::from(&address)]);
        args.extend(["--admin".into(), OsString::from(&admin)]);
        args.push("--exit-on-stdin-eof".into());
        Self { id: id.to_owned(), role, address, admin, args }
    }

    /// The command line behind the program's name.
    pub(super) fn command_line(&self, create: bool) -> Vec<OsString> {
        let mut args = self.args.clone();
        if create {
            args.push("--create".into());
        }
        args
    }

    /// What to do when one of its addresses is taken.
    pub(super) fn port_advice(&self, paths: &Paths, is_admin: bool) -> String {
        match self.role {
            Role::Proxy => {
                let flag = if is_admin { "--admin-port" } else { "--port" };
                format!("choose another port with {flag}")
            }
            Role::Node => {
                let (file, id) = (paths.topology(), &self.id);
                format!("stop what uses it, or change servers.{id} in {}", file.display())
            }
        }
    }
}

fn loopback(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
