//! A short sweep of seeds, and the proof that its checkers find what they look for.

use storage_node::replication::rules::Rules;

/// Seeds of the short sweep.
const SEEDS: u64 = 150;
/// A mutant that was not found in so many seeds is not found.
const MUTANT_SEEDS: u64 = 3_000;

/// The mutants that this simulator finds, each with a seed that finds it at once.
const FOUND: [(&str, u64); 12] = [
    ("NoSelfSeal", 6),
    ("NoDedup", 0),
    ("AckBeforeFsync", 3),
    ("NoLeaseOnRead", 4),
    ("TakeoverIgnoresLease", 179),
    ("LaneEpochIsLocal", 0),
    ("AckAnyEpoch", 2),
    ("ShrinkWithoutCas", 4),
    ("AddBeforeAcks", 333),
    ("IncludeEndsByTimeout", 4),
    ("AmnesiacShrinks", 268),
    ("StrangerTakesPart", 36),
];

#[test]
fn no_invariant_breaks_under_faults_and_everything_serves_again_after_them() {
    let failures: Vec<String> = (0..SEEDS)
        .filter_map(|seed| {
            let failure = sim::run(seed, Rules::default(), false).failure?;
            Some(format!("sweep 1 --from {seed}    # {failure}"))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn each_rule_that_is_removed_is_missed() {
    let found = |(mutant, likely): (&str, u64)| {
        let rules = Rules::without(mutant).expect("a mutant of that name");
        std::iter::once(likely)
            .chain(0..MUTANT_SEEDS)
            .any(|seed| sim::run(seed, rules, false).failure.is_some())
    };
    let missed: Vec<_> = FOUND.into_iter().filter(|mutant| !found(*mutant)).collect();
    assert!(missed.is_empty(), "nobody notices {missed:?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| format!("{:?}", sim::run(seed, Rules::default(), false));
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}
