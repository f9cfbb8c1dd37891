//! Frames of every type against `golden/frames.hex`.

use common::durability::{Acks, Sync};
use common::ids::{
    ClusterId, Epoch, FileEpoch, Lane, LogicGroup, NodeId, RequestId, ServerIndex, StoreId,
    TopologyVersion, VoterGeneration,
};
use common::op::Op;
use common::register::VoterSet;
use common::reply::Reply;
use common::wire::command::Command;
use common::wire::hello::{Greeting, Hello, HelloAnswer, Role, Welcome};
use common::wire::request::RequestHead;
use common::wire::views::Views;

use crate::golden_file;
use crate::message::{self, Body, Message};

const TOPOLOGY: TopologyVersion =
    TopologyVersion { epoch: FileEpoch(7), hash: 0x1122_3344_5566_7788 };

fn counting<const N: usize>(first: u8) -> [u8; N] {
    let mut next = first;
    [(); N].map(|()| {
        next += 1;
        next - 1
    })
}

fn hello(role: Role, name: &'static str) -> Hello<'static> {
    Hello {
        protocol: 1,
        role,
        cluster: "demo",
        name,
        proof: [0; 32],
        topology: TopologyVersion::default(),
        worker: 0,
        store: StoreId(0),
        workers: 0,
        from_worker: 0,
        life: 0,
    }
}

fn handshake() -> Vec<(&'static str, Message)> {
    let greeting = Greeting { protocol: 1, nonce: counting(0x10), secret: true };
    let proxy = Hello {
        proof: counting(0x40),
        topology: TOPOLOGY,
        worker: 3,
        ..hello(Role::Proxy, "proxy")
    };
    let node = Hello {
        store: StoreId(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
        workers: 4,
        from_worker: 2,
        life: 9,
        ..hello(Role::Node, "a2")
    };
    let welcome = Welcome {
        node: "a1",
        store: StoreId(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
        workers: 2,
        topology: TOPOLOGY,
        life: 8,
    };
    [
        ("greeting", Body::Greeting(greeting)),
        ("hello", Body::Hello(proxy)),
        ("hello-of-a-node", Body::Hello(node)),
        ("hello-of-a-tool", Body::Hello(hello(Role::Tool, "status"))),
        ("hello-answer-taken", Body::HelloAnswer(HelloAnswer::Taken(welcome))),
        ("hello-answer-refused", Body::HelloAnswer(HelloAnswer::Refused("wrong cluster"))),
    ]
    .map(|(name, body)| (name, Message { id: 0, body }))
    .into()
}

fn request_head() -> RequestHead {
    RequestHead {
        cluster: ClusterId::of_name("demo"),
        file_epoch: FileEpoch(7),
        lane: Lane { group: LogicGroup(12), server: ServerIndex(1) },
        acks: Acks::Step,
        sync: Sync::Always,
        since: Epoch(5),
        request: RequestId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
        age_ms: 3,
        remaining_ms: 4_997,
        attempt: 1,
    }
}

/// Bodies of their own have golden files of their own.
fn asked_and_told() -> Vec<(&'static str, Message)> {
    let voters = VoterSet { generation: VoterGeneration(1), voters: vec![NodeId::of_name("a1")] };
    [
        ("peer", Body::Peer(b"\x01\x02\x03")),
        ("ask-views", Body::AskViews),
        ("views", Body::Views(Views { voters: voters.clone(), groups: vec![] })),
        ("ask-topology", Body::AskTopology),
        ("topology", Body::Topology(b"format: 1\n")),
        ("command", Body::Command(Command::Voters(voters))),
        ("command-answer-done", Body::CommandAnswer(b"")),
        ("command-answer-refused", Body::CommandAnswer(b"generation 1 is below 2")),
    ]
    .map(|(name, body)| (name, Message { id: 9, body }))
    .into()
}

#[test]
fn frames_of_every_type_have_the_documented_bytes() {
    let mut cases = handshake();
    let id = 0x0807_0605_0403_0201;
    let body = Body::Request(request_head(), Op::Count { namespace: b"files" });
    cases.push(("request", Message { id, body }));
    cases.push(("response", Message { id, body: Body::Response(Ok(Reply::Count(100_000))) }));
    cases.push(("announce", Message { id: 9, body: Body::Announce(b"format: 1\n") }));
    cases.push(("announce-answer-taken", Message { id: 9, body: Body::AnnounceAnswer(b"") }));
    let reason = Body::AnnounceAnswer(b"epoch 6 is below 7");
    cases.push(("announce-answer-refused", Message { id: 9, body: reason }));
    cases.extend(asked_and_told());
    golden_file::check("frames.hex", &cases, message::encode, message::decode);
}
