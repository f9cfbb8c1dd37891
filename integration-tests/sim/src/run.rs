//! One run from a seed.

use storage_node::replication::rules::Rules;

use crate::checks::{Check, i2_kept, i4_equal, i7_counters, i15_liveness};
use crate::node::{Input, Unit};
use crate::rng::Rng;
use crate::setup::{GROUPS, NODES, Setup};
use crate::world::{What, World};

/// What a run did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The first failure.
    pub failure: Option<String>,
    /// Events.
    pub events: u64,
    /// Acknowledged writes.
    pub acked: usize,
    /// Answered reads.
    pub reads: u64,
    /// Leaderships in which something became official.
    pub leaders: usize,
    /// Register changes.
    pub changes: u64,
    /// Voter sets that the operator replaced.
    pub voter_sets: u64,
    /// Nodes that came back with a blank disk.
    pub strangers: usize,
    /// Lanes on servers that had to be seeded anew in the end.
    pub reseeds: usize,
    /// Writes lost because all of an R lost power.
    pub lost: usize,
}

const CALM_US: u64 = 1_000_000;
const SERVES_US: u64 = 5_000_000;
const QUIET_US: u64 = 6_000_000;
const CONVERGED_US: u64 = 10_000_000;

/// Runs a seed with these rules.
#[must_use]
pub fn run(seed: u64, rules: Rules, trace: bool) -> Report {
    let mut rng = Rng::new(seed);
    let setup = Setup::of_seed(&mut rng, rules);
    let heal_us = setup.faults_ms * 1_000;
    let mut world = World::new(setup, rng);
    world.trace = trace;
    let mut report = Report::default();
    let failure = steps(&mut world, heal_us, &mut report).err();
    report.failure = failure;
    report.acked = world.checks.history.acked.len();
    report.reads = world.checks.history.reads;
    report.leaders = world.checks.i16_one_leader.count();
    report.changes = world.epochs();
    report.voter_sets = u64::from(world.newest_set().generation.0 - 1);
    report.strangers = world.nodes.iter().filter(|node| node.blank && !node.gone).count();
    let groups = world.nodes.iter().filter_map(|n| n.process.as_ref()).flat_map(|p| &p.groups);
    report.reseeds = groups.flat_map(|g| g.lanes()).filter(|lane| lane.needs_reseed()).count();
    report.lost = world.checks.history.i1_power.lost();
    report
}

fn steps(world: &mut World, heal_us: u64, report: &mut Report) -> Check {
    for node in 0..NODES {
        world.start(node);
    }
    create_groups(world);
    world.start_clients();
    let until = |world: &mut World, at_us: u64, report: &mut Report| -> Check {
        world.plan(at_us, What::Mend);
        while world.now_us < at_us {
            let Some(what) = world.take_event() else { break };
            report.events += 1;
            step(world, what);
            if let Some(failure) = world.checks.failure() {
                return Err(failure.clone());
            }
        }
        Ok(())
    };
    // The groups are created and served before anything goes wrong.
    world.healed = true;
    let mut calm_us = CALM_US;
    until(world, calm_us, report)?;
    while world.registers.iter().any(Option::is_none) && calm_us < 10 * CALM_US {
        calm_us += CALM_US;
        until(world, calm_us, report)?;
    }
    world.healed = false;
    world.plan(calm_us, What::Fault);
    until(world, heal_us, report)?;
    world.heal();
    until(world, heal_us + SERVES_US, report)?;
    i15_liveness::serves(world)?;
    until(world, heal_us + QUIET_US, report)?;
    world.quiet = true;
    until(world, heal_us + CONVERGED_US, report)?;
    i2_kept::check(&world.checks.history)?;
    i7_counters::check(&world.checks.history)?;
    i4_equal::check(world)?;
    i15_liveness::converged(world)
}

fn create_groups(world: &mut World) {
    for group in 0..GROUPS {
        let change = world.setup.create(group);
        if let Some(process) = world.nodes[0].process.as_mut() {
            process.groups[group].on_create(change);
        }
    }
}

fn step(world: &mut World, what: What) {
    if let Some(node) = node_of_event(&what)
        && world.nodes[node].process.is_some()
        && !world.nodes[node].runs(world.now_us)
    {
        // The process is stopped: what arrives waits in its sockets.
        let at_us = world.nodes[node].paused_until_us + 1;
        return world.plan(at_us, what);
    }
    match what {
        What::Peer { from, to, life, generation, message, recs } => {
            if world.nodes[to].life == life && world.nodes[to].process.is_some() {
                if world.trace {
                    world.say(format_args!("n{from} -> n{to} {message:?}"));
                }
                world.deliver((from, to), generation, message, recs);
            }
        }
        What::Gone { to, life, term } => {
            if world.nodes[to].life == life {
                let unit = Unit::Group(usize::from(term.lane.group.0));
                world.input(to, unit, Input::Gone(term));
            }
        }
        What::Refused { to, node } => world.on_refused_address(to, node),
        What::Stored { node, life, unit } => {
            if world.nodes[node].life == life {
                world.stored(node, unit);
            }
        }
        What::Voters { to, set } => world.adopt_voters(to, set),
        What::Admit { to, set, registers } => world.admit(to, &set, registers),
        What::Install => world.install(),
        What::Request { to, request } => {
            let unit = Unit::Group(usize::from(world.setup.lane_of(request.key).group.0));
            world.input(to, unit, Input::Request(request));
        }
        What::Answer { client, id, group, answer } => world.on_answer(client, id, group, answer),
        What::AskView { client, to, group } => world.on_ask_view(client, to, group),
        What::Wake(node) => world.wake(node),
        What::Sync(node) => world.sync(node),
        What::Client { client, turn } => {
            if world.clients[client].turn == turn {
                world.on_client(client);
            }
        }
        What::Fault => world.fault(),
        What::Mend => world.cut = [[false; NODES]; NODES],
        What::Start(node) => world.start(node),
    }
}

fn node_of_event(what: &What) -> Option<usize> {
    match what {
        What::Peer { to, .. }
        | What::Gone { to, .. }
        | What::Refused { to, .. }
        | What::Voters { to, .. }
        | What::Admit { to, .. }
        | What::Request { to, .. }
        | What::AskView { to, .. } => Some(*to),
        What::Wake(node) | What::Sync(node) | What::Stored { node, .. } => Some(*node),
        What::Install
        | What::Answer { .. }
        | What::Client { .. }
        | What::Fault
        | What::Mend
        | What::Start(_) => None,
    }
}
