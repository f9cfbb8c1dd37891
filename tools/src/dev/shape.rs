//! The shape of a new cluster as a topology file, and whether flags fit an old one. Pure.

use std::fmt::Write;
use std::path::Path;

use config::Topology;

use super::DevError;
use super::args::DevArgs;

/// The name of a local cluster.
const CLUSTER: &str = "dev";
/// The voter without data. One voter could not fail; two are no better than one.
const VOTER: &str = "v1";
/// Physical groups, servers in each and logic groups unless told otherwise.
const DEFAULTS: (u16, u8, u16) = (2, 2, 17);

/// How many of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    groups: u16,
    servers_per_group: u8,
    logic_groups: u16,
}

impl Shape {
    /// The shape that the flags ask for.
    pub(super) fn of(args: &DevArgs) -> Result<Self, DevError> {
        let groups = args.groups.unwrap_or(DEFAULTS.0);
        let logic_groups = args.logic_groups.unwrap_or(DEFAULTS.2);
        if logic_groups < groups {
            return Err(DevError::TooFewLogicGroups { groups, logic_groups });
        }
        let servers_per_group = args.servers_per_group.unwrap_or(DEFAULTS.1);
        Ok(Self { groups, servers_per_group, logic_groups })
    }

    /// How many servers hold data.
    fn data_servers(self) -> usize {
        usize::from(self.groups) * usize::from(self.servers_per_group)
    }

    /// How many servers there are.
    pub(super) fn servers(self) -> usize {
        self.data_servers() + usize::from(self.data_servers() > 1)
    }

    /// The servers that keep the registers: any one of three may fail.
    fn voters(self) -> String {
        match (self.groups, self.servers_per_group) {
            (1, 1) => "a1".to_owned(),
            (1, _) => format!("a1, a2, {VOTER}"),
            _ => format!("a1, b1, {VOTER}"),
        }
    }

    /// The topology file. Takes two ports per server: address and admin.
    pub(super) fn topology(self, ports: &[u16]) -> String {
        assert_eq!(ports.len(), self.servers() * 2, "two ports per server");
        let (mut names, mut groups) = (Vec::new(), String::new());
        for group in 0..self.groups {
            let letter = group_name(group);
            let own: Vec<String> =
                (1..=self.servers_per_group).map(|n| format!("{letter}{n}")).collect();
            let (from, to) = self.range(group);
            let list = own.join(", ");
            put(
                &mut groups,
                format_args!("  {letter}: {{ servers: [{list}], logic_groups: \"{from}-{to}\" }}"),
            );
            names.extend(own);
        }
        names.extend((self.servers() > self.data_servers()).then(|| VOTER.to_owned()));
        let mut servers = String::new();
        for (name, ports) in names.iter().zip(ports.chunks_exact(2)) {
            if let [address, admin] = ports {
                put(
                    &mut servers,
                    format_args!(
                        "  {name}: {{ address: \"127.0.0.1:{address}\", admin: \"127.0.0.1:{admin}\" }}"
                    ),
                );
            }
        }
        format!(
            "# Written by `fdht dev`. It may be edited: raise the epoch with every change.\n\
             format: 1\ncluster: {CLUSTER}\nepoch: 1\nlogic_groups: {}\nservers:\n{servers}\
             voters: [{}]\nphysical_groups:\n{groups}write: {{ acks: step, sync: everysec }}\n\
             namespaces: {{}}\n",
            self.logic_groups,
            self.voters(),
        )
    }

    /// The first and the last logic group of a physical group: even shares, in order.
    fn range(self, group: u16) -> (u32, u32) {
        let start =
            |group: u16| u32::from(group) * u32::from(self.logic_groups) / u32::from(self.groups);
        (start(group), start(group + 1) - 1)
    }
}

fn put(to: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(to, "{line}").expect("a String takes everything");
}

fn group_name(group: u16) -> char {
    let mut letters = ('a'..='z').filter(|letter| !VOTER.starts_with(*letter));
    letters.nth(usize::from(group)).expect("at most GROUPS_MAX")
}

