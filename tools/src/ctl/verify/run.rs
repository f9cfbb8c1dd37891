//! `fdht verify`: which servers are compared, and the exit status.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::compare::{Comparison, compare, differing_buckets};
use super::report::{DifferingKey, GroupResult, Standing, as_json, as_text, counts};
use super::side::{Digest, Remote, Side};
use crate::cli::Output;
use crate::clock::{now, pause};
use crate::console;
use crate::ctl::CtlError;
use crate::ctl::admin::{AdminArgs, get, items, text};
use crate::failure::{STATUS_PROBLEM, STATUS_USAGE};

/// Time between two looks at servers that are behind.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// Records that expire within this time do not count: one server may reclaim them while another is
/// read. Longer than reading one group takes.
const EXPIRY_MARGIN: Duration = Duration::from_secs(600);

/// `fdht verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    admin: AdminArgs,
    /// Compare this logic group only.
    #[arg(long, value_name = "N")]
    group: Option<u64>,
    /// How long a group's servers may take to apply what was on its way.
    #[arg(long, default_value = "30s", value_parser = config::parse_time)]
    wait: Duration,
}

/// A logic group and who is to hold it.
struct Plan<'a> {
    group: u64,
    physical: &'a str,
    /// Names and admin addresses, by server index.
    servers: Vec<(&'a str, &'a str)>,
}

/// Compares the servers of each group; the exit status says whether all are equal.
pub(crate) fn verify(args: &VerifyArgs) -> Result<ExitCode, CtlError> {
    let topology = get(&args.admin.admin, "/v1/topology")?;
    let groups = get(&args.admin.admin, "/v1/groups")?;
    let mut plans = plans(&topology, &groups);
    plans.retain(|plan| args.group.is_none_or(|group| group == plan.group));
    if plans.is_empty() {
        let count = text(&topology, "logic_groups");
        console::warn(format!("fdht verify: no such group; the cluster has {count} logic groups"));
        return Ok(ExitCode::from(STATUS_USAGE));
    }
    let told = ask_nodes(&plans);
    let results: Vec<GroupResult> =
        plans.iter().map(|plan| verify_group(plan, &told, args.wait)).collect();
    match args.admin.output {
        Output::Json => console::line(as_json(&results).to_string()),
        Output::Table => console::line(as_text(&results)),
    }
    let [_, different, not_compared] = counts(&results);
    let fine = different + not_compared == 0;
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::from(STATUS_PROBLEM) })
}

fn plans<'a>(topology: &'a Value, groups: &'a Value) -> Vec<Plan<'a>> {
    let plan = |group: &'a Value| {
        let physical = group["physical_group"].as_str()?;
        let servers = items(&topology["physical_groups"][physical]["servers"]).iter();
        let admin = |name: &str| topology["servers"][name]["admin"].as_str().unwrap_or_default();
        let servers = servers.filter_map(Value::as_str).map(|name| (name, admin(name))).collect();
        Some(Plan { group: group["group"].as_u64()?, physical, servers })
    };
    items(groups).iter().filter_map(plan).collect()
}

/// What each server says of its groups, by name; an error for one that says nothing.
type Told = BTreeMap<String, Result<Value, String>>;

