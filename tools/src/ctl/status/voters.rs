//! Whether the voters are there, and are those of the file. Pure.
//!
//! A voter without data has no group whose state would show that it is away; yet the next one that
//! stops may be one too many.

use std::collections::BTreeSet;

use serde_json::Value;

use super::node::NodeVoters;
use super::survey::AllTold;
use crate::ctl::admin::items;

/// The voters as the proxy's topology names them.
pub(super) fn of_file(topology: &Value) -> Vec<&str> {
    items(&topology["voters"]).iter().filter_map(Value::as_str).collect()
}

/// The voters in force: those of the greatest generation that a node knows.
pub(super) fn in_force(told: &AllTold) -> Option<&NodeVoters> {
    let known = told.values().flatten().filter_map(|told| told.voters.as_ref());
    known.max_by_key(|voters| voters.generation).filter(|voters| voters.generation > 0)
}

/// What is not as it should be, a line each. A voter that cannot be asked has its line already.
pub(super) fn problems(topology: &Value, told: &AllTold) -> Vec<String> {
    let Some(voters) = in_force(told) else { return Vec::new() };
    let generation = voters.generation;
    let mut problems = Vec::new();
    for voter in &voters.voters {
        let known = told.get(voter).map(|answer| answer.as_ref().map(|told| &told.voters));
        match known {
            None => problems.push(format!(
                "voter {voter} (generation {generation}) is no server of the topology file, so \
                 nobody can reach it: name it there, or replace it (`fdht failover`)"
            )),
            Some(Ok(Some(known))) if known.generation < generation => problems.push(format!(
                "voter {voter} knows voter generation {} only, not {generation}, and does not vote",
                known.generation
            )),
            Some(_) => {}
        }
    }
    let file = of_file(topology);
    let same = file.iter().copied().collect::<BTreeSet<_>>()
        == voters.voters.iter().map(String::as_str).collect();
    if !file.is_empty() && !same {
        problems.push(format!(
            "the topology file names voters {}, but {} (generation {generation}) are in force: \
             write these into the file, with a greater epoch",
            file.join(", "),
            voters.voters.join(", ")
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ctl::status::node::Told;
    use crate::ctl::status::survey::survey;

    /// `name` knows this voter set.
    fn knows(name: &str, generation: u64, voters: &[&str]) -> (String, Result<Told, String>) {
        let nodes = json!([{ "voters": { "generation": generation, "voters": voters } }]);
        (name.to_owned(), Told::of_json(json!([]), json!([]), nodes))
    }

    fn lines(file: &[&str], told: AllTold) -> Vec<String> {
        survey(&json!({ "voters": file }), &json!([]), &told).problems
    }

    #[test]
    fn voters_that_answer_and_are_the_files_are_fine() {
        let set = ["a1", "b1", "w1"];
        let told = set.map(|name| knows(name, 2, &set));
        assert!(lines(&["w1", "a1", "b1"], told.clone().into()).is_empty(), "in any order");
        assert!(lines(&[], told.into()).is_empty(), "a file need not name them");
        assert!(lines(&set, AllTold::new()).is_empty());
    }

    #[test]
    fn a_voter_that_is_down_is_a_problem() {
        let set = ["a1", "b1", "w1"];
        let away = ("w1".to_owned(), Err("127.0.0.1:9: refused".to_owned()));
        let told = [knows("a1", 2, &set), knows("b1", 2, &set), away];
        assert_eq!(lines(&set, told.into()), ["w1 cannot be asked: 127.0.0.1:9: refused"]);
    }

    #[test]
    fn another_set_than_the_files_is_a_problem() {
        let new = ["b1", "w1", "a2"];
        let told =
            [knows("a2", 3, &new), knows("b1", 3, &new), knows("w1", 1, &["a1", "b1", "w1"])];
        let lines = lines(&["a1", "b1", "w1"], told.into());
        assert_eq!(lines[0], "voter w1 knows voter generation 1 only, not 3, and does not vote");
        let part = "the topology file names voters a1, b1, w1, but b1, w1, a2 (generation 3) are";
        assert!(lines[1].starts_with(part) && lines.len() == 2, "{lines:?}");
    }

    #[test]
    fn a_voter_that_the_file_does_not_know_is_a_problem() {
        let told = [knows("a1", 3, &["a1", "7"])];
        let lines = lines(&[], told.into());
        assert!(lines[0].starts_with("voter 7 (generation 3) is no server of"), "{lines:?}");
    }
}