/// Whether what the flags ask for is what the cluster at `path` is. Flags that were left out fit.
pub(super) fn check(args: &DevArgs, topology: &Topology, path: &Path) -> Result<(), DevError> {
    let contradiction = |has: String, flag: String| {
        Err(DevError::Contradiction { path: path.to_owned(), has, flag })
    };
    let groups = topology.physical_groups();
    if let Some(wanted) = args.groups
        && groups.len() != usize::from(wanted)
    {
        let has = format!("{} physical groups", groups.len());
        return contradiction(has, format!("--groups {wanted}"));
    }
    if let Some(wanted) = args.servers_per_group {
        let other = groups.iter().find(|g| g.servers.len() != usize::from(wanted));
        if let Some(group) = other {
            let has = format!("{} servers in physical group {}", group.servers.len(), group.name);
            return contradiction(has, format!("--servers-per-group {wanted}"));
        }
    }
    if let Some(wanted) = args.logic_groups
        && topology.logic_groups() != wanted
    {
        let has = format!("{} logic groups", topology.logic_groups());
        return contradiction(has, format!("--logic-groups {wanted}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::args::GROUPS_MAX;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        dev: DevArgs,
    }

    fn args(flags: &str) -> DevArgs {
        let words = std::iter::once("dev").chain(flags.split_whitespace());
        Cli::try_parse_from(words).unwrap().dev
    }

    #[test]
    fn every_shape_is_a_valid_topology_with_even_shares() {
        for groups in [1, 2, 3, 17, GROUPS_MAX] {
            for servers_per_group in [1, 2, 3, 16] {
                for logic_groups in [groups, 61.max(groups)] {
                    let shape = Shape { groups, servers_per_group, logic_groups };
                    let ports: Vec<u16> = (20_000..).take(shape.servers() * 2).collect();
                    let text = shape.topology(&ports);
                    let topology = Topology::parse(&text)
                        .unwrap_or_else(|problems| panic!("{shape:?}\n{text}\n{problems}"));
                    let shares: Vec<usize> =
                        topology.physical_groups().iter().map(|g| g.logic_groups.len()).collect();
                    let (least, most) = (shares.iter().min(), shares.iter().max());
                    assert!(most.unwrap() - least.unwrap() <= 1, "{shares:?}");
                    assert_eq!(topology.servers().len(), shape.servers());
                }
            }
        }
    }

    #[test]
    fn any_one_of_three_voters_may_fail() {
        for (flags, voters, without_data) in [
            ("--groups 1 --servers-per-group 1", "a1", false),
            ("--groups 1", "a1, a2, v1", true),
            ("--groups 1 --servers-per-group 3", "a1, a2, v1", true),
            ("--groups 2 --servers-per-group 1", "a1, b1, v1", true),
            ("", "a1, b1, v1", true),
        ] {
            let shape = Shape::of(&args(flags)).unwrap();
            let ports: Vec<u16> = (1..).take(shape.servers() * 2).collect();
            let text = shape.topology(&ports);
            assert!(text.contains(&format!("\nvoters: [{voters}]\n")), "{text}");
            let topology = Topology::parse(&text).unwrap();
            let voter = topology.server(VOTER).map(|server| topology.place_of_server(server.id));
            assert_eq!(voter, without_data.then_some(None), "{text}");
        }
    }

    #[test]
    fn servers_are_named_after_their_group() {
        let text = Shape::of(&args("")).unwrap().topology(&(1..=10).collect::<Vec<_>>());
        assert!(
            text.contains("b1: { address: \"127.0.0.1:5\", admin: \"127.0.0.1:6\" }"),
            "{text}"
        );
        assert!(text.contains("a: { servers: [a1, a2], logic_groups: \"0-7\" }"), "{text}");
        assert!(text.contains("b: { servers: [b1, b2], logic_groups: \"8-16\" }"), "{text}");
    }

    #[test]
    fn flags_that_contradict_the_kept_file_are_refused() {
        let text = Shape::of(&args("")).unwrap().topology(&(1..=10).collect::<Vec<_>>());
        let topology = Topology::parse(&text).unwrap();
        let path = Path::new("d/topology.yaml");
        for fine in ["", "--groups 2", "--servers-per-group 2 --logic-groups 17"] {
            check(&args(fine), &topology, path).unwrap();
        }
        for wrong in ["--groups 3", "--servers-per-group 1", "--logic-groups 61"] {
            let error = check(&args(wrong), &topology, path).unwrap_err();
            assert_eq!(error.status(), 2);
            let text = error.to_string();
            assert!(text.starts_with("d/topology.yaml has ") && text.contains(wrong), "{text}");
        }
    }

    #[test]
    fn more_groups_than_logic_groups_are_refused() {
        let error = Shape::of(&args("--groups 5 --logic-groups 3")).unwrap_err();
        assert_eq!(error.status(), 2, "{error}");
    }
}
