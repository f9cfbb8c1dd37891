//! What the control file keeps, and how it changes.

use std::collections::{BTreeMap, BTreeSet};

use common::ids::{Epoch, Lane, LogicGroup, VoterGeneration};
use common::register::VoterSet;

use crate::replication::register::voter::Slot;

/// Everything the file holds, as it was when it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The last process start: its wall time in milliseconds, but greater than the one before.
    pub life: u64,
    /// The voter set with the greatest generation this node learned; generation 0: none.
    pub voters: VoterSet,
    /// The voter set this node was admitted to as a voter. `None`: its voter is blank.
    pub admitted: Option<VoterGeneration>,
    /// The voter's state of each group.
    pub slots: BTreeMap<LogicGroup, Slot>,
    /// Of each lane, the epoch below which this server acknowledges nothing.
    pub promises: BTreeMap<Lane, Epoch>,
    /// Lanes whose log a power cut may have shortened, and that did not catch up since.
    pub forgot: BTreeSet<Lane>,
}

/// A process start, written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// The number of this process start: greater than all before it.
    pub life: u64,
    /// Lanes that did not catch up since a power cut may have shortened their log, one right
    /// before this start included.
    pub forgot: BTreeSet<Lane>,
}

/// One change of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The voter's state of a group.
    Slot(LogicGroup, Box<Slot>),
    /// This server acknowledges nothing of the lane below this epoch. A promise never falls: a
    /// lower epoch than the one kept changes nothing.
    Promise(Lane, Epoch),
    /// This server holds all official records of the lane again.
    CaughtUp(Lane),
    /// This voter set is in force.
    Voters(VoterSet),
    /// This node is a voter of the set of this generation.
    Admitted(VoterGeneration),
    /// Everything that was appended is durable and nothing will be appended any more: no boot that
    /// follows has taken anything.
    CleanStop,
}
