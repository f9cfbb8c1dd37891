//! What `fdht verify` has found, as a person and as a program reads it.

use serde_json::{Value, json};

use super::judge::State;
use crate::console;

/// So many differing keys are named for each group.
const KEYS_NAMED_MAX: usize = 20;

/// How a server stands to the one it was compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// All it shows is equal; also the server that the others were compared with.
    Equal,
    /// Some keys differ.
    Different,
    /// It was not compared, and why.
    NotCompared(String),
}

impl Standing {
    fn word(&self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Different => "different",
            Self::NotCompared(_) => "not compared",
        }
    }
}

/// A key that two servers show differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DifferingKey {
    /// Server index of its lane.
    pub(super) lane: usize,
    /// Its address as JSON text.
    pub(super) address: String,
    /// The servers, by name, and what they show; absent: nothing.
    pub(super) servers: [(String, Option<State>); 2],
}

/// What became of one logic group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GroupResult {
    /// The logic group.
    pub(super) group: u64,
    /// The physical group.
    pub(super) physical: String,
    /// Its servers, by name.
    pub(super) servers: Vec<(String, Standing)>,
    /// The differing keys that were found.
    pub(super) keys: Vec<DifferingKey>,
    /// There may be more of them.
    pub(super) more: bool,
}

impl GroupResult {
    /// Notes how a server stands. A difference that was found stays.
    pub(super) fn mark(&mut self, server: usize, standing: Standing) {
        if let Some((_, known)) = self.servers.get_mut(server)
            && *known != Standing::Different
        {
            *known = standing;
        }
    }

    /// The group as a whole: a difference outweighs what was not compared.
    pub(super) fn standing(&self) -> Standing {
        if self.servers.iter().any(|(_, standing)| *standing == Standing::Different) {
            return Standing::Different;
        }
        let reasons: Vec<String> = self.servers.iter().filter_map(reason).collect();
        if reasons.is_empty() { Standing::Equal } else { Standing::NotCompared(reasons.join("; ")) }
    }

    fn json(&self) -> Value {
        let servers: Vec<Value> = (self.servers.iter())
            .map(|(name, standing)| {
                let reason = match standing {
                    Standing::NotCompared(reason) => Some(reason),
                    Standing::Equal | Standing::Different => None,
                };
                json!({ "server": name, "state": standing.word(), "reason": reason })
            })
            .collect();
        json!({
            "group": self.group, "physical_group": self.physical,
            "state": self.standing().word(), "servers": servers,
            "differing_keys": self.keys.len(), "more": self.more,
            "keys": self.keys.iter().take(KEYS_NAMED_MAX).map(key_json).collect::<Vec<_>>(),
        })
    }

    /// Lines about what is not equal; none when all is.
    fn lines(&self) -> Vec<String> {
        let head = match self.standing() {
            Standing::Equal => return Vec::new(),
            Standing::NotCompared(reasons) => format!("not compared: {reasons}"),
            Standing::Different => {
                let reasons: Vec<String> = self.servers.iter().filter_map(reason).collect();
                let count =
                    format!("{}{}", if self.more { "at least " } else { "" }, self.keys.len());
                let mut head = format!("different: {count} keys");
                if !reasons.is_empty() {
                    head.push_str(&format!("; not compared: {}", reasons.join("; ")));
                }
                head
            }
        };
        let mut lines = vec![format!("group {} ({}) {head}", self.group, self.physical)];
        lines.extend(self.keys.iter().take(KEYS_NAMED_MAX).map(key_line));
        let unnamed = self.keys.len().saturating_sub(KEYS_NAMED_MAX);
        if unnamed > 0 {
            lines.push(format!("  and {unnamed} more"));
        }
        lines
    }
}

fn reason((name, standing): &(String, Standing)) -> Option<String> {
    match standing {
        Standing::NotCompared(reason) => Some(format!("{name}: {reason}")),
        Standing::Equal | Standing::Different => None,
    }
}

fn key_json(key: &DifferingKey) -> Value {
    let mut members = match serde_json::from_str(&key.address) {
        Ok(Value::Object(members)) => members,
        _ => serde_json::Map::new(),
    };
    let servers: Vec<Value> = (key.servers.iter())
        .map(|(name, state)| {
            let (version, hash) = state.as_ref().map(|s| (&s.version, &s.hash)).unzip();
            json!({ "server": name, "version": version, "hash": hash })
        })
        .collect();
    members.insert("lane".to_owned(), json!(key.lane));
    members.insert("servers".to_owned(), json!(servers));
    Value::Object(members)
}

