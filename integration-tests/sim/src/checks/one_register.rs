//! Section 3: a register has one agreed value for each epoch (whatever voter set carries it), over
//! restarts of voters and changes of the voter set.

use std::collections::BTreeMap;

use common::ids::{Epoch, LogicGroup};
use storage_node::replication::register::{Register, VoterGeneration};

use super::failures::Check;

/// See the module.
#[derive(Debug, Default)]
pub struct OneRegister {
    agreed: BTreeMap<(LogicGroup, Epoch), Register>,
}

impl OneRegister {
    /// A node learned an agreed value.
    pub fn on_register(&mut self, register: &Register) -> Check {
        let value = Register { generation: VoterGeneration(0), ..register.clone() };
        let known = self.agreed.entry((value.group, value.epoch)).or_insert_with(|| value.clone());
        if *known == value {
            return Ok(());
        }
        Err(format!("3: two values were agreed on: {known:?} and {value:?}"))
    }
}
