//! The topology file as it is written: every key read with its type, nothing compared yet.
//!
//! `None` is an optional key that is absent, or a value that was refused; the problem is recorded.

use crate::field::{At, Item, Named};
use crate::problem::Problems;
use crate::tree::Node;

/// The whole file.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) format: Option<At<u64>>,
    pub(crate) cluster: Option<At<String>>,
    pub(crate) epoch: Option<At<u64>>,
    pub(crate) logic_groups: Option<At<u64>>,
    pub(crate) servers: Option<At<Vec<ServerModel>>>,
    pub(crate) voters: Option<At<NameList>>,
    pub(crate) physical_groups: Option<At<Vec<GroupModel>>>,
    pub(crate) write: WriteModel,
    pub(crate) namespaces: Vec<NamespaceModel>,
    pub(crate) moves: MovesModel,
}

/// A list of names.
#[derive(Debug)]
pub(crate) struct NameList {
    /// Those that are text.
    pub(crate) names: Vec<At<String>>,
    /// Whether that is all of them.
    pub(crate) complete: bool,
}

/// One entry of `servers`.
#[derive(Debug)]
pub(crate) struct ServerModel {
    pub(crate) name: At<String>,
    pub(crate) address: Option<At<String>>,
    pub(crate) admin: Option<At<String>>,
    pub(crate) zone: Option<At<String>>,
}

/// One entry of `physical_groups`.
#[derive(Debug)]
pub(crate) struct GroupModel {
    pub(crate) name: At<String>,
    pub(crate) servers: Option<At<NameList>>,
    pub(crate) logic_groups: Option<At<String>>,
}

/// `write`, of the file or of a namespace.
#[derive(Debug, Default)]
pub(crate) struct WriteModel {
    pub(crate) acks: Option<At<String>>,
    pub(crate) sync: Option<At<String>>,
}

/// One entry of `namespaces`.
#[derive(Debug)]
pub(crate) struct NamespaceModel {
    pub(crate) name: At<String>,
    pub(crate) database: Option<At<u64>>,
    pub(crate) write: WriteModel,
}

/// `moves`.
#[derive(Debug, Default)]
pub(crate) struct MovesModel {
    pub(crate) paused: Option<At<bool>>,
    pub(crate) parallel: Option<At<u64>>,
    pub(crate) rate: Option<At<String>>,
}

/// Reads the tree. `None` if the file is not even a mapping.
pub(crate) fn read(root: &Node, problems: &mut Problems) -> Option<Model> {
    const KEYS: [&str; 10] = [
        "format",
        "cluster",
        "epoch",
        "logic_groups",
        "servers",
        "voters",
        "physical_groups",
        "write",
        "namespaces",
        "moves",
    ];
    let p = problems;
    let file = Item::root(root).section(&KEYS, p)?;
    Some(Model {
        format: file.required("format", "1", p).and_then(|item| item.number(p)),
        cluster: file.required("cluster", "demo", p).and_then(|item| item.text(p)),
        epoch: file.required("epoch", "1", p).and_then(|item| item.number(p)),
        logic_groups: file.required("logic_groups", "61", p).and_then(|item| item.number(p)),
        servers: file
            .required("servers", "{ a1: { ... } }", p)
            .and_then(|item| read_servers(item, p)),
        voters: file.optional("voters").and_then(|item| read_names(item, p)),
        physical_groups: file
            .required("physical_groups", "{ a: { servers: [a1], logic_groups: \"0-60\" } }", p)
            .and_then(|item| read_groups(item, p)),
        write: file.optional("write").map(|item| read_write(item, p)).unwrap_or_default(),
        namespaces: file
            .optional("namespaces")
            .map(|item| read_namespaces(item, p))
            .unwrap_or_default(),
        moves: file.optional("moves").map(|item| read_moves(item, p)).unwrap_or_default(),
    })
}

fn read_servers(item: Item<'_>, p: &mut Problems) -> Option<At<Vec<ServerModel>>> {
    let place = item.place().clone();
    let mut servers = Vec::new();
    for Named { name, item } in item.names(p)? {
        // A server that cannot be read is still a known name for the lists of names.
        let section = item.section(&["address", "admin", "zone"], p);
        let required = |key, example, p: &mut Problems| {
            section.as_ref().and_then(|s| s.required(key, example, p)).and_then(|i| i.text(p))
        };
        let address = required("address", "\"10.0.0.1:12300\"", p);
        let admin = required("admin", "\"10.0.0.1:12380\"", p);
        let zone = section.as_ref().and_then(|s| s.optional("zone")).and_then(|item| item.text(p));
        servers.push(ServerModel { name, address, admin, zone });
    }
    Some(At { value: servers, place })
}

fn read_groups(item: Item<'_>, p: &mut Problems) -> Option<At<Vec<GroupModel>>> {
    let place = item.place().clone();
    let mut groups = Vec::new();
    for Named { name, item } in item.names(p)? {
        let mut group = GroupModel { name, servers: None, logic_groups: None };
        if let Some(section) = item.section(&["servers", "logic_groups"], p) {
            group.servers =
                section.required("servers", "[a1, a2]", p).and_then(|item| read_names(item, p));
            group.logic_groups = section
                .required("logic_groups", "\"0-60\"", p)
                .and_then(|item| item.text_or_number(p));
        }
        groups.push(group);
    }
    Some(At { value: groups, place })
}

fn read_names(item: Item<'_>, p: &mut Problems) -> Option<At<NameList>> {
    let list = item.list(p)?;
    let count = list.value.len();
    let names: Vec<_> = list.value.into_iter().filter_map(|item| item.text(p)).collect();
    let complete = names.len() == count;
    Some(At { value: NameList { names, complete }, place: list.place })
}

fn read_write(item: Item<'_>, p: &mut Problems) -> WriteModel {
    let Some(section) = item.section(&["acks", "sync"], p) else {
        return WriteModel::default();
    };
    WriteModel {
        acks: section.optional("acks").and_then(|item| item.text_or_number(p)),
        sync: section.optional("sync").and_then(|item| item.text(p)),
    }
}

fn read_namespaces(item: Item<'_>, p: &mut Problems) -> Vec<NamespaceModel> {
    let mut namespaces = Vec::new();
    for Named { name, item } in item.names(p).into_iter().flatten() {
        let mut namespace = NamespaceModel { name, database: None, write: WriteModel::default() };
        if let Some(section) = item.section(&["database", "write"], p) {
            namespace.database = section.optional("database").and_then(|item| item.number(p));
            if let Some(item) = section.optional("write") {
                namespace.write = read_write(item, p);
            }
        }
        namespaces.push(namespace);
    }
    namespaces
}

fn read_moves(item: Item<'_>, p: &mut Problems) -> MovesModel {
    let Some(section) = item.section(&["paused", "parallel", "rate"], p) else {
        return MovesModel::default();
    };
    MovesModel {
        paused: section.optional("paused").and_then(|item| item.boolean(p)),
        parallel: section.optional("parallel").and_then(|item| item.number(p)),
        rate: section.optional("rate").and_then(|item| item.text_or_number(p)),
    }
}
