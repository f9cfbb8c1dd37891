//! What a worker begins with.

use std::collections::{BTreeMap, BTreeSet};

use common::ids::{Epoch, Lane, ServerIndex};
use common::register::{Member, VoterSet};
use common::version::Hlc;

use crate::lane::DedupWindow;
use crate::replication::lane::LaneStart;
use crate::replication::member::{GroupReplica, GroupStart};
use crate::replication::rules::Rules;
use crate::worker::group::OpenedGroup;

/// What was found on disk for one worker.
pub(crate) struct Started {
    pub(crate) groups: Vec<OpenedGroup>,
    /// The requests whose records are in the log.
    pub(crate) dedup: DedupWindow,
    /// The greatest time that files and log know.
    pub(crate) hlc: Hlc,
}

/// What this process start knows besides files and log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    /// Its number.
    pub(crate) life: u64,
    /// Epochs below which nothing is acknowledged.
    pub(crate) promises: BTreeMap<Lane, Epoch>,
    /// Lanes whose log a power cut may have shortened.
    pub(crate) forgot: BTreeSet<Lane>,
}

/// The protocol's part of a group that was opened.
pub(crate) fn replica(
    now_ms: u64,
    opened: &OpenedGroup,
    me: Member,
    life: &Life,
    voters: &VoterSet,
) -> GroupReplica {
    let start = |(server, lane): (u8, &crate::worker::group::OpenedLane)| {
        let server = ServerIndex(server);
        let id = Lane { group: opened.id, server };
        let start = LaneStart {
            held: lane.held.clone(),
            promised: life.promises.get(&id).copied().unwrap_or_default(),
            amnesiac: life.forgot.contains(&id),
        };
        (server, start)
    };
    let start = GroupStart {
        group: opened.id,
        me,
        life: life.life,
        voters: voters.clone(),
        lanes: (0u8..).zip(&opened.lanes).map(start).collect(),
        rules: Rules::default(),
    };
    GroupReplica::new(now_ms, start)
}
