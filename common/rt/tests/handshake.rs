//! A handshake over a real socket: what each side says of itself arrives at the other one.

use std::io;

use bytes::BytesMut;
use common::ids::{FileEpoch, StoreId, TopologyVersion};
use common::wire::hello::{Role, Welcome};
use rt::handshake::{self, HandshakeError, Introduction, Learned, NodeProcess, Peer, Requirements};
use tokio::net::{TcpListener, TcpStream};

const TOPOLOGY: TopologyVersion = TopologyVersion { epoch: FileEpoch(7), hash: 8 };
const WELCOME: Welcome<'_> =
    Welcome { node: "a1", store: StoreId(11), workers: 2, topology: TOPOLOGY, life: 5 };
const PROCESS: NodeProcess =
    NodeProcess { store: StoreId(12), workers: 4, from_worker: 3, life: 6 };

fn introduction(role: Role, process: NodeProcess) -> Introduction<'static> {
    let topology = TopologyVersion::default();
    Introduction { role, cluster: "demo", name: "a2", topology, worker: 5, process, secret: None }
}

/// Both sides of one handshake with a node of this cluster.
async fn shake(
    cluster: &str,
    me: &Introduction<'_>,
) -> io::Result<(Result<Learned, HandshakeError>, Result<Peer, HandshakeError>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut dialing = TcpStream::connect(listener.local_addr()?).await?;
    let (mut accepting, _) = listener.accept().await?;
    let required = Requirements { cluster, secret: None, welcome: WELCOME };
    let (mut there, mut here) = (BytesMut::new(), BytesMut::new());
    Ok(tokio::join!(
        handshake::connect(&mut dialing, &mut there, me),
        handshake::accept_if(&mut accepting, &mut here, &required, |_| Ok(())),
    ))
}

#[tokio::test]
async fn two_nodes_learn_each_others_data_directory_and_process() -> io::Result<()> {
    let (learned, peer) = shake("demo", &introduction(Role::Node, PROCESS)).await?;
    let learned = learned.expect("taken");
    assert_eq!((learned.store, learned.life, learned.workers), (StoreId(11), 5, 2));
    assert_eq!((learned.node.as_str(), learned.topology), ("a1", TOPOLOGY));
    let peer = peer.expect("taken");
    assert_eq!((peer.role, peer.name.as_str(), peer.process), (Role::Node, "a2", PROCESS));
    assert_eq!(peer.worker, 1, "worker 5 of 2");
    Ok(())
}

#[tokio::test]
async fn what_is_no_node_has_no_process_and_another_cluster_is_refused() -> io::Result<()> {
    let proxy = introduction(Role::Proxy, NodeProcess::default());
    let (_, peer) = shake("demo", &proxy).await?;
    assert_eq!(peer.expect("taken").process, NodeProcess::default());
    let (learned, peer) = shake("other", &proxy).await?;
    let reason = "this node belongs to cluster `other`, `a2` to cluster `demo`";
    assert!(learned.is_err_and(|error| error.to_string().contains(reason)));
    assert!(peer.is_err_and(|error| error.to_string().contains(reason)));
    Ok(())
}
