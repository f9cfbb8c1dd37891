//! One turn of the control thread: everything that waited, one commit, then what may be told.

use std::collections::{BTreeMap, BTreeSet};

use common::ids::{NodeId, VoterGeneration};
use common::register::{Register, VoterSet};
use common::wire::views::Views;
use tokio::sync::oneshot;

use super::electorate::{Electorate, Heard, InstallRefused, Learned};
use super::error::ControlError;
use super::kept::Change;
use super::store::ControlStore;
use crate::files::Fs;
use crate::replication::action::Action;
use crate::replication::message::Message;

/// What the control thread is asked for.
#[derive(Debug)]
pub enum Request {
    /// Make changes durable; [`ControlEvent::Stored`] says so to the worker.
    Store {
        /// The worker, by its index.
        worker: usize,
        /// Comes back with the event.
        ticket: u64,
        /// What to store.
        changes: Vec<Change>,
    },
    /// A message for this node's voter: a step of a round, a renewal, a question for a register.
    /// The answers go to the worker.
    Voter {
        /// The worker it came through.
        worker: usize,
        /// Who sent it; perhaps this node.
        from: NodeId,
        /// The voter set in force for the sender.
        generation: VoterGeneration,
        /// The message.
        message: Message,
    },
    /// A voter set was heard of; who knows an older one only is told the one known here.
    Learn {
        /// The worker through which it was.
        worker: usize,
        /// From whom.
        from: NodeId,
        /// The set.
        set: VoterSet,
    },
    /// An operator's command: this voter set is in force from now on. Answered when that is durable,
    /// or with the reason why it is not.
    Install(VoterSet, oneshot::Sender<Result<(), String>>),
    /// The voter set and all registers this node's voter knows to be chosen; with `true` also newer
    /// ones that it accepted. The sender is dropped if the thread stopped or cannot write.
    Views(bool, oneshot::Sender<Views>),
    /// Make this node a voter of the set, which begins with these registers. Answered when that is
    /// durable, or with the reason why not.
    Admit(VoterSet, Vec<Register>, oneshot::Sender<Result<(), String>>),
    /// Stop, after everything before it. Clean: nothing is appended to the log any more, and all of
    /// it is durable.
    Stop {
        /// Whether it is.
        clean: bool,
    },
}

/// What the control thread tells a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlEvent {
    /// The changes of the request with this ticket are durable.
    Stored(u64),
    /// The voter's answers, in their order; what they depend on is durable.
    Answers(Vec<(NodeId, Message)>),
    /// This voter set is in force; told to every worker.
    Voters(VoterSet),
    /// This node shall be told the voter set in force: it knows an older one.
    VotersTo(NodeId, VoterSet),
}

/// How events reach a worker, named by its index. Called on the control thread; it should not wait
/// for long.
pub type Outlet = Box<dyn Fn(usize, ControlEvent) + Send>;

/// What may be told when the changes are durable.
#[derive(Default)]
struct Turn {
    changes: Vec<Change>,
    stored: Vec<(usize, u64)>,
    answers: BTreeMap<usize, Vec<(NodeId, Message)>>,
    outdated: BTreeSet<(usize, NodeId)>,
    new_set: bool,
    /// Who told this node something that is done with the changes.
    done: Vec<oneshot::Sender<Result<(), String>>>,
    views: Vec<(bool, oneshot::Sender<Views>)>,
}

/// What the thread owns.
pub(super) struct Keeper {
    pub(super) store: ControlStore,
    pub(super) electorate: Electorate,
    pub(super) workers: usize,
    pub(super) outlet: Outlet,
    /// The turn whose commit failed, and whether it shall stop behind it.
    unfinished: Option<(Turn, bool)>,
}

impl Keeper {
    pub(super) fn new(
        store: ControlStore,
        electorate: Electorate,
        workers: usize,
        outlet: Outlet,
    ) -> Self {
        Self { store, electorate, workers, outlet, unfinished: None }
    }

    /// Does what is asked for, with one commit if anything changes. Returns whether it shall stop.
    ///
    /// On an error nobody was told anything, and the voter's state is ahead of the file: it must
    /// not be asked again before [`Self::retry`] has done what was not.
    pub(super) fn run(
        &mut self,
        now_ms: u64,
        requests: impl IntoIterator<Item = Request>,
    ) -> Result<bool, ControlError> {
        let mut turn = Turn::default();
        let mut stop = false;
        for request in requests {
            if let Request::Stop { clean } = request {
                turn.changes.extend(clean.then_some(Change::CleanStop));
                stop = true;
                break;
            }
            turn.take(now_ms, &mut self.electorate, request);
        }
        self.finish(turn, stop)
    }

    fn finish(&mut self, turn: Turn, stop: bool) -> Result<bool, ControlError> {
        if !turn.changes.is_empty()
            && let Err(error) = self.store.commit(&turn.changes)
        {
            // Else it is not made again, and who waits for it hears that.
            self.unfinished = self.store.is_full().then_some((turn, stop));
            return Err(error);
        }
        self.tell(turn);
        Ok(stop)
    }

