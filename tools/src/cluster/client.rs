//! All servers of a topology, each with a connection that is opened again when it broke.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::ids::{NodeId, StoreId, TopologyVersion};
use common::wire::command::Command;
use config::{Server, Topology};
use rt::secret::Secret;
use tokio::task::JoinSet;

use super::connection::{Connection, Trouble};
use super::error::ClusterError;
use super::known::{Answers, Known};
use crate::clock;

/// Between two attempts.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// One server.
#[derive(Debug)]
pub(super) struct Client {
    server: Server,
    topology: Arc<Topology>,
    secret: Option<Secret>,
    connection: Option<Connection>,
}

/// What a server says of itself when it is asked for its views.
pub(super) type Answer = Result<Known, Trouble>;

impl Client {
    fn new(server: &Server, topology: &Arc<Topology>, secret: Option<&Secret>) -> Self {
        Self {
            server: server.clone(),
            topology: Arc::clone(topology),
            secret: secret.cloned(),
            connection: None,
        }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.server.name
    }

    async fn connection(&mut self) -> Result<&mut Connection, Trouble> {
        let open = match self.connection.take() {
            Some(open) => open,
            None => Connection::open(&self.server, &self.topology, self.secret.as_ref()).await?,
        };
        Ok(self.connection.insert(open))
    }

    fn keep<T>(&mut self, result: Result<T, Trouble>) -> Result<T, Trouble> {
        if !matches!(result, Ok(_) | Err(Trouble::Refused(_))) {
            self.connection = None;
        }
        result
    }

    /// What it knows.
    pub(super) async fn ask(&mut self) -> Answer {
        let connection = self.connection().await?;
        let views = connection.views().await;
        let learned = connection.learned();
        let (store, topology): (StoreId, TopologyVersion) = (learned.store, learned.topology);
        self.keep(views.map(|views| Known { store, topology, views }))
    }

    /// Announces the topology, if the server knows a lower one.
    pub(super) async fn announce(&mut self) -> Result<(), Trouble> {
        let topology = Arc::clone(&self.topology);
        let connection = self.connection().await?;
        if connection.learned().topology >= topology.version() {
            return Ok(());
        }
        let result = connection.announce(topology.text()).await;
        self.keep(result)
    }

    /// Tells it to do something.
    pub(super) async fn command(&mut self, command: &Command) -> Result<(), Trouble> {
        let result = self.connection().await?.command(command).await;
        self.keep(result)
    }

    /// Asks until it answers, refuses, or the time is over.
    async fn ask_until(&mut self, deadline: Instant) -> Answer {
        loop {
            match self.ask().await {
                Err(Trouble::Silent(_) | Trouble::Broken(_)) if clock::now() < deadline => {
                    tokio::time::sleep(PAUSE).await;
                }
                answer => return answer,
            }
        }
    }
}

/// The servers, and what each of them answered last.
#[derive(Debug)]
pub(super) struct Clients {
    clients: BTreeMap<NodeId, Client>,
}

impl Clients {
    /// Asks all servers of the topology at once; those that do not answer are asked again until
    /// `deadline`.
    pub(super) async fn ask_all(
        topology: &Arc<Topology>,
        secret: Option<&Secret>,
        deadline: Instant,
    ) -> (Self, BTreeMap<NodeId, Answer>) {
        let mut tasks = JoinSet::new();
        for server in topology.servers() {
            let mut client = Client::new(server, topology, secret);
            let id = server.id;
            tasks.spawn(async move {
                let answer = client.ask_until(deadline).await;
                (id, client, answer)
            });
        }
        let (mut clients, mut answers) = (BTreeMap::new(), BTreeMap::new());
        for (id, client, answer) in tasks.join_all().await {
            clients.insert(id, client);
            answers.insert(id, answer);
        }
        (Self { clients }, answers)
    }

    /// One server; `None` for one that the topology does not name.
    pub(super) fn get(&mut self, id: NodeId) -> Option<&mut Client> {
        self.clients.get_mut(&id)
    }

    /// Tells one server to do something. One that the topology does not name is told nothing.
    pub(super) async fn tell(&mut self, id: NodeId, command: &Command) -> Result<(), ClusterError> {
        let Some(client) = self.get(id) else { return Ok(()) };
        let done = client.command(command).await;
        done.map_err(|why| ClusterError::Refused { server: client.name().to_owned(), why })
    }

    /// Asks these servers again, one after the other. Gives what they know, and why others do not
    /// say.
    pub(super) async fn ask_again(&mut self, ids: &[NodeId]) -> (Answers, Vec<(String, Trouble)>) {
        let (mut answers, mut troubles) = (Answers::new(), Vec::new());
        for id in ids {
            let Some(client) = self.get(*id) else { continue };
            match client.ask().await {
                Ok(known) => drop(answers.insert(*id, known)),
                Err(why) => troubles.push((client.name().to_owned(), why)),
            }
        }
        (answers, troubles)
    }
}
