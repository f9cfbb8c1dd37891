//! Every fuzz target over its corpus, every truncation of it and random mutations, on stable Rust and
//! the same in every run. `FUZZ_TIMES=100` tries a hundred times as many mutations, `FUZZ_SEED=n`
//! others, `FUZZ_ONLY=name` those of one target.

use std::alloc::System;
use std::collections::BTreeSet;
use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use harness::fuzz::{Campaign, Memory, Seed, TARGETS, Target, corpus, drive};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What is allocated is counted for the whole process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn allocated() -> u64 {
    ALLOCATOR.stats().bytes_allocated as u64
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

#[test]
fn every_decoder_keeps_the_rules_for_its_corpus_and_what_comes_of_it() {
    let _alone = alone();
    let campaign = Campaign {
        seed: setting("FUZZ_SEED", 1),
        times: u32::try_from(setting("FUZZ_TIMES", 1)).expect("FUZZ_TIMES has 32 bits"),
        allocated,
        patience: Duration::from_secs(10),
    };
    let only = std::env::var("FUZZ_ONLY").ok();
    let chosen = |target: &&Target| only.as_ref().is_none_or(|only| only == target.name);
    let mut findings = Vec::new();
    for target in TARGETS.iter().filter(chosen) {
        match drive(*target, corpus::read(target.name), campaign) {
            Ok(inputs) => assert!(inputs > u64::from(target.rounds), "{inputs} inputs only"),
            Err(finding) => findings.push(finding.to_string()),
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n\n"));
}

#[test]
fn corpora_are_in_step_with_what_they_are_derived_from() {
    let _alone = alone();
    let write = std::env::var_os("FUZZ_WRITE_CORPUS").is_some();
    for target in TARGETS {
        if write {
            corpus::write_derived(target.name);
        }
        let there = corpus::read(target.name);
        assert!(!there.is_empty(), "{} has no corpus", target.name);
        let mut derived = there;
        derived.retain(|seed| seed.name.starts_with(corpus::DERIVED));
        assert!(
            derived == corpus::derived(target.name),
            "the corpus of {} is old: run this test with FUZZ_WRITE_CORPUS=1",
            target.name
        );
    }
    let entries = fs::read_dir(corpus::folder("")).unwrap();
    let folders = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = TARGETS.iter().map(|target| target.name.to_owned());
    assert_eq!(folders.collect::<BTreeSet<_>>(), names.collect(), "corpora of no target");
}

/// A decoder with one mistake for each rule: it believes a count, panics, or never ends.
fn planted(bytes: &[u8]) {
    let Some((count, rest)) = bytes.split_first_chunk::<4>() else { return };
    match (u32::from_le_bytes(*count), rest) {
        (0x7fff_ffff, [b'p', ..]) => panic!("planted"),
        (count @ 0xffff.., [b'm', ..]) => {
            drop(std::hint::black_box(Vec::<u8>::with_capacity(count.min(1 << 20) as usize)));
        }
        (0x100, [b'h', ..]) => loop {
            thread::park();
        },
        _ => {}
    }
}

#[test]
fn planted_mistakes_are_found() {
    let _alone = alone();
    let memory = Memory { flat: 16 << 10, per_byte: 16 };
    let target = Target { name: "planted", run: planted, rounds: 20_000, memory };
    let patience = Duration::from_secs(2);
    let campaign = Campaign { seed: 1, times: 1, allocated, patience };
    for (kind, what) in [(b'p', "panicked: planted"), (b'm', "allocated "), (b'h', "still running")]
    {
        let seed = Seed { name: "seed".to_owned(), bytes: vec![2, 0, 0, 0, kind, 0, 0] };
        let finding = drive(target, vec![seed], campaign).expect_err(what);
        assert!(finding.what.starts_with(what), "{finding}");
        assert!(finding.origin.starts_with("seed changed, seed 1, round "), "{finding}");
        assert_eq!(finding.input[4], kind, "{finding}");
        let again = finding.to_string();
        assert!(again.contains(&format!("bytes: {:02x}", finding.input[0])), "{again}");
    }
    let seed = Seed { name: "seed".to_owned(), bytes: vec![2, 0, 0, 0, b'x'] };
    let small = Target { rounds: 50, ..target };
    assert!(drive(small, vec![seed], campaign).is_ok_and(|tried| tried == 56));
}
