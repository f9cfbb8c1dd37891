//! How safe a write has to be before it is answered: how many servers hold it ([`Acks`]) and whether
//! it reached the disk there ([`Sync`]).
//!
//! Both travel on the wire as one byte and stand in the topology file and in HTTP headers as a word.
//! Their order is the order of safety, so the stricter of two wishes is their maximum.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A word that names no level.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{word}` is not a level; write one of: {allowed}")]
pub struct UnknownLevel {
    /// What was written.
    pub word: String,
    /// What may be written.
    pub allowed: &'static str,
}

/// How many servers hold a write before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Acks {
    /// The leader alone.
    One = 1,
    /// Every server in step.
    Step = 2,
    /// More than half of the servers of the group.
    Majority = 3,
    /// Every server of the group.
    All = 4,
}

impl Acks {
    /// The words, as messages list them.
    pub const WORDS: &'static str = "1, step, majority, all";

    /// The byte on the wire.
    #[must_use]
    pub fn as_u8(self) -> u8 {
        self as u8
    }

    /// The level of a byte from the wire.
    #[must_use]
    pub fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::One),
            2 => Some(Self::Step),
            3 => Some(Self::Majority),
            4 => Some(Self::All),
            _ => None,
        }
    }
}

impl FromStr for Acks {
    type Err = UnknownLevel;

    fn from_str(word: &str) -> Result<Self, UnknownLevel> {
        match word {
            "1" => Ok(Self::One),
            "step" => Ok(Self::Step),
            "majority" => Ok(Self::Majority),
            "all" => Ok(Self::All),
            _ => Err(UnknownLevel { word: word.to_owned(), allowed: Self::WORDS }),
        }
    }
}

impl fmt::Display for Acks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::One => "1",
            Self::Step => "step",
            Self::Majority => "majority",
            Self::All => "all",
        })
    }
}

/// What has to be on disk, on each server that counts for [`Acks`], before a write is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Sync {
    /// Nothing: the kernel has the bytes and writes them back when it likes.
    None = 1,
    /// Nothing, but the log is synced about once a second.
    EverySecond = 2,
    /// The write itself.
    Always = 3,
}

impl Sync {
    /// The words, as messages list them.
    pub const WORDS: &'static str = "none, everysec, always";

    /// The byte on the wire.
    #[must_use]
    pub fn as_u8(self) -> u8 {
        self as u8
    }

    /// The level of a byte from the wire.
    #[must_use]
    pub fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::None),
            2 => Some(Self::EverySecond),
            3 => Some(Self::Always),
            _ => None,
        }
    }
}

impl FromStr for Sync {
    type Err = UnknownLevel;

    fn from_str(word: &str) -> Result<Self, UnknownLevel> {
        match word {
            "none" => Ok(Self::None),
            "everysec" => Ok(Self::EverySecond),
            "always" => Ok(Self::Always),
            _ => Err(UnknownLevel { word: word.to_owned(), allowed: Self::WORDS }),
        }
    }
}

impl fmt::Display for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::EverySecond => "everysec",
            Self::Always => "always",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_survives_the_wire_and_its_word() {
        for acks in [Acks::One, Acks::Step, Acks::Majority, Acks::All] {
            assert_eq!(Acks::from_u8(acks.as_u8()), Some(acks));
            assert_eq!(acks.to_string().parse(), Ok(acks));
            assert!(Acks::WORDS.contains(&acks.to_string()));
        }
        for sync in [Sync::None, Sync::EverySecond, Sync::Always] {
            assert_eq!(Sync::from_u8(sync.as_u8()), Some(sync));
            assert_eq!(sync.to_string().parse(), Ok(sync));
            assert!(Sync::WORDS.contains(&sync.to_string()));
        }
    }

    #[test]
    fn bytes_are_pinned_because_they_are_on_the_wire() {
        assert_eq!(
            [Acks::One, Acks::Step, Acks::Majority, Acks::All].map(Acks::as_u8),
            [1, 2, 3, 4]
        );
        assert_eq!([Sync::None, Sync::EverySecond, Sync::Always].map(Sync::as_u8), [1, 2, 3]);
        assert_eq!((Acks::from_u8(0), Acks::from_u8(5)), (None, None));
        assert_eq!((Sync::from_u8(0), Sync::from_u8(4)), (None, None));
    }

    #[test]
    fn the_stricter_level_is_the_greater() {
        assert!(
            Acks::One < Acks::Step && Acks::Step < Acks::Majority && Acks::Majority < Acks::All
        );
        assert!(Sync::None < Sync::EverySecond && Sync::EverySecond < Sync::Always);
    }

    #[test]
    fn an_unknown_word_is_answered_with_the_known_ones() {
        let error = "two".parse::<Acks>().unwrap_err();
        assert_eq!(error.to_string(), "`two` is not a level; write one of: 1, step, majority, all");
        assert!("Always".parse::<Sync>().is_err());
    }
}
