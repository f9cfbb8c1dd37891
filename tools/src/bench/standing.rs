//! How a server stands in its physical group, as `fdht status -o json` tells it. Pure.

use serde_json::Value;

/// A server and the logic groups of its physical group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// How many logic groups there are.
    pub(super) groups: u64,
    /// In how many of them the server is in step.
    pub(super) in_step: u64,
    /// How many lanes it leads; one per group when all is as it should be.
    pub(super) leads: u64,
}

impl Standing {
    /// The standing of a server that status shows.
    pub(super) fn of(status: &Value, server: &str) -> Option<Self> {
        let rows = status["servers"].as_array()?;
        let row = rows.iter().find(|row| row["server"] == server)?;
        Some(Self {
            groups: row["logic_groups"].as_u64()?,
            in_step: row["in_step"].as_u64().unwrap_or(0),
            leads: row["leads"].as_u64().unwrap_or(0),
        })
    }

    /// Whether it is in step in every group.
    pub(super) fn is_in_step(self) -> bool {
        self.groups > 0 && self.in_step == self.groups
    }
}

/// Whether status has nothing to complain of; otherwise what it says.
pub(super) fn whole(status: &Value) -> Result<(), String> {
    let lines = |of: &Value| -> Vec<String> {
        let texts = of.as_array().map_or(&[][..], Vec::as_slice);
        texts.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut all = lines(&status["problems"]);
    all.extend(lines(&status["detail"]));
    if all.is_empty() && status["ready"] != Value::Bool(true) {
        all.push("the proxy is not ready".to_owned());
    }
    if all.is_empty() { Ok(()) } else { Err(all.join("; ")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_is_in_step_when_it_is_in_every_group() {
        let row = |in_step| {
            json!({ "servers": [
                { "server": "a1", "logic_groups": 3, "in_step": 3, "leads": 6 },
                { "server": "a2", "logic_groups": 3, "in_step": in_step, "leads": null },
            ] })
        };
        let some = Standing::of(&row(json!(2)), "a2").unwrap();
        assert_eq!(some, Standing { groups: 3, in_step: 2, leads: 0 });
        assert!(!some.is_in_step());
        assert!(Standing::of(&row(json!(3)), "a2").unwrap().is_in_step());
        assert!(!Standing::of(&row(json!(null)), "a2").unwrap().is_in_step());
        assert_eq!(Standing::of(&row(json!(3)), "b1"), None);
        assert_eq!(Standing::of(&json!([]), "a1"), None);
    }

    #[test]
    fn whole_is_ready_without_problems() {
        whole(&json!({ "ready": true, "detail": [], "problems": [] })).unwrap();
        let problem = json!({ "ready": true, "detail": [], "problems": ["x", "y"] });
        assert_eq!(whole(&problem), Err("x; y".to_owned()));
        let detail = json!({ "ready": false, "detail": ["node a1 is down"], "problems": [] });
        assert_eq!(whole(&detail), Err("node a1 is down".to_owned()));
        assert!(whole(&json!({})).is_err());
    }
}
