//! The changes a register allows (guarantees 3 and 4). Pure: old value in, new value out.

use common::ids::{Epoch, LogicGroup, NodeId, ServerIndex};
use thiserror::Error;

use super::value::{LaneLeader, Member, Register, VoterGeneration};

/// A wish to change a register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The group comes into being; each server leads its own lane. Only on an empty register.
    Create {
        /// The group.
        group: LogicGroup,
        /// The voter set.
        generation: VoterGeneration,
        /// Its servers.
        servers: Vec<Member>,
    },
    /// A server leaves R, and the lanes it leads get another leader in the same step.
    TakeOver {
        /// Who leaves.
        silent: NodeId,
        /// Who leads its lanes from now on; in R.
        by: NodeId,
    },
    /// A lane gets a leader out of R, perhaps the same again: with a new since-epoch.
    Lead {
        /// The lane.
        lane: ServerIndex,
        /// Its leader.
        by: NodeId,
    },
    /// A configured server enters R.
    Join {
        /// The server.
        member: Member,
    },
    /// Voters shall refuse this server's renewals, since it is to leave R. The first mark wins.
    Mark {
        /// The server.
        leaving: NodeId,
    },
    /// Only a new epoch: ends what leaders do for the present one, and a mark.
    Raise,
}

/// Why a change is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChangeRefused {
    /// Creation of what exists, or a change of what does not.
    #[error("the register exists already or does not exist")]
    Existence,
    /// The server that would lead, stay or leave is not in R.
    #[error("the server is not in step")]
    NotInStep,
    /// R would be empty.
    #[error("the last server in step cannot leave")]
    LastInStep,
    /// A server is being taken out of R already, or the asker is that server.
    #[error("another server is marked as leaving")]
    Marked,
    /// No server of this group, or one with another data directory.
    #[error("not a server of this group, or with another data directory")]
    NotAServer,
    /// The server is in R already.
    #[error("the server is in step already")]
    AlreadyInStep,
    /// No such lane.
    #[error("the group has no such lane")]
    NoLane,
}

impl Change {
    /// The value after this change.
    ///
    /// # Errors
    /// The change is not allowed at this value.
    pub fn apply(&self, old: Option<&Register>) -> Result<Register, ChangeRefused> {
        let Some(old) = old else {
            return match self {
                Self::Create { group, generation, servers } => {
                    Ok(created(*group, *generation, servers))
                }
                _ => Err(ChangeRefused::Existence),
            };
        };
        let mut new = old.clone();
        new.epoch = Epoch(old.epoch.0 + 1);
        match self {
            Self::Create { .. } => return Err(ChangeRefused::Existence),
            Self::TakeOver { silent, by } => take_over(&mut new, *silent, *by)?,
            Self::Lead { lane, by } => {
                if !new.is_in_step(*by) {
                    return Err(ChangeRefused::NotInStep);
                }
                let since = new.epoch;
                let place = new.lanes.get_mut(usize::from(lane.0)).ok_or(ChangeRefused::NoLane)?;
                *place = LaneLeader { node: *by, since };
            }
            Self::Join { member } => {
                if !new.has_server(*member) {
                    return Err(ChangeRefused::NotAServer);
                }
                if new.is_in_step(member.node) {
                    return Err(ChangeRefused::AlreadyInStep);
                }
                new.in_step.push(member.node);
            }
            Self::Mark { leaving } => {
                if new.leaving.is_some() {
                    return Err(ChangeRefused::Marked);
                }
                if !new.is_in_step(*leaving) {
                    return Err(ChangeRefused::NotInStep);
                }
                new.leaving = Some(*leaving);
            }
            Self::Raise => new.leaving = None,
        }
        Ok(new)
    }
}

fn created(group: LogicGroup, generation: VoterGeneration, servers: &[Member]) -> Register {
    let epoch = Epoch(1);
    Register {
        group,
        generation,
        epoch,
        servers: servers.to_vec(),
        in_step: servers.iter().map(|member| member.node).collect(),
        lanes: servers.iter().map(|m| LaneLeader { node: m.node, since: epoch }).collect(),
        leaving: None,
        moving: None,
    }
}

fn take_over(new: &mut Register, silent: NodeId, by: NodeId) -> Result<(), ChangeRefused> {
    if by == silent {
        return Err(ChangeRefused::LastInStep);
    }
    if !new.is_in_step(by) || !new.is_in_step(silent) {
        return Err(ChangeRefused::NotInStep);
    }
    if new.leaving == Some(by) {
        return Err(ChangeRefused::Marked);
    }
    new.in_step.retain(|node| *node != silent);
    for leader in new.lanes.iter_mut().filter(|leader| leader.node == silent) {
        *leader = LaneLeader { node: by, since: new.epoch };
    }
    if new.leaving == Some(silent) {
        new.leaving = None;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use common::ids::StoreId;

    use super::*;

    fn three() -> Register {
        let server = |n| Member { node: NodeId(n), store: StoreId(u128::from(n)) };
        let servers = vec![server(1), server(2), server(3)];
        let create =
            Change::Create { group: LogicGroup(4), generation: VoterGeneration(1), servers };
        assert_eq!(
            create.apply(Some(&created(LogicGroup(4), VoterGeneration(1), &[]))),
            Err(ChangeRefused::Existence)
        );
        create.apply(None).expect("an empty register is created")
    }

    #[test]
    fn a_take_over_moves_the_lanes_and_shrinks_r_in_one_step_and_leaves_other_lanes_alone() {
        let old = three();
        let new = Change::TakeOver { silent: NodeId(1), by: NodeId(3) }.apply(Some(&old)).unwrap();
        assert_eq!(new.epoch, Epoch(2));
        assert_eq!(new.in_step, [NodeId(2), NodeId(3)]);
        assert_eq!(new.lanes[0], LaneLeader { node: NodeId(3), since: Epoch(2) });
        assert_eq!(new.lanes[1..], old.lanes[1..], "I17");
    }

    #[test]
    fn the_first_mark_wins_and_the_marked_one_removes_nobody() {
        let marked = Change::Mark { leaving: NodeId(1) }.apply(Some(&three())).unwrap();
        let refused = |change: Change| change.apply(Some(&marked)).unwrap_err();
        assert_eq!(refused(Change::Mark { leaving: NodeId(2) }), ChangeRefused::Marked);
        let other = Change::TakeOver { silent: NodeId(2), by: NodeId(1) };
        assert_eq!(refused(other), ChangeRefused::Marked);
        let removed = Change::TakeOver { silent: NodeId(1), by: NodeId(2) };
        assert_eq!(removed.apply(Some(&marked)).unwrap().leaving, None);
    }

    #[test]
    fn another_data_directory_is_another_member() {
        let out =
            Change::TakeOver { silent: NodeId(1), by: NodeId(3) }.apply(Some(&three())).unwrap();
        let blank = Member { node: NodeId(1), store: StoreId(99) };
        assert_eq!(
            Change::Join { member: blank }.apply(Some(&out)),
            Err(ChangeRefused::NotAServer)
        );
        let same = Member { node: NodeId(1), store: StoreId(1) };
        assert!(Change::Join { member: same }.apply(Some(&out)).is_ok());
    }
}
