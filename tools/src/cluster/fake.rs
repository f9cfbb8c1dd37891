//! Nodes for tests: they shake hands, remember what they are told, and agree on everything at once.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::{Buf, BytesMut};
use common::agreed::KnownRegister;
use common::ids::{Epoch, NodeId, StoreId, TopologyVersion, VoterGeneration};
use common::register::{LaneLeader, Register};
use common::wire::command::{Command, NewGroup};
use common::wire::frame::{self, Decoded, FrameType};
use common::wire::hello::Welcome;
use common::wire::views::Views;
use config::Topology;
use rt::handshake::{self, Requirements};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a fake node remembers.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) views: Views,
    pub(super) topology: TopologyVersion,
    /// Everything it was told, in its order.
    pub(super) told: Vec<Command>,
    /// Why it does nothing that it is told, if it does not.
    pub(super) stubborn: Option<&'static str>,
    /// It says that it does what it is told, and does nothing.
    pub(super) deaf: bool,
    /// It goes away when it did what it was told.
    pub(super) leaves: bool,
}

/// Fake nodes, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Fakes(Arc<Mutex<BTreeMap<String, State>>>);

impl Fakes {
    /// Starts nodes with these names; gives the topology of a cluster of them. The n-th has store
    /// id n.
    pub(super) fn start(names: &[&str], rest: &str) -> (Self, Topology) {
        let fakes = Self::default();
        let mut text = "format: 1\ncluster: demo\nepoch: 3\nservers:\n".to_owned();
        for (store, name) in (1u16..).zip(names) {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            text.push_str(&format!(
                "  {name}: {{ address: \"{address}\", admin: \"127.0.0.1:{store}\" }}\n"
            ));
            fakes.with(name, |_| {});
            let (fakes, name) = (fakes.clone(), (*name).to_owned());
            thread::spawn(move || serve(&listener, &fakes, &name, StoreId(store.into())));
        }
        let topology = Topology::parse(&(text + rest)).unwrap_or_else(|e| panic!("{e}"));
        (fakes, topology)
    }

    /// The state of one of them.
    pub(super) fn with<T>(&self, name: &str, look: impl FnOnce(&mut State) -> T) -> T {
        look(self.0.lock().unwrap().entry(name.to_owned()).or_default())
    }

    /// What one of them was told.
    pub(super) fn told(&self, name: &str) -> Vec<Command> {
        self.with(name, |state| state.told.clone())
    }

    fn command(&self, name: &str, command: Command) -> String {
        let stubborn = self.with(name, |state| state.stubborn);
        if let Some(reason) = stubborn {
            return reason.to_owned();
        }
        self.with(name, |state| state.told.push(command.clone()));
        if self.with(name, |state| state.deaf) {
            return String::new();
        }
        match command {
            Command::Voters(set) => self.with(name, |state| state.views.voters = set),
            Command::Admit(set, groups) => {
                let groups = groups.into_iter().map(KnownRegister::chosen).collect();
                self.with(name, |state| state.views = Views { voters: set, groups });
            }
            Command::Create(list) => {
                for state in self.0.lock().unwrap().values_mut() {
                    let registers = list.iter().map(register).map(KnownRegister::chosen);
                    state.views.groups.extend(registers);
                }
            }
        }
        String::new()
    }
}

/// The first register of a group.
pub(super) fn register(new: &NewGroup) -> Register {
    let nodes: Vec<NodeId> = new.servers.iter().map(|member| member.node).collect();
    Register {
        group: new.group,
        generation: VoterGeneration(1),
        epoch: Epoch(1),
        servers: new.servers.clone(),
        lanes: nodes.iter().map(|node| LaneLeader { node: *node, since: Epoch(1) }).collect(),
        in_step: nodes,
        leaving: None,
        moving: None,
    }
}

fn serve(listener: &TcpListener, fakes: &Fakes, name: &str, store: StoreId) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for stream in listener.incoming().flatten() {
        stream.set_nonblocking(true).unwrap();
        runtime.block_on(async {
            let stream = TcpStream::from_std(stream).unwrap();
            // The tool goes away when it is done.
            drop(talk(stream, fakes, name, store).await);
        });
    }
}

async fn talk(
    mut stream: TcpStream,
    fakes: &Fakes,
    name: &str,
    store: StoreId,
) -> Result<(), Box<dyn std::error::Error>> {
    let is_gone = || fakes.with(name, |state| state.leaves && !state.told.is_empty());
    if is_gone() {
        return Ok(());
    }
    let mut input = BytesMut::new();
    let topology = fakes.with(name, |state| state.topology);
    let welcome = Welcome { node: name, store, workers: 1, topology, life: 1 };
    let required = Requirements { cluster: "demo", secret: None, welcome };
    handshake::accept_if(&mut stream, &mut input, &required, |_| Ok(())).await?;
    loop {
        let Decoded::Frame(frame, length) = frame::decode(&input)? else {
            if stream.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let mut out = Vec::new();
        let id = frame.id;
        match frame.kind {
            FrameType::AskViews if is_gone() => return Ok(()),
            FrameType::AskViews => {
                let views = fakes.with(name, |state| state.views.clone());
                frame::encode(&mut out, FrameType::Views, id, |body| views.encode(body));
            }
            FrameType::Announce => {
                let text = std::str::from_utf8(frame.body)?;
                let version = Topology::parse(text).map_err(|e| e.to_string())?.version();
                fakes.with(name, |state| state.topology = version);
                frame::encode(&mut out, FrameType::AnnounceAnswer, id, |_| {});
            }
            FrameType::Command => {
                let answer = fakes.command(name, Command::decode(frame.body)?);
                frame::encode(&mut out, FrameType::CommandAnswer, id, |body| {
                    body.extend_from_slice(answer.as_bytes());
                });
            }
            other => return Err(format!("{other:?}").into()),
        }
        input.advance(length);
        stream.write_all(&out).await?;
    }
}