    /// Opens the file again and finishes the turn whose commit found no room. Its changes may be in
    /// the file already: made twice they are the same. Returns whether it shall stop.
    pub(super) fn retry(&mut self, fs: &dyn Fs) -> Result<bool, ControlError> {
        if let Err(error) = self.store.reopen(fs) {
            self.unfinished.take_if(|_| !error.is_no_space());
            return Err(error);
        }
        let Some((turn, stop)) = self.unfinished.take() else { return Ok(false) };
        self.finish(turn, stop)
    }

    fn tell(&self, turn: Turn) {
        let known = self.electorate.known();
        if turn.new_set {
            for worker in 0..self.workers {
                (self.outlet)(worker, ControlEvent::Voters(known.clone()));
            }
        }
        for (worker, ticket) in turn.stored {
            (self.outlet)(worker, ControlEvent::Stored(ticket));
        }
        for (worker, answers) in turn.answers {
            (self.outlet)(worker, ControlEvent::Answers(answers));
        }
        for (worker, node) in turn.outdated {
            (self.outlet)(worker, ControlEvent::VotersTo(node, known.clone()));
        }
        // Whoever asked may be gone; then nobody wants to know.
        for asker in turn.done {
            drop(asker.send(Ok(())));
        }
        for (accepted, asker) in turn.views {
            drop(asker.send(self.electorate.views(accepted)));
        }
    }
}

impl Turn {
    fn take(&mut self, now_ms: u64, electorate: &mut Electorate, request: Request) {
        match request {
            Request::Store { worker, ticket, changes } => {
                self.changes.extend(changes);
                self.stored.push((worker, ticket));
            }
            Request::Voter { worker, from, generation, message } => {
                let mut actions = Vec::new();
                let sender = (from, generation);
                match electorate.on_message(now_ms, sender, message, &mut actions) {
                    Heard::Voted => self.carry_out(worker, actions),
                    Heard::Outdated => {
                        self.outdated.insert((worker, from));
                    }
                    Heard::Ignored => {}
                }
            }
            Request::Learn { worker, from, set } => {
                if self.learn(electorate, &set, Some(from)) == Learned::Outdated {
                    self.outdated.insert((worker, from));
                }
            }
            Request::Install(set, asker) => self.install(electorate, &set, asker),
            Request::Views(accepted, asker) => self.views.push((accepted, asker)),
            Request::Admit(set, registers, asker) => {
                self.admit(now_ms, electorate, (set, registers), asker);
            }
            // The caller's: nothing behind it is looked at.
            Request::Stop { .. } => {}
        }
    }

    /// The order of a turn's answers is kept, and all of them leave behind all of its changes.
    fn carry_out(&mut self, worker: usize, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::StoreSlot(group, slot) => {
                    self.changes.push(Change::Slot(group, Box::new(slot)))
                }
                Action::Send(to, message) => {
                    self.answers.entry(worker).or_default().push((to, message));
                }
                // A voter wants nothing else.
                other => tracing::error!(?other, "a voter's action has no meaning here"),
            }
        }
    }

    /// A voter set was heard of, from another node or by command.
    fn learn(
        &mut self,
        electorate: &mut Electorate,
        set: &VoterSet,
        from: Option<NodeId>,
    ) -> Learned {
        let generation = set.generation;
        let by = from.map_or_else(|| "command".to_owned(), |node| node.to_string());
        let learned = electorate.on_learned(set);
        match learned {
            Learned::InForce => {
                tracing::info!(%generation, voters = set.voters.len(), by, "voter set learned");
                self.new_set = true;
                self.changes.push(Change::Voters(set.clone()));
            }
            Learned::Known | Learned::Outdated => {}
            Learned::Refused => {
                let known = electorate.known().generation;
                tracing::warn!(%generation, %known, by, "voter set refused: it cannot vote, or another one of this generation is known");
            }
        }
        learned
    }

    /// An operator's tool counts on what it told: it is answered by what is in force afterwards.
    fn install(
        &mut self,
        electorate: &mut Electorate,
        set: &VoterSet,
        asker: oneshot::Sender<Result<(), String>>,
    ) {
        self.learn(electorate, set, None);
        let known = electorate.known();
        if known == set {
            self.done.push(asker);
            return;
        }
        let refused = InstallRefused { given: set.generation, known: known.generation };
        // The asker may be gone; then nobody wants to know.
        drop(asker.send(Err(refused.to_string())));
    }

    fn admit(
        &mut self,
        now_ms: u64,
        electorate: &mut Electorate,
        (set, registers): (VoterSet, Vec<Register>),
        asker: oneshot::Sender<Result<(), String>>,
    ) {
        let before = electorate.known().generation;
        let groups = registers.len();
        match electorate.admit(now_ms, &set, registers) {
            Ok(changes) => {
                if !changes.is_empty() {
                    tracing::info!(generation = %set.generation, groups, "admitted as a voter");
                }
                self.new_set |= electorate.known().generation > before;
                self.changes.extend(changes);
                self.done.push(asker);
            }
            // The asker may be gone; then nobody wants to know.
            Err(refused) => drop(asker.send(Err(refused.to_string()))),
        }
    }
}
