//! One thread accepts peers, shakes hands, and passes each connection to the worker it asked for.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use common::ids::NodeId;
use common::wire::hello::{Role, Welcome};
use rt::handshake::{self, Peer, Requirements};
use rt::net;
use rt::stop::Stop;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::shared::Shared;
use crate::worker::{Introduced, Message};

/// Pause after an error that will not go away at once, such as too many open files.
const ERROR_PAUSE: Duration = Duration::from_millis(100);
/// Most connections in their handshake: strangers get no more of this process.
const HANDSHAKES_MAX: usize = 256;

/// Accepts until `stop`.
pub(crate) async fn run(listener: std::net::TcpListener, shared: Arc<Shared>, mut stop: Stop) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the peer port cannot be served"),
    };
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.stopped() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let Ok(permit) = Arc::clone(&handshakes).try_acquire_owned() else { continue };
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    greet(&shared, stream, address).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a peer");
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
}

async fn greet(shared: &Shared, mut stream: TcpStream, address: std::net::SocketAddr) {
    net::prepare_peer(&stream);
    let mut input = BytesMut::new();
    let workers = u16::try_from(shared.workers.len()).unwrap_or(u16::MAX);
    let required = Requirements {
        cluster: &shared.cluster,
        secret: shared.secret.as_ref(),
        welcome: Welcome {
            node: &shared.name,
            store: shared.dir.store(),
            workers,
            topology: shared.topology_version(),
            life: shared.life.life,
        },
    };
    let admit = |peer: &Peer| match peer.role {
        Role::Node => shared.check_member(NodeId::of_name(&peer.name), peer.process.store),
        Role::Proxy | Role::Tool => Ok(()),
    };
    let peer = match handshake::accept_if(&mut stream, &mut input, &required, admit).await {
        Ok(peer) => peer,
        Err(error) => return tracing::warn!(%address, %error, "peer refused"),
    };
    tracing::info!(peer = peer.name, %address, "peer connected");
    let Some(worker) = shared.workers.get(usize::from(peer.worker)) else { return };
    match stream.into_std() {
        Ok(stream) => {
            let entry =
                shared.peers.add(peer.role, &peer.name, &address.to_string(), peer.topology);
            let (role, name, process) = (peer.role, peer.name, peer.process);
            let peer = Introduced { role, name, process, entry };
            // The worker is gone only while the node stops.
            drop(worker.send(Message::Peer { stream, input, peer }).await);
        }
        Err(error) => tracing::debug!(%address, %error, "peer lost"),
    }
}
