//! Registers, voter sets, views and commands against `golden/registers.hex`, `golden/voters.hex`,
//! `golden/views.hex` and `golden/commands.hex`.

use common::agreed::KnownRegister;
use common::ids::{Epoch, LogicGroup, NodeId, StoreId, VoterGeneration};
use common::register::{Ballot, LaneLeader, Member, MovePlan, Register, VoterSet};
use common::view::GroupView;
use common::wire::command::{Command, NewGroup};
use common::wire::views::Views;

use crate::{formats, golden_file};

const fn member(node: u32) -> Member {
    Member {
        node: NodeId(node),
        store: StoreId(0x0011_2233_4455_6677_8899_aabb_ccdd_ee00 + node as u128),
    }
}

fn calm() -> Register {
    let leader = |node, since| LaneLeader { node: NodeId(node), since: Epoch(since) };
    Register {
        group: LogicGroup(12),
        generation: VoterGeneration(2),
        epoch: Epoch(9),
        servers: vec![member(7), member(8)],
        in_step: vec![NodeId(8)],
        lanes: vec![leader(8, 9), leader(8, 5)],
        leaving: None,
        moving: None,
    }
}

fn busy() -> Register {
    let moving = Some(MovePlan { id: 77, target: vec![member(9)] });
    let empty = Register { servers: vec![], in_step: vec![], lanes: vec![], ..calm() };
    Register { leaving: Some(NodeId(7)), moving, ..empty }
}

fn voters() -> VoterSet {
    VoterSet { generation: VoterGeneration(2), voters: vec![NodeId(7), NodeId(8), NodeId(3)] }
}

#[test]
fn a_register_has_the_documented_bytes() {
    let cases = [("calm", calm()), ("leaving-and-moving", busy())];
    golden_file::check("registers.hex", &cases, formats::encode_register, formats::decode_register);
}

#[test]
fn a_voter_set_has_the_documented_bytes() {
    let cases = [("three-voters", voters()), ("none-known", VoterSet::default())];
    golden_file::check("voters.hex", &cases, formats::encode_voter_set, formats::decode_voter_set);
}

#[test]
fn views_have_the_documented_bytes() {
    let one = Views { voters: voters(), groups: vec![KnownRegister::chosen(calm())] };
    let ballot = Ballot { round: 6, node: NodeId(8), life: 3 };
    let accepted = KnownRegister { register: busy(), accepted: Some(ballot), chosen: false };
    let both = Views { voters: VoterSet::default(), groups: vec![accepted] };
    let nothing = Views::default();
    let cases = [("one-group", one), ("accepted-only", both), ("nothing-known", nothing)];
    golden_file::check("views.hex", &cases, formats::encode_views, Views::decode);
}

#[test]
fn every_command_has_the_documented_bytes() {
    let new = NewGroup { group: LogicGroup(12), servers: vec![member(7), member(8)] };
    let cases = [
        ("voters", Command::Voters(voters())),
        ("admit", Command::Admit(voters(), vec![busy()])),
        ("admit-without-registers", Command::Admit(VoterSet::default(), vec![])),
        ("create", Command::Create(vec![new])),
    ];
    golden_file::check("commands.hex", &cases, formats::encode_command, Command::decode);
}

#[test]
fn a_view_is_the_epoch_and_the_leaders_of_a_register() {
    let leaders = vec![(NodeId(8), Epoch(9)), (NodeId(8), Epoch(5))];
    assert_eq!(calm().view(), GroupView { epoch: Epoch(9), leaders });
}
