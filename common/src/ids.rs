//! Newtypes for every number that travels: between processes, into logs and into files.
//!
//! They offer construction, comparison and [`Display`](fmt::Display) with a prefix; arithmetic only
//! where the field's meaning has one (`next`).

use std::fmt;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Seed of the name hashes. Part of the disk and wire formats: never change it.
const NAME_SEED: u64 = 0x4644_4854_6e61_6d65; // "FDHTname"

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

number!(
    /// Number of a logic group, 0 ..= `logic_groups - 1`.
    LogicGroup, u16, "group "
);
number!(
    /// Place of a server in the `servers` list of its physical group; with the logic group it
    /// names a lane.
    ServerIndex, u8, "server "
);
number!(
    /// Number of a topology file version. Rises with every change an operator makes.
    FileEpoch, u64, "file epoch "
);
number!(
    /// Number of a register change; as *since-epoch*, the one at which a lane got its leader.
    Epoch, u64, "epoch "
);
number!(
    /// Number of a record inside its stream, from 1. 0 means "before the first".
    Lsn, u64, "lsn:"
);
number!(
    /// A server in versions and on the wire: the 32-bit hash of its name in the topology file.
    NodeId, u32, "node#"
);
number!(
    /// A cluster on the wire: the 32-bit hash of its name in the topology file.
    ClusterId, u32, "cluster#"
);

number!(
    /// Number of a voter set. Carried in every message to voters; lower ones are refused.
    VoterGeneration, u32, "voter generation "
);

impl Lsn {
    /// The number of the record after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl NodeId {
    /// The id of the server with this name. Two names of one file with the same id are refused by
    /// the topology's validation.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        Self(name_hash(name))
    }
}

impl ClusterId {
    /// The id of the cluster with this name.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        Self(name_hash(name))
    }
}

fn name_hash(name: &str) -> u32 {
    let hash = xxh3_64_with_seed(name.as_bytes(), NAME_SEED);
    u32::try_from(hash >> 32).expect("the upper half of 64 bits is 32 bits")
}

/// All keys of a logic group with the same home server: the unit of leadership and atomicity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// The logic group.
    pub group: LogicGroup,
    /// The home server's place in its physical group.
    pub server: ServerIndex,
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lane {}.{}", self.group.0, self.server.0)
    }
}

/// What one leader of a lane wrote in its epoch. Records are numbered in it by [`Lsn`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream {
    /// The lane.
    pub lane: Lane,
    /// The since-epoch of the leader.
    pub epoch: Epoch,
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}.{}@{}", self.lane.group.0, self.lane.server.0, self.epoch.0)
    }
}

/// Which of two topology files is in force: the greater one, everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopologyVersion {
    /// The number an operator gave it; 0 is "none known".
    pub epoch: FileEpoch,
    /// Hash of the file's text. Differs at an equal epoch only by an operator's mistake.
    pub hash: u64,
}

impl fmt::Display for TopologyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:016x})", self.epoch, self.hash)
    }
}

/// Random identity of a data directory. A server with another store id is another member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub u128);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// One client request: a proxy worker's random number (upper half) and its counter (lower half).
/// A repetition by the proxy carries the same id (I7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u128);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_hashes_are_pinned_because_they_are_part_of_formats() {
        assert_eq!(NodeId::of_name("a1"), NodeId(PIN_A1));
        assert_eq!(ClusterId::of_name("demo"), ClusterId(PIN_DEMO));
        assert_ne!(NodeId::of_name("a1"), NodeId::of_name("a2"));
    }

    const PIN_A1: u32 = 2_899_718_708;
    const PIN_DEMO: u32 = 1272063781;

    #[test]
    fn display_names_the_kind() {
        let lane = Lane { group: LogicGroup(12), server: ServerIndex(1) };
        assert_eq!(lane.to_string(), "lane 12.1");
        assert_eq!(Stream { lane, epoch: Epoch(3) }.to_string(), "stream 12.1@3");
        assert_eq!(Lsn(41).next().to_string(), "lsn:42");
    }
}
