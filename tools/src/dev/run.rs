//! One run of a local cluster from beginning to end.

use std::fs;
use std::path::Path;
use std::sync::mpsc::sync_channel;

use config::Topology;

use super::DevError;
use super::args::DevArgs;
use super::child::wait_for_leftovers;
use super::member::{Member, Role};
use super::paths::{Paths, failed, remove, replace};
use super::ports::Turn;
use super::settings::Settings;
use super::shape::{Shape, check};
use super::supervisor::{Interrupted, Supervisor};
use super::{control, machine, ports, signals};
use crate::{cluster, console};

/// The proxy's port unless told otherwise: the default of the original's clients.
const PORT: u16 = 12200;
/// The proxy's admin port unless told otherwise.
const ADMIN_PORT: u16 = 12280;
/// Most events that wait for the supervisor.
const EVENTS_MAX: usize = 16;

/// Runs `fdht dev`, or asks the one that runs.
pub(crate) fn run(args: &DevArgs) -> Result<(), DevError> {
    let paths = Paths::new(&args.dir);
    if let Some(action) = &args.action {
        console::line(control::ask(&paths, action)?);
        return Ok(());
    }
    if !args.dir.join("topology.yaml").exists() {
        // A wrong shape leaves no folder behind.
        Shape::of(args)?;
    }
    paths.create()?;
    // A relative folder must mean the same to the children, whatever they do.
    let root = args.dir.canonicalize().map_err(failed("find", &args.dir))?;
    let paths = Paths::new(&root);
    let Some(_lock) = paths.lock()? else {
        return Err(DevError::AlreadyRuns(args.dir.clone()));
    };
    let turn = if paths.topology().exists() { None } else { Some(Turn::wait()) };
    let Plan { topology, new_file, mut settings } = Plan::make(args, &paths)?;
    let with_data = topology.physical_groups().iter().map(|group| group.servers.len()).sum();
    let memory_mib = machine::memory_per_node_mib(with_data);
    let members = Member::all(&paths, &topology, &settings, memory_mib);
    wait_for_leftovers(&paths)?;
    check_ports(&paths, &members)?;
    // Only now is anything kept: ports that are refused are not those of the next run.
    settings.store(&paths)?;
    if let Some(text) = new_file {
        replace(&paths.topology(), text.as_bytes(), 0o644)?;
    }
    clear_half_made(&paths, &members, &settings)?;

    let (events, inbox) = sync_channel(EVENTS_MAX);
    signals::listen(events.clone())?;
    control::listen(&paths, events)?;
    let mut supervisor = Supervisor::new(paths.clone(), members.clone(), inbox);
    let started = start(args, &paths, topology, &mut supervisor, &members, &mut settings);
    if let Some(turn) = turn {
        turn.end();
    }
    let ended = started.map(|()| supervisor.watch());
    supervisor.stop_all();
    remove(&paths.control())?;
    match ended {
        Ok(()) | Err(Interrupted::Stop) => {
            console::line(format!("stopped; the data is in {}", args.dir.display()));
            Ok(())
        }
        Err(Interrupted::Failed(e)) => Err(e),
    }
}

/// What is to be started: the kept topology and settings, or new ones.
struct Plan {
    topology: Topology,
    /// The text of a topology that is not kept yet. It is written after the settings, so a run that
    /// is killed in between is simply repeated.
    new_file: Option<String>,
    settings: Settings,
}

impl Plan {
    fn make(args: &DevArgs, paths: &Paths) -> Result<Self, DevError> {
        let mut settings = Settings::load(paths)?;
        let path = paths.topology();
        let kept = if path.exists() { Some(Topology::load(&path)?) } else { None };
        let shape = if kept.is_some() { None } else { Some(Shape::of(args)?) };
        let for_nodes = shape.map_or(0, |shape| shape.servers() * 2);
        // Four to spare: two for the proxy, and the two that the operator chose may be among them.
        let mut free = ports::choose(for_nodes + 4)?;
        free.retain(|port| ![args.port, args.admin_port].contains(&Some(*port)));
        settings.port = port(args.port, settings.port, PORT, &mut free);
        settings.admin_port = port(args.admin_port, settings.admin_port, ADMIN_PORT, &mut free);
        if settings.port == settings.admin_port {
            return Err(DevError::SamePort(settings.port));
        }
        if let Some(topology) = kept {
            check(args, &topology, &path)?;
            return Ok(Self { topology, new_file: None, settings });
        }
        let shape = shape.expect("without a kept topology there is a shape");
        let text = shape.topology(&free[..for_nodes]);
        let topology = Topology::parse(&text).expect("every shape is a valid topology");
        Ok(Self { topology, new_file: Some(text), settings })
    }
}

