//! A greater topology that a node knows is adopted (design 5): it came from another proxy, whose
//! file is newer than this one's. The nodes are asked for it all the time, and with it for the voter
//! set in force, without which a topology that names other voters is refused.

use std::rc::Rc;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use common::ids::{NodeId, TopologyVersion};
use config::Topology;

use crate::pool::ConnectionKey;
use crate::shared::Shared;
use crate::worker::Worker;

/// How often a node is asked for the topology and the voters it knows.
const EVERY: Duration = Duration::from_secs(2);

/// A text that was looked at and not adopted, and what it was compared with: with other ones, it is
/// looked at again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    text: String,
    in_force: TopologyVersion,
    voters: Option<Arc<[NodeId]>>,
}

/// Whether this worker looks after the topology: a node has one, so one worker is enough.
pub(crate) fn looks_after_topology(worker: &Worker) -> bool {
    worker.index == 0
}

/// Asks one connected node after the other. Runs for the life of the worker.
pub(crate) async fn ask_nodes_task(worker: Rc<Worker>) {
    if !looks_after_topology(&worker) {
        return;
    }
    for turn in 0.. {
        tokio::time::sleep(EVERY).await;
        worker.pool.borrow_mut().ask_what_is_in_force(turn);
        worker.settle();
    }
}

/// A node told its topology.
pub(crate) fn on_topology(worker: &Rc<Worker>, key: ConnectionKey, text: &[u8]) {
    let Some(at) = worker.pool.borrow().address(key) else { return };
    let in_force = worker.shared.topology.load_full();
    if in_force.text().as_bytes() == text {
        return worker.pool.borrow_mut().on_topology(key, in_force.version());
    }
    let text = String::from_utf8_lossy(text).into_owned();
    let (worker, shared) = (Rc::clone(worker), Arc::clone(&worker.shared));
    tokio::task::spawn_local(async move {
        // Reading a large file takes longer than a request may wait.
        let adopting = tokio::task::spawn_blocking(move || consider(&shared, &at.name, text));
        if let Ok(Some(version)) = adopting.await {
            worker.pool.borrow_mut().on_topology(key, version);
        }
    });
}

/// Adopts the text if it is greater. Its version, where it was looked at.
fn consider(shared: &Shared, node: &str, text: String) -> Option<TopologyVersion> {
    let mut last = shared.topology_seen.lock().unwrap_or_else(PoisonError::into_inner);
    let in_force = shared.topology.load_full().version();
    let seen = Seen { text, in_force, voters: shared.topology.voters() };
    if last.as_ref() == Some(&seen) {
        return None;
    }
    let topology = match Topology::parse(&seen.text) {
        Ok(topology) => topology,
        Err(problems) => {
            tracing::warn!(node, %problems, "a node's topology is not understood");
            *last = Some(seen);
            return None;
        }
    };
    let version = topology.version();
    if version <= in_force {
        *last = Some(seen);
        return Some(version);
    }
    let source = format!("node {node}");
    match shared.topology.adopt(topology, &source, rt::clock::wall_ms()) {
        Ok(changes) => {
            let file = &shared.options.topology_file;
            tracing::warn!(
                node, %version, %changes, file,
                "topology adopted from a node; the file is older: write it with a greater epoch"
            );
        }
        Err(refusals) => {
            for refusal in refusals {
                tracing::warn!(node, %version, %in_force, %refusal, "a node's topology is refused");
            }
            *last = Some(seen);
        }
    }
    Some(version)
}

#[cfg(test)]
mod tests {
    use config::TopologyHandle;

    use super::*;
    use crate::shared::Options;

    fn text(epoch: u64, more: &str) -> String {
        format!(
            "format: 1\ncluster: demo\nepoch: {epoch}\nlogic_groups: 61\nservers:\n  a1: {{ address: \
             \"h:1\", admin: \"h:2\" }}\nvoters: [a1]\nphysical_groups:\n  a: {{ servers: [a1], \
             logic_groups: \"0-60\" }}\n{more}"
        )
    }

    fn shared(epoch: u64) -> Shared {
        let topology = Topology::parse(&text(epoch, "")).unwrap();
        let options = Options {
            id: "p".to_owned(),
            topology_file: "t.yaml".to_owned(),
            secret: None,
            fastdht_package_max: 1 << 20,
            deadline_ms: 5_000,
            connections_max: 1,
        };
        let handle = TopologyHandle::new(topology, "t.yaml", 0);
        Shared::new(options, handle, ([127, 0, 0, 1], 0).into(), 1 << 20, 1)
    }

    #[test]
    fn a_greater_topology_is_adopted_and_an_older_or_broken_one_changes_nothing() {
        let shared = shared(3);
        let in_force = || shared.topology.load_full().version().epoch.0;
        for (told, known, after) in [
            (text(2, ""), Some(2), 3),
            ("nonsense: [".to_owned(), None, 3),
            (text(5, "").replace("demo", "other"), Some(5), 3),
            (text(7, ""), Some(7), 7),
            (text(6, ""), Some(6), 7),
        ] {
            let version = consider(&shared, "a1", told);
            assert_eq!(version.map(|version| version.epoch.0), known);
            assert_eq!(in_force(), after, "I12");
        }
        assert_eq!(shared.topology.status().source, "node a1");
    }

    #[test]
    fn a_topology_that_was_refused_for_its_voters_is_adopted_once_they_are_in_force() {
        let shared = shared(3);
        let v1 = "  v1: { address: \"h:3\", admin: \"h:4\" }\nvoters: [v1]";
        let told = text(4, "").replace("voters: [a1]", v1);
        shared.topology.set_voters(&[NodeId::of_name("a1")]);
        let in_force = || shared.topology.load_full().version().epoch.0;
        for _ in 0..3 {
            consider(&shared, "a1", told.clone());
            assert_eq!(in_force(), 3);
        }
        assert_eq!(shared.topology.status().refused, 1, "it is looked at once");
        shared.topology.set_voters(&[NodeId::of_name("v1")]);
        assert_eq!(consider(&shared, "a1", told).map(|version| version.epoch.0), Some(4));
        assert_eq!(in_force(), 4);
    }

    #[test]
    fn of_two_texts_with_one_epoch_the_greater_hash_is_adopted_and_the_conflict_shows() {
        let (one, other) = (text(3, ""), text(3, "# edited without a new epoch\n"));
        let version = |text: &str| Topology::parse(text).unwrap().version();
        let shared = shared(3);
        assert_eq!(version(&one), shared.topology.load_full().version());
        consider(&shared, "a1", other.clone());
        let greater = version(&one).max(version(&other));
        assert_eq!(shared.topology.load_full().version(), greater);
        let conflict = shared.topology.status().last_error.is_some();
        assert_eq!(conflict, greater == version(&other));
    }
}
