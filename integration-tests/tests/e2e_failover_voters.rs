//! `fdht failover` with real processes: a voter is lost for good, others take its place, and the file
//! that names them is taken by proxies that noticed nothing of all this.

use std::fs;
use std::time::Duration;

use harness::chaos::alone;
use harness::lone::LoneProxy;
use harness::process::fdht;
use harness::{Http, Options, Resp, TestCluster, wait_until};

const SOON: Duration = Duration::from_secs(60);

/// Whom the last line of `fdht failover` tells to write into the file: `  voters: [a1, b1, a2]`.
fn voters_of(output: &str) -> String {
    let line = output.lines().map(str::trim).find(|line| line.starts_with("voters: ["));
    line.unwrap_or_else(|| panic!("no line to write into the file in {output}")).to_owned()
}

/// The epoch of the topology that a proxy has in force, and where it has it from.
fn in_force(admin: &Http) -> (u64, String) {
    let topology = admin.get("/v1/topology").expect(200).json();
    let source = topology["source"].as_str().expect("a text").to_owned();
    (topology["epoch"].as_u64().expect("a number"), source)
}

/// Replaces the lost voter, as the operator does; gives the line for the file.
fn replace(cluster: &TestCluster, lost: &str) -> String {
    let file = cluster.root().join("topology.yaml");
    let file = file.to_str().expect("plain names");
    let failover = ["failover", "--topology", file, "--lost", lost];
    let shown = fdht(failover);
    assert_eq!(shown.status, Some(2), "{shown:#?}");
    shown.says(&["nothing was changed", "repeat with --yes"]);
    let output = fdht(failover.into_iter().chain(["--yes"])).ok();
    voters_of(&output)
}

#[test]
fn a_lost_voter_without_data_is_replaced_and_calm_proxies_take_the_file_that_says_so() {
    let _alone = alone();
    let cluster = Options::shape(2, 2, 5).start();
    let mut resp = cluster.resp();
    assert_eq!(resp.call(&["SET", "k", "v"]), "OK");
    // A proxy whose file nobody edits: it meets the new one through a node.
    let own = cluster.root().join("other.yaml");
    fs::copy(cluster.root().join("topology.yaml"), &own).unwrap();
    let other = LoneProxy::start(&own, &["--id", "other"]);
    let other_admin = Http::new(&other.admin);
    wait_until("the other proxy is ready", SOON, || other_admin.get("/readyz").status == 200);

    // From here on no client asks for anything: nothing but the voter is missing.
    cluster.kill("v1");
    let line = replace(&cluster, "v1");
    assert!(!line.contains("v1") && line.contains("a1") && line.contains("b1"), "{line}");
    let epoch = cluster.edit_topology(|text| {
        let old = text.lines().find(|line| line.starts_with("voters:")).expect("it names voters");
        text.replace(old, &line)
    });
    let admin = cluster.admin();
    wait_until("the proxy takes the file", SOON, || in_force(&admin).0 == epoch);
    wait_until("the other proxy learns of it", SOON, || in_force(&other_admin).0 == epoch);
    let (_, source) = in_force(&other_admin);
    assert!(source.starts_with("node "), "{source}");
    wait_until("no refusal is left", SOON, || {
        admin.get("/v1/topology").json()["last_error"].is_null()
    });

    // The new voters decide: a leader that dies is followed by another one.
    cluster.kill("a1");
    assert_eq!(resp.call(&["SET", "k", "w"]), "OK");
    assert_eq!(Resp::connect(&other.address).call(&["GET", "k"]), "w");
}
