//! All checkers of a run, and the first failure they found.

use super::i3_kill::Kill;
use super::i5_one_content::OneContent;
use super::i16_one_leader::OneLeader;
use super::i17_other_lanes::OtherLanes;
use super::i18_old_terms::OldTerms;
use super::one_register::OneRegister;
use super::oracle::Oracle;
use crate::setup::Setup;

/// What a checker says: a failure's text begins with the invariant's name.
pub type Check = Result<(), String>;

/// See the module.
#[derive(Debug)]
pub struct Checks {
    /// What clients were told and what is official (I2, I7, I8).
    pub history: Oracle,
    /// I3.
    pub i3_kill: Kill,
    /// I5.
    pub i5_one_content: OneContent,
    /// I16.
    pub i16_one_leader: OneLeader,
    /// I17.
    pub i17_other_lanes: OtherLanes,
    /// I18.
    pub i18_old_terms: OldTerms,
    /// One register for each epoch.
    pub one_register: OneRegister,
    failure: Option<String>,
}

impl Checks {
    /// Nothing happened yet.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self {
            history: Oracle::new(setup),
            i3_kill: Kill::default(),
            i5_one_content: OneContent::default(),
            i16_one_leader: OneLeader::default(),
            i17_other_lanes: OtherLanes,
            i18_old_terms: OldTerms,
            one_register: OneRegister::default(),
            failure: None,
        }
    }

    /// Keeps the first failure.
    pub fn note(&mut self, check: Check) {
        if let Err(failure) = check {
            self.failure.get_or_insert(failure);
        }
    }

    /// The first failure.
    #[must_use]
    pub fn failure(&self) -> Option<&String> {
        self.failure.as_ref()
    }
}
