//! Which cases were asked for, one after the other.

use std::collections::BTreeSet;

use clap::ValueEnum;

use super::always::always;
use super::args::{Case, EngineArgs};
use super::density::density;
use super::expiry::expiry;
use super::lab::Lab;
use super::memtable::memtable;
use super::open::open;
use super::place::Place;
use super::puts::puts;
use super::range::range;
use super::reads::reads;
use super::report;
use super::sizes::Sizes;
use crate::bench::BenchError;

/// Runs `fdht bench engine`. Targets that are missed are no error.
pub(in crate::bench) fn engine(args: &EngineArgs) -> Result<(), BenchError> {
    let sizes = Sizes::new(args)?;
    // Before everything that is in it, so that it is dropped last.
    let place = Place::create(args.dir.as_deref())?;
    let all = args.cases.is_empty();
    let asked = Case::value_variants().iter().filter(|case| all || args.cases.contains(case));
    let cases: BTreeSet<Case> = asked.copied().collect();
    let mut lab = Lab::new(&place, &sizes);
    report::print_head(&sizes);
    for case in cases {
        let section = match case {
            Case::Open => open(&mut lab),
            Case::Memtable => memtable(&mut lab),
            Case::Range => range(&mut lab),
            Case::Always => always(&mut lab),
            Case::Puts | Case::Zipf => puts(&mut lab, case),
            Case::Reads => reads(&mut lab),
            Case::Density => density(&mut lab),
            Case::Expiry => expiry(&mut lab),
        }?;
        report::print(&section);
    }
    Ok(())
}
