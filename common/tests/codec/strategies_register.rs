//! Random registers, voter sets, views and commands.

use common::agreed::KnownRegister;
use common::ids::{Epoch, LogicGroup, NodeId, StoreId, VoterGeneration};
use common::limits::{SERVERS_PER_GROUP_MAX, VOTERS_MAX};
use common::register::{Ballot, LaneLeader, Member, MovePlan, Register, VoterSet};
use common::view::GroupView;
use common::wire::command::{Command, NewGroup};
use common::wire::views::Views;
use proptest::collection::vec;
use proptest::prelude::*;

const SERVERS_MAX: usize = SERVERS_PER_GROUP_MAX as usize;

fn node() -> impl Strategy<Value = NodeId> {
    any::<u32>().prop_map(NodeId)
}

fn members() -> impl Strategy<Value = Vec<Member>> {
    let member =
        (node(), any::<u128>()).prop_map(|(node, store)| Member { node, store: StoreId(store) });
    vec(member, 0..=SERVERS_MAX)
}

fn lanes() -> impl Strategy<Value = Vec<LaneLeader>> {
    let leader =
        (node(), any::<u64>()).prop_map(|(node, since)| LaneLeader { node, since: Epoch(since) });
    vec(leader, 0..=SERVERS_MAX)
}

pub(crate) fn view() -> impl Strategy<Value = GroupView> {
    (any::<u64>(), lanes()).prop_map(|(epoch, lanes)| GroupView {
        epoch: Epoch(epoch),
        leaders: lanes.into_iter().map(|leader| (leader.node, leader.since)).collect(),
    })
}

pub(crate) fn register() -> impl Strategy<Value = Register> {
    let plan = (any::<u64>(), members()).prop_map(|(id, target)| MovePlan { id, target });
    let ids = any::<(u16, u32, u64)>();
    let lists = (members(), vec(node(), 0..=SERVERS_MAX), lanes());
    (ids, lists, prop::option::of(node()), prop::option::of(plan)).prop_map(
        |((group, generation, epoch), (servers, in_step, lanes), leaving, moving)| Register {
            group: LogicGroup(group),
            generation: VoterGeneration(generation),
            epoch: Epoch(epoch),
            servers,
            in_step,
            lanes,
            leaving,
            moving,
        },
    )
}

pub(crate) fn voter_set() -> impl Strategy<Value = VoterSet> {
    (any::<u32>(), vec(node(), 0..=usize::from(VOTERS_MAX))).prop_map(|(generation, voters)| {
        VoterSet { generation: VoterGeneration(generation), voters }
    })
}

pub(crate) fn views() -> impl Strategy<Value = Views> {
    let ballot = any::<(u64, u32, u64)>();
    let ballot = ballot.prop_map(|(round, node, life)| Ballot { round, node: NodeId(node), life });
    let known = (register(), prop::option::of(ballot), any::<bool>())
        .prop_map(|(register, accepted, chosen)| KnownRegister { register, accepted, chosen });
    (voter_set(), vec(known, 0..3)).prop_map(|(voters, groups)| Views { voters, groups })
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    let group = (any::<u16>(), members())
        .prop_map(|(group, servers)| NewGroup { group: LogicGroup(group), servers });
    prop_oneof![
        voter_set().prop_map(Command::Voters),
        (voter_set(), vec(register(), 0..3)).prop_map(|(set, groups)| Command::Admit(set, groups)),
        vec(group, 0..3).prop_map(Command::Create),
    ]
}
