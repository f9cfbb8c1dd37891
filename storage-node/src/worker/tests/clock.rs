//! Steps of the wall clock, in both directions, while the node runs and between two process starts.

use std::time::Duration;

use common::version::{Hlc, SteadyWall};
use rt::clock;

use super::answer::{Answer, DONE, value};
use super::client::Client;
use super::node::{Node, Setup};
use super::request::{get, set, set_for};

const HOUR_MS: i64 = 3_600_000;
const STEPS: [i64; 2] = [HOUR_MS, -HOUR_MS];

/// A wall clock that is this much off, as the clock of data follows it.
#[derive(Default)]
pub(super) struct WallStep {
    off_ms: i64,
    steady: SteadyWall,
}

impl WallStep {
    /// What the turn takes for the wall time.
    pub(super) fn apply(&mut self, wall_ms: &mut u64) {
        let stepped = clock::wall_ms().saturating_add_signed(self.off_ms);
        let steady = self.steady.read(clock::boot_ms(), stepped);
        if self.off_ms != 0 {
            *wall_ms = steady;
        }
    }
}

impl Node {
    /// The process starts on a clock that is so much off.
    fn restart_with_clock(self, off_ms: i64) -> Self {
        let disk = self.disk.after_kill();
        let mut node = self.restart_on(disk).unwrap();
        node.step.off_ms = off_ms;
        node.serve();
        node
    }

    /// Writes; the greatest time of a version is above the one before.
    fn write_above(&mut self, client: &mut Client, before: Hlc) -> Hlc {
        let [write] = self.turn(client, [set("k", "1")]);
        assert_eq!(client.answer(write), DONE);
        let after = self.group(0).store.hlc();
        assert!(after > before, "{after:?} is not above {before:?}");
        after
    }
}

/// Expiry and versions go on with the monotonic clock, which leases never left.
#[test]
fn a_step_while_the_node_runs_is_not_followed() {
    for step in STEPS {
        let mut node = Node::new(Setup::default());
        let mut client = node.connect();
        let [long, short] =
            node.turn(&mut client, [set_for("long", 600_000), set_for("short", 150)]);
        assert_eq!((client.answer(long), client.answer(short)), (DONE, DONE));
        let before = node.write_above(&mut client, Hlc(0));
        node.step.off_ms = step;
        let [read] = node.turn(&mut client, [get("long")]);
        assert_eq!(client.answer(read), value("v"), "{step}: not an hour older");
        assert!(node.lead(0).lease_until_ms > clock::boot_ms(), "{step}: the lease holds");
        let after = node.write_above(&mut client, before);
        let passed_ms = after.ms() - before.ms();
        assert!(passed_ms < 60_000, "{step}: versions rise as time passes: {passed_ms}");
        let [another] = node.turn(&mut client, [set_for("another", 150)]);
        assert_eq!(client.answer(another), DONE);
        let gone = clock::now() + Duration::from_millis(200);
        node.until("time passes", |_| clock::now() > gone);
        for name in ["short", "another"] {
            let [read] = node.turn(&mut client, [get(name)]);
            assert_eq!(client.answer(read), Answer::Missing, "{step}: {name} lives no longer");
        }
        node.step.off_ms = 0;
        node.write_above(&mut client, after);
    }
}

/// A process start takes the clock as it is. Time goes on above what the log has (I3, I8).
#[test]
fn versions_never_fall_over_a_restart_on_a_stepped_clock() {
    for step in STEPS {
        let mut node = Node::new(Setup::default());
        let mut client = node.connect();
        let [long] = node.turn(&mut client, [set_for("long", 600_000)]);
        assert_eq!(client.answer(long), DONE);
        let mut last = node.write_above(&mut client, Hlc(0));
        for off_ms in [step, 0, -step, 0] {
            node = node.restart_with_clock(off_ms);
            last = node.write_above(&mut client, last);
            assert!(node.lead(0).lease_until_ms > clock::boot_ms(), "{step}: the lease holds");
            let [read] = node.turn(&mut client, [get("k")]);
            assert_eq!(client.answer(read), value("1"), "{step}, then {off_ms}");
        }
    }
}

/// A key with ten minutes to live: on a clock that is behind it lives on, and no answer says that it
/// was never there; on one that is an hour ahead it is gone, also when the clock is right again, since
/// what was once hidden must not come back (I9).
#[test]
fn expiry_never_goes_back_over_a_restart_on_a_stepped_clock() {
    let mut node = Node::new(Setup::default());
    let mut client = node.connect();
    let [long] = node.turn(&mut client, [set_for("long", 600_000)]);
    assert_eq!(client.answer(long), DONE);
    for (off_ms, there) in [(-HOUR_MS, true), (0, true), (HOUR_MS, false), (0, false)] {
        node = node.restart_with_clock(off_ms);
        let last = node.group(0).store.hlc();
        node.write_above(&mut client, last);
        let [read] = node.turn(&mut client, [get("long")]);
        let expected = if there { value("v") } else { Answer::Missing };
        assert_eq!(client.answer(read), expected, "{off_ms}");
    }
}