fn key_line(key: &DifferingKey) -> String {
    let shown = key.servers.each_ref().map(|(name, state)| match state {
        Some(state) => format!("{name} has version {} hash {}", state.version, state.hash),
        None => format!("{name} has none"),
    });
    format!("  {}: {}", key.address, shown.join(", "))
}

/// Everything as one JSON object.
pub(super) fn as_json(results: &[GroupResult]) -> Value {
    let [equal, different, not_compared] = counts(results);
    json!({
        "equal": equal, "different": different, "not_compared": not_compared,
        "groups": results.iter().map(GroupResult::json).collect::<Vec<_>>(),
    })
}

/// A row per physical group, and lines about what is not equal.
pub(super) fn as_text(results: &[GroupResult]) -> String {
    let mut physical: Vec<&str> = results.iter().map(|r| r.physical.as_str()).collect();
    physical.sort_unstable();
    physical.dedup();
    let row = |name: &str| {
        let own: Vec<GroupResult> =
            results.iter().filter(|r| r.physical == name).cloned().collect();
        let servers = own.first().map(|r| &r.servers[..]).unwrap_or_default();
        let servers: Vec<&str> = servers.iter().map(|(name, _)| name.as_str()).collect();
        let [equal, different, not_compared] = counts(&own).map(|count| count.to_string());
        vec![name.to_owned(), servers.join(", "), equal, different, not_compared]
    };
    let header = ["physical group", "servers", "groups equal", "different", "not compared"];
    let mut lines = vec![console::table(&header, physical.into_iter().map(row).collect())];
    lines.extend(results.iter().flat_map(GroupResult::lines));
    lines.join("\n")
}

/// Groups that are equal, different, not compared.
pub(super) fn counts(results: &[GroupResult]) -> [usize; 3] {
    let count = |word: &str| results.iter().filter(|r| r.standing().word() == word).count();
    ["equal", "different", "not compared"].map(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(group: u64, a2: Standing, keys: usize) -> GroupResult {
        let state = State { version: "07".into(), hash: "0a".into() };
        let key = |n: usize| DifferingKey {
            lane: 1,
            address: format!(r#"{{"field":null,"namespace":"ns","object":"o{n}"}}"#),
            servers: [("a1".into(), Some(state.clone())), ("a2".into(), None)],
        };
        GroupResult {
            group,
            physical: "a".into(),
            servers: vec![("a1".into(), Standing::Equal), ("a2".into(), a2)],
            keys: (0..keys).map(key).collect(),
            more: false,
        }
    }

    #[test]
    fn differing_keys_are_named_and_the_rest_is_counted() {
        let results = [group(0, Standing::Equal, 0), group(3, Standing::Different, 23)];
        assert_eq!(counts(&results), [1, 1, 0]);
        let text = as_text(&results);
        let lines: Vec<&str> =
            text.lines().filter(|line| !line.contains(['│', '─', '╞'])).collect();
        assert_eq!(lines[0], "group 3 (a) different: 23 keys");
        let first = r#"  {"field":null,"namespace":"ns","object":"o0"}: a1 has version 07 hash 0a, a2 has none"#;
        assert_eq!(lines[1], first);
        assert_eq!((lines.len(), lines[21]), (22, "  and 3 more"));
        let json = as_json(&results);
        assert_eq!((&json["equal"], &json["different"]), (&json!(1), &json!(1)));
        let group = &json["groups"][1];
        assert_eq!((&group["state"], &group["differing_keys"]), (&json!("different"), &json!(23)));
        assert_eq!(group["keys"].as_array().unwrap().len(), 20);
        assert_eq!(group["keys"][0]["object"], "o0");
        let missing = json!({ "server": "a2", "version": null, "hash": null });
        assert_eq!(group["keys"][0]["servers"][1], missing);
    }

    #[test]
    fn a_server_that_was_not_compared_is_named_with_its_reason() {
        let away = Standing::NotCompared("not in step".into());
        let results = [group(4, away.clone(), 0)];
        assert_eq!(counts(&results), [0, 0, 1]);
        assert!(as_text(&results).ends_with("group 4 (a) not compared: a2: not in step"));
        assert_eq!(as_json(&results)["groups"][0]["servers"][1]["reason"], "not in step");
        let mut both = group(5, Standing::Different, 1);
        both.servers.push(("a3".into(), away));
        both.more = true;
        let text = as_text(&[both]);
        assert!(
            text.contains("different: at least 1 keys; not compared: a3: not in step"),
            "{text}"
        );
    }
}
