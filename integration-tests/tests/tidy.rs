//! Guards the layout that Cargo cannot: lengths of files, who may know whom, leftovers, and metrics
//! against their documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Longest file, in lines; a longer one has two concepts in it. Tests may be longer.
const LINES_MAX: usize = 500;

const PACKAGES: [&str; 7] =
    ["common", "common/rt", "config", "storage-node", "proxy", "tools", "integration-tests"];

/// A crate and the only places (path prefixes) whose code may name it. A node has two kinds of redb
/// files: the groups' data, and what it promised and voted for.
const FENCES: [(&str, &[&str]); 5] = [
    ("redb", &["storage-node/src/engine/", "storage-node/src/control/", "tools/src/bench/engine/"]),
    ("serde_yaml", &["config/src/load.rs"]),
    ("notify", &["config/src/watch.rs"]),
    (
        "storage_node",
        &["tools/src/roles.rs", "tools/src/binlog/format.rs", "tools/src/bench/engine/"],
    ),
    ("proxy", &["tools/src/roles.rs"]),
];

/// A place and the names that may not occur in its code, with the reason.
const STRANGERS: [(&str, &[&str], &str); 9] = [
    (
        "common/src/",
        &["tokio", "hyper", "redb", "serde_yaml", "tracing", "config", "rt"],
        "the vocabulary stays pure",
    ),
    ("common/rt/src/", &["config", "redb", "serde_yaml"], "rt knows no topology"),
    ("config/src/", &["tokio", "rt", "hyper"], "a topology loads without a runtime"),
    ("proxy/src/", &["storage_node", "redb", "serde_yaml"], "the two meet in the wire types"),
    ("storage-node/src/", &["proxy", "serde_yaml"], "the two meet in the wire types"),
    ("storage-node/src/binlog/", &["crate::engine", "super::engine"], "only group knows both"),
    ("storage-node/src/engine/", &["crate::binlog", "super::binlog"], "only group knows both"),
    (
        "storage-node/src/files/",
        &["redb", "crate::binlog", "crate::engine", "crate::control", "common"],
        "files know no content",
    ),
    ("integration-tests/", &["proxy", "storage_node", "common", "rt"], "clients share no code"),
];

/// What a finished program has none of. In pieces, so that this file has none either.
const LEFTOVERS: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("#[", "ignore"),
    concat!("dbg", "!("),
];

struct Source {
    /// Path from the root of the workspace.
    path: String,
    text: String,
}

impl Source {
    /// Lines of code: without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(at, line)| (at + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// The simulator runs the servers' own state machines, and the fuzz targets their decoders.
    fn drives_the_servers_code(&self) -> bool {
        let places = ["integration-tests/sim/", "integration-tests/src/fuzz/"];
        places.iter().any(|place| self.path.starts_with(place))
    }

    fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }
}

fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("the package is in the workspace").to_owned()
}

fn sources() -> Vec<Source> {
    let root = workspace();
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = PACKAGES.iter().map(|package| root.join(package)).collect();
    let mut seen = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        if !seen.insert(folder.clone()) {
            continue;
        }
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // What Cargo builds is no source; the fuzzer's workspace has its own folder for it.
                if !path.ends_with("target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.push(Source { path, text });
            }
        }
    }
    assert!(found.len() > 100, "the sources were not found");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Fails with everything that is wrong, not only the first.
#[track_caller]
fn none(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n  {}", wrong.join("\n  "));
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether a line names a crate as the beginning of a path: `name::x`, `use name;`, `use name as`.
fn names(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + name.len()..]);
        // `crate::config::x`, `self::rt::y` are our own modules, `"text"` is none at all.
        let starts = !before.ends_with("::") && !before.ends_with(is_word);
        let quoted = before.matches('"').count() % 2 == 1;
        let imported = before.trim_end().ends_with("use");
        let used = after.starts_with("::") || (imported && !after.starts_with(is_word));
        starts && used && !quoted
    })
}

#[test]
fn no_file_is_too_long() {
    let long = |source: &Source| {
        let lines = source.text.lines().count();
        (lines > LINES_MAX && !source.is_test()).then(|| format!("{}: {lines} lines", source.path))
    };
    let wrong: Vec<String> = sources().iter().filter_map(long).collect();
    none("split these", &wrong);
}