/// A port of the proxy: what was asked for, else what was kept, else the default. Asking for 0 takes
/// a free one the first time.
fn port(wanted: Option<u16>, kept: u16, default: u16, free: &mut Vec<u16>) -> u16 {
    match (wanted, kept) {
        (None, 0) => default,
        (Some(0), 0) => free.pop().expect("enough free ports were chosen"),
        (None | Some(0), kept) => kept,
        (Some(wanted), _) => wanted,
    }
}

/// Nothing is started unless everything can listen.
fn check_ports(paths: &Paths, members: &[Member]) -> Result<(), DevError> {
    // The proxy's first: its ports are those that people choose.
    for member in members.iter().rev() {
        for (address, is_admin) in [(&member.address, false), (&member.admin, true)] {
            ports::check(address).map_err(|source| DevError::Port {
                address: address.clone(),
                of: format!("{} of {}", if is_admin { "admin" } else { "address" }, member.id),
                source,
                todo: member.port_advice(paths, is_admin),
            })?;
        }
    }
    Ok(())
}

fn is_created(settings: &Settings, member: &Member) -> bool {
    settings.created.contains(&member.id)
}

/// Removes what a first run that was killed left of nodes that never served: no proxy knew them.
fn clear_half_made(paths: &Paths, members: &[Member], settings: &Settings) -> Result<(), DevError> {
    for member in members.iter().filter(|m| m.role == Role::Node && !is_created(settings, m)) {
        let dir = paths.node(&member.id);
        if dir.exists() {
            fs::remove_dir_all(&dir).map_err(failed("remove the half-made", &dir))?;
        }
    }
    Ok(())
}

/// Starts everything, says so, and watches until the end.
fn start(
    args: &DevArgs,
    paths: &Paths,
    topology: Topology,
    supervisor: &mut Supervisor,
    members: &[Member],
    settings: &mut Settings,
) -> Result<(), Interrupted> {
    let create = |member: &Member| !is_created(settings, member);
    supervisor.start(Role::Node, create).map_err(Interrupted::Failed)?;
    // A node that is live has opened its data. Only then, and before any proxy could write to it,
    // it counts as created.
    supervisor.wait("/livez", args.ready_within)?;
    let nodes = members.iter().filter(|m| m.role == Role::Node).map(|m| m.id.clone());
    let nodes: Vec<String> = nodes.filter(|id| !settings.created.contains(id)).collect();
    if !nodes.is_empty() {
        settings.created.extend(nodes);
        settings.store(paths).map_err(Interrupted::Failed)?;
    }
    create_groups(args, topology, supervisor)?;
    supervisor.start(Role::Proxy, |_| false).map_err(Interrupted::Failed)?;
    supervisor.wait("/readyz", args.ready_within)?;
    console::line(table(paths, members));
    console::line(format!(
        "ready: redis-cli -p {} | curl http://127.0.0.1:{}/v1/kv/-/NAME | fdht status --admin \
         127.0.0.1:{} | Ctrl-C stops",
        settings.port, settings.port, settings.admin_port,
    ));
    Ok(())
}

/// Creates the logic groups that do not exist: all of them the first time, what a run that was killed
/// left out the second time, none later.
fn create_groups(
    args: &DevArgs,
    topology: Topology,
    supervisor: &mut Supervisor,
) -> Result<(), Interrupted> {
    let failed = |e| Interrupted::Failed(DevError::Cluster(e));
    // The children inherit the variable, so they ask for that secret.
    let file = std::env::var_os("FDHT_SECRET_FILE");
    let secret = cluster::secret(file.as_deref().map(Path::new)).map_err(failed)?;
    let time_max = args.ready_within;
    let work = move || cluster::init(topology, secret.as_ref(), time_max);
    supervisor.during("init", work)?.map(drop).map_err(failed)
}

fn table(paths: &Paths, members: &[Member]) -> String {
    let rows = members.iter().map(|member| {
        let log = paths.log(&member.id);
        let (address, admin) = (member.address.clone(), member.admin.clone());
        vec![member.id.clone(), address, admin, log.display().to_string()]
    });
    console::table(&["process", "address", "admin", "log"], rows.collect())
}
