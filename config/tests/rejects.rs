//! Refused files: one mistake each in `tests/rejects/NAME.yaml`, what is said in `NAME.txt`; several
//! mistakes at once; text that is no topology at all.

use std::fs;
use std::path::Path;

use config::{FILE_BYTES_MAX, LoadError, Topology};
use proptest::prelude::*;

const VALID: &str = include_str!("../samples/prod-two-groups.yaml");

fn refusal(text: &str) -> String {
    match Topology::parse(text) {
        Ok(_) => "(accepted)".to_owned(),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn every_mistake_is_named_with_line_path_and_advice() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rejects");
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            count += 1;
            let found = refusal(&fs::read_to_string(&path).unwrap());
            let expected = fs::read_to_string(path.with_extension("txt")).unwrap_or_default();
            if found != expected.trim_end() {
                wrong.push(format!("{}\n{found}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} differ:\n\n{}", wrong.len(), wrong.join("\n\n"));
    assert!(count >= 60, "only {count} files were found");
}

#[test]
fn a_file_with_five_mistakes_gets_five_answers() {
    let text = "\
format: 1
cluster: demo
epoch: seven
logic_groups: 17
servers:
  a1: { adress: \"10.0.0.1:12300\", admin: \"10.0.0.1:12380\" }
  a2: { address: \"10.0.0.2:12300\", admin: \"10.0.0.2:12380\" }
  a2: { address: \"10.0.0.3:12300\", admin: \"10.0.0.3:12380\" }
physical_groups:
  a: { servers: [a1, a2, a4], logic_groups: \"0-15\" }
";
    assert_eq!(
        refusal(text),
        "\
line 3: epoch: expected a number, found the text \"seven\"; write one
line 6: servers.a1: unknown key `adress`; did you mean `address`?
line 8: servers: duplicate key \"a2\", first on line 7; remove one
line 9: physical_groups: logic group 16 is assigned to no group; add each to one
line 10: physical_groups.a.servers[2]: there is no server \"a4\"; add it to `servers` or remove it here"
    );
    assert_eq!(Topology::parse(text).unwrap_err().len(), 5);
}

/// I12: what an interrupted write leaves of a file is refused or a whole topology, never a panic.
#[test]
fn every_byte_prefix_is_refused_or_a_topology() {
    let mut accepted = 0;
    for end in 0..VALID.len() {
        let Ok(prefix) = std::str::from_utf8(&VALID.as_bytes()[..end]) else {
            continue;
        };
        match Topology::parse(prefix) {
            Err(problems) => assert!(!problems.is_empty() && !problems.to_string().is_empty()),
            Ok(topology) => {
                accepted += 1;
                assert!(end > VALID.find("30-59").unwrap(), "accepted {end} bytes");
                assert_eq!(topology.text(), prefix);
            }
        }
    }
    assert!(accepted > 0, "the file is complete before its optional end");
}

#[test]
fn every_file_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("topology.yaml");
    let load = || Topology::load(&path).unwrap_err();

    assert!(matches!(load(), LoadError::Io { .. }));
    assert!(
        load()
            .to_string()
            .starts_with(&format!("cannot read the topology file {}", path.display()))
    );

    fs::write(&path, [b"cluster: \xff".as_slice()].concat()).unwrap();
    assert!(matches!(load(), LoadError::NotUtf8 { offset: 9, .. }));

    fs::write(&path, "#".repeat(FILE_BYTES_MAX + 1)).unwrap();
    assert!(matches!(load(), LoadError::TooLarge { .. }));
    assert!(load().to_string().contains("larger than 1 MiB"));

    // As large as allowed, and a topology.
    let text = format!("{VALID}{}\n", "#".repeat(FILE_BYTES_MAX - VALID.len() - 1));
    fs::write(&path, &text).unwrap();
    assert_eq!(Topology::load(&path).unwrap().text(), text);
    assert_eq!(refusal(&format!("{text}#")).lines().count(), 1);

    fs::write(&path, "format: 2\n").unwrap();
    let text = load().to_string();
    assert!(text.contains("topology.yaml is refused:\nline 1: "), "{text}");
}

#[test]
fn hostile_files_cost_little() {
    let many_keys: String = (0..60_000).map(|n| format!("key{n}: 1\n")).collect();
    assert!(refusal(&many_keys).ends_with("more problems; correct these first"));
    let ranges = "0-16383,".repeat(100_000) + "0";
    let text = VALID.replace("logic_groups: 61", "logic_groups: 16384").replace("30-59", &ranges);
    assert!(refusal(&text).contains("61-16383 are listed twice here"));
    for nested in ["[", "{a: ", "- ", "? ", "[{a: "] {
        assert!(refusal(&nested.repeat(10_000)).starts_with("line 1: "));
    }
    let indented: String = (0..500).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    assert!(refusal(&indented).contains("line 1"));
}

proptest! {
    /// Any damage to a valid file is answered, not suffered.
    #[test]
    fn damaged_files_never_panic(
        at in 0..VALID.len(),
        cut in 0..40_usize,
        insert in prop_oneof![
            "\\PC{0,8}",
            prop::sample::select(vec!["{", "}", "[", "]", ":", "- ", "&a ", "*a", "!t ", "\n", "\t",
                "<<: ", "? ", "|", ">", "\"", "'", "#", "---\n", "...\n", "%YAML 1.2\n", "~", "0"])
                .prop_map(str::to_owned),
        ],
    ) {
        let mut bytes = VALID.as_bytes().to_vec();
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, insert.bytes());
        if let Ok(text) = String::from_utf8(bytes) {
            match Topology::parse(&text) {
                Ok(topology) => prop_assert_eq!(topology.text(), text),
                Err(problems) => prop_assert!(!problems.is_empty()),
            }
        }
    }
}