#[test]
fn one_place_names_each_heavy_dependency() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (name, places) in FENCES {
            let own = source.path.starts_with(&format!("{}/", name.replace('_', "-")));
            let allowed = places.iter().any(|place| source.path.starts_with(place));
            if own || allowed || source.drives_the_servers_code() {
                continue;
            }
            let lines = source.code().filter(|(_, line)| names(line, name));
            wrong.extend(lines.map(|(at, _)| format!("{}:{at} names {name}", source.path)));
        }
    }
    none("only their own places may know these", &wrong);
}

#[test]
fn dependencies_point_one_way() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (place, strangers, why) in STRANGERS {
            if !source.path.starts_with(place) || source.drives_the_servers_code() {
                continue;
            }
            for (at, line) in source.code() {
                let stranger = strangers.iter().find(|name| names(line, name));
                wrong.extend(stranger.map(|s| format!("{}:{at} names {s}: {why}", source.path)));
            }
        }
    }
    none("these may not know each other", &wrong);
}

#[test]
fn packages_depend_on_what_they_may() {
    let forbidden: [(&str, &[&str]); 6] = [
        ("common", &["tokio", "hyper", "redb", "serde_yaml", "dashmap", "rt", "config"]),
        ("common/rt", &["config", "proxy", "storage-node", "redb", "serde_yaml"]),
        ("config", &["rt", "proxy", "storage-node", "tokio", "redb"]),
        ("storage-node", &["proxy", "tools", "serde_yaml", "notify"]),
        ("proxy", &["storage-node", "tools", "redb", "serde_yaml", "notify"]),
        ("tools", &["integration-tests", "serde_yaml", "notify"]),
    ];
    let mut wrong = Vec::new();
    for (package, names) in forbidden {
        let manifest = fs::read_to_string(workspace().join(package).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("[dev-dependencies]").next().unwrap();
        for name in names {
            let named = dependencies.lines().any(|line| {
                let rest = line.strip_prefix(name).unwrap_or("-");
                rest.starts_with([' ', '.', '='])
            });
            if named {
                wrong.push(format!("{package} depends on {name}"));
            }
        }
    }
    none("dependencies in the wrong direction", &wrong);
}

#[test]
fn mod_files_only_document_and_re_export() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|s| s.path.ends_with("/mod.rs")) {
        let mut lines = source.code();
        let function = lines.find(|(_, line)| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.iter().take(4).any(|word| *word == "fn")
        });
        wrong.extend(function.map(|(at, _)| format!("{}:{at} has a function", source.path)));
    }
    none("logic lives in named files", &wrong);
}

#[test]
fn nothing_is_left_over() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (at, line) in source.text.lines().enumerate() {
            let found = LEFTOVERS.iter().find(|word| line.contains(**word));
            wrong.extend(found.map(|word| format!("{}:{} has {word}", source.path, at + 1)));
        }
    }
    none("finish these", &wrong);
}

/// Names of metrics in a text: `fdht_proxy_...` and `fdht_node_...`.
fn metric_names(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for prefix in ["fdht_proxy_", "fdht_node_"] {
        for (at, _) in text.match_indices(prefix) {
            let name: String = text[at..].chars().take_while(|c| is_word(*c)).collect();
            if name.len() > prefix.len() && !text[..at].ends_with(is_word) {
                names.insert(name);
            }
        }
    }
    names
}

#[test]
fn every_metric_is_documented_and_every_documented_one_exists() {
    let path = workspace().join("docs/METRICS.md");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let documented = metric_names(&text);
    let mut used: BTreeMap<String, String> = BTreeMap::new();
    for source in sources().iter().filter(|s| !s.path.starts_with("integration-tests/")) {
        for (at, line) in source.code() {
            for name in metric_names(line) {
                used.entry(name).or_insert_with(|| format!("{}:{at}", source.path));
            }
        }
    }
    let mut wrong = Vec::new();
    for (name, place) in &used {
        if !documented.contains(name) {
            wrong.push(format!("{name} ({place}) is not in docs/METRICS.md"));
        }
    }
    for name in &documented {
        if !used.contains_key(name) {
            wrong.push(format!("{name} is in docs/METRICS.md, but not in the code"));
        }
    }
    none("code and documentation differ", &wrong);
    assert!(!used.is_empty(), "there are metrics");
}

#[test]
fn a_name_is_found_as_a_path_and_not_inside_other_words() {
    for line in ["use lego::Brick;", "let x = lego::Brick::new(p)?;", "use lego as l;"] {
        assert!(names(line, "lego"), "{line}");
    }
    for line in ["use crate::lego::x;", "my_lego::x()", "say(\"lego::x\")", "use legos::x;"] {
        assert!(!names(line, "lego"), "{line}");
    }
}