fn ask_nodes(plans: &[Plan<'_>]) -> Told {
    let servers: BTreeMap<&str, &str> =
        plans.iter().flat_map(|plan| plan.servers.iter().copied()).collect();
    let ask = |(name, admin): (&str, &str)| {
        (name.to_owned(), get(admin, "/v1/groups").map_err(|e| e.to_string()))
    };
    servers.into_iter().map(ask).collect()
}

/// The servers in step, as the register with the greatest epoch that a server knows says; none when
/// no server says it.
fn in_step(group: u64, told: &Told) -> Option<Vec<&str>> {
    let all = told.values().filter_map(|answer| answer.as_ref().ok()).flat_map(items);
    let own = all.filter(|of| of["group"] == group && of["in_step"].is_array());
    let newest = own.max_by_key(|of| of["register_epoch"].as_u64())?;
    Some(items(&newest["in_step"]).iter().filter_map(Value::as_str).collect())
}

fn verify_group(plan: &Plan<'_>, told: &Told, wait: Duration) -> GroupResult {
    let in_step = in_step(plan.group, told);
    let standing = |name: &str| match told.get(name) {
        Some(Err(reason)) => Standing::NotCompared(reason.clone()),
        _ if in_step.as_ref().is_some_and(|names| !names.contains(&name)) => {
            Standing::NotCompared("not in step".to_owned())
        }
        _ => Standing::Equal,
    };
    let servers = plan.servers.iter().map(|(name, _)| ((*name).to_owned(), standing(name)));
    let mut result = GroupResult {
        group: plan.group,
        physical: plan.physical.to_owned(),
        servers: servers.collect(),
        keys: Vec::new(),
        more: false,
    };
    let horizon = u64::try_from((wait + EXPIRY_MARGIN).as_millis()).unwrap_or(u64::MAX);
    let now_ms = rt::clock::wall_ms().saturating_add(horizon);
    for lane in 0..plan.servers.len() {
        let remotes = plan.servers.iter().map(|(_, admin)| {
            let (admin, group) = (*admin, plan.group);
            Remote { admin, group, lane, now_ms }
        });
        verify_lane(&remotes.collect::<Vec<_>>(), lane, wait, &mut result);
    }
    result
}

/// Compares all copies of a lane that can be compared with the first of them. A side is a server's
/// copy, in the order of the servers.
fn verify_lane<S: Side>(sides: &[S], lane: usize, wait: Duration, result: &mut GroupResult) {
    let mut digests = read_digests(sides, result).into_iter();
    let Some((one, digest)) = digests.next() else { return };
    for (other, others_digest) in digests {
        let buckets = differing_buckets(&digest, &others_digest);
        if buckets.is_empty() {
            continue;
        }
        let deadline = now() + wait;
        let mut patience = || {
            let left = now() < deadline;
            if left {
                pause(LOOK_INTERVAL);
            }
            left
        };
        match compare([&sides[one], &sides[other]], &buckets, &mut patience) {
            Err(e) => result.mark(other, Standing::NotCompared(e.to_string())),
            Ok(found) => take(found, lane, [one, other], wait, result),
        }
    }
}

/// Reads the digests of all copies that can be compared, at the same time, each with its place.
fn read_digests<S: Side>(sides: &[S], result: &mut GroupResult) -> Vec<(usize, Digest)> {
    let servers = result.servers.iter().map(|(_, standing)| standing);
    let able = |(_, standing): &(usize, &Standing)| !matches!(standing, Standing::NotCompared(_));
    let able: Vec<usize> = servers.enumerate().filter(able).map(|(at, _)| at).collect();
    if able.len() < 2 {
        return Vec::new();
    }
    let read: Vec<(usize, Result<Digest, CtlError>)> = thread::scope(|scope| {
        let reads: Vec<_> =
            able.into_iter().map(|at| (at, scope.spawn(move || sides[at].digest()))).collect();
        let join = |(at, read): (usize, thread::ScopedJoinHandle<'_, _>)| {
            (at, read.join().expect("reading does not panic"))
        };
        reads.into_iter().map(join).collect()
    });
    let mut digests = Vec::new();
    for (at, digest) in read {
        match digest {
            Ok(digest) => digests.push((at, digest)),
            Err(e) => result.mark(at, Standing::NotCompared(e.to_string())),
        }
    }
    digests
}

/// Adds what comparing two servers has shown.
fn take(
    found: Comparison,
    lane: usize,
    pair: [usize; 2],
    wait: Duration,
    result: &mut GroupResult,
) {
    let name = |at: usize| result.servers[at].0.clone();
    let [one, other] = pair;
    let names = [name(one), name(other)];
    let wait = humantime::format_duration(wait);
    if let Some(side) = found.behind {
        let reason = format!("has not applied within {wait} what {} had", names[1 - side]);
        result.mark(pair[side], Standing::NotCompared(reason));
    }
    if found.undecided > 0 {
        let reason = format!("{} keys changed at every look for {wait}", found.undecided);
        result.mark(other, Standing::NotCompared(reason));
    }
    if !found.differences.is_empty() {
        result.mark(other, Standing::Different);
    }
    result.more |= found.more;
    result.keys.extend(found.differences.into_iter().map(|difference| {
        let [ours, theirs] = difference.states;
        let [one, other] = names.clone();
        let servers = [(one, ours), (other, theirs)];
        DifferingKey { lane, address: difference.address, servers }
    }));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::judge::{Reading, State};
    use super::super::positions::Positions;
    use super::*;

    /// A server with one key of some version, or one that does not answer.
    struct Fake(Option<u32>);

    impl Fake {
        fn version(&self) -> Result<u32, CtlError> {
            let (address, reason) = ("here".to_owned(), "refused".to_owned());
            self.0.ok_or(CtlError::Unreachable { address, reason })
        }
    }

    impl Side for Fake {
        fn digest(&self) -> Result<Digest, CtlError> {
            Ok(Digest::from([(7, u64::from(self.version()?))]))
        }

        fn keys(&self, buckets: &[u8]) -> Result<(Reading, Positions), CtlError> {
            assert_eq!(buckets, [7]);
            let version = format!("{:04}", self.version()?);
            let state = State { hash: version.clone(), version };
            Ok((Reading::from([("key".to_owned(), state)]), self.positions()?))
        }

        fn positions(&self) -> Result<Positions, CtlError> {
            Ok(Positions::of_json(&json!([{ "epoch": 1, "lsn": 5 }])))
        }
    }

    fn result(standings: &[Standing]) -> GroupResult {
        let named = |(at, standing): (usize, &Standing)| (format!("a{at}"), standing.clone());
        let servers = standings.iter().enumerate().map(named).collect();
        GroupResult { group: 1, physical: "a".into(), servers, keys: Vec::new(), more: false }
    }

    fn verified(versions: &[Option<u32>]) -> GroupResult {
        let sides: Vec<Fake> = versions.iter().map(|version| Fake(*version)).collect();
        let mut result = result(&vec![Standing::Equal; sides.len()]);
        verify_lane(&sides, 1, Duration::ZERO, &mut result);
        result
    }

    #[test]
    fn every_server_is_compared_with_the_first_that_answers() {
        let equal = verified(&[Some(3), Some(3), Some(3)]);
        assert_eq!(equal.standing(), Standing::Equal);
        let one_off = verified(&[None, Some(3), Some(4), Some(3)]);
        let standings: Vec<&Standing> = one_off.servers.iter().map(|(_, s)| s).collect();
        assert!(
            matches!(standings[0], Standing::NotCompared(reason) if reason.contains("refused"))
        );
        assert_eq!(standings[1..], [&Standing::Equal, &Standing::Different, &Standing::Equal]);
        let [key] = &one_off.keys[..] else { panic!("{:?}", one_off.keys) };
        assert_eq!((key.lane, key.address.as_str()), (1, "key"));
        assert_eq!(key.servers.each_ref().map(|(name, _)| name.as_str()), ["a1", "a2"]);
        let alone = verified(&[Some(3)]);
        assert_eq!(alone.standing(), Standing::Equal, "nobody to compare it with");
    }

    #[test]
    fn a_server_that_is_not_in_step_is_left_out() {
        let answer = |epoch: u64, names: &[&str]| {
            Ok(json!([{ "group": 1, "register_epoch": epoch, "in_step": names }, { "group": 2 }]))
        };
        let told = Told::from([
            ("a1".to_owned(), answer(7, &["a1", "a3"])),
            ("a2".to_owned(), answer(5, &["a1", "a2"])),
            ("a3".to_owned(), Err("cannot reach a3".to_owned())),
        ]);
        assert_eq!(in_step(1, &told), Some(vec!["a1", "a3"]));
        assert_eq!(in_step(2, &told), None, "an older node does not say");
        let servers = vec![("a1", "-"), ("a2", "-"), ("a3", "-")];
        let plan = Plan { group: 1, physical: "a", servers };
        let result = verify_group(&plan, &told, Duration::ZERO);
        let reasons = ["a2: not in step", "a3: cannot reach a3"].join("; ");
        assert_eq!(result.standing(), Standing::NotCompared(reasons));
    }

    #[test]
    fn groups_and_servers_come_from_the_proxy() {
        let topology = json!({
            "servers": { "a1": { "admin": "h:1" }, "a2": { "admin": "h:2" } },
            "physical_groups": { "a": { "servers": ["a2", "a1"], "logic_groups": "0" } },
        });
        let groups = json!([{ "group": 0, "physical_group": "a", "lanes": [] }]);
        let plans = plans(&topology, &groups);
        assert_eq!(plans.len(), 1);
        assert_eq!(plans[0].servers, [("a2", "h:2"), ("a1", "h:1")]);
    }
}
