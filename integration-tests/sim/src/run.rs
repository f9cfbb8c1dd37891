//! One run from a seed.

use storage_node::replication::rules::Rules;

use crate::checks::{Check, i2_kept, i4_equal, i7_counters, i15_liveness};
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
}

const CALM_US: u64 = 300_000;
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
    until(world, CALM_US, report)?;
    world.healed = false;
    world.plan(CALM_US, What::Fault);
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
        What::Peer { from, to, life, message, recs } => {
            if world.nodes[to].life == life && world.nodes[to].process.is_some() {
                if world.trace {
                    world.say(format_args!("n{from} -> n{to} {message:?}"));
                }
                world.deliver(from, to, message, &recs);
            }
        }
        What::Request { to, request } => world.on_request(to, request),
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
        What::Peer { to, .. } | What::Request { to, .. } | What::AskView { to, .. } => Some(*to),
        What::Wake(node) | What::Sync(node) => Some(*node),
        What::Answer { .. } | What::Client { .. } | What::Fault | What::Mend | What::Start(_) => {
            None
        }
    }
}
