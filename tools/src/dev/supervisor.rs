//! Watches the children: waits until they are ready, starts and stops single ones, says when one
//! ended by itself, and stops all in order.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::DevError;
use super::child::Running;
use super::control::{Outcome, Wish};
use super::member::{Member, Role};
use super::paths::Paths;
use crate::ctl::probe;
use crate::{clock, console};

/// How often children are looked at.
const TICK: Duration = Duration::from_millis(100);
/// How long a child may take to stop before it is killed.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a member that was started on request may take to become ready.
const START_TIME_MAX: Duration = Duration::from_secs(120);

/// What the threads around the supervisor tell it.
#[derive(Debug)]
pub(super) enum Event {
    /// Stop everything.
    Stop,
    /// Somebody asked for something and waits for the outcome.
    Wish(Wish, SyncSender<Outcome>),
}

/// Why waiting ended before what was waited for.
pub(super) enum Interrupted {
    /// The operator stopped it.
    Stop,
    /// A member ended or was not ready in time.
    Failed(DevError),
}

/// A member that was started on request and is not ready yet.
struct Starting {
    id: String,
    reply: SyncSender<Outcome>,
    deadline: Instant,
}

/// The children and who asked for what.
pub(super) struct Supervisor {
    paths: Paths,
    members: Vec<Member>,
    running: BTreeMap<String, Running>,
    events: Receiver<Event>,
    starting: Vec<Starting>,
}

impl Supervisor {
    /// Supervises `members`; none runs yet.
    pub(super) fn new(paths: Paths, members: Vec<Member>, events: Receiver<Event>) -> Self {
        Self { paths, members, running: BTreeMap::new(), events, starting: Vec::new() }
    }

    /// Starts the members of a role; `create` says which nodes make their data.
    pub(super) fn start(
        &mut self,
        role: Role,
        create: impl Fn(&Member) -> bool,
    ) -> Result<(), DevError> {
        for member in self.members.iter().filter(|m| m.role == role) {
            let child = Running::start(&self.paths, member, create(member))?;
            self.running.insert(member.id.clone(), child);
        }
        Ok(())
    }

    /// Waits until all that run answer `path` with 200.
    pub(super) fn wait(&mut self, path: &str, time_max: Duration) -> Result<(), Interrupted> {
        let deadline = clock::now() + time_max;
        let mut left: Vec<Member> =
            self.members.iter().filter(|m| self.running.contains_key(&m.id)).cloned().collect();
        loop {
            let mut reason = String::new();
            left.retain(|member| match probe(&member.admin, path) {
                Ok(()) => false,
                Err(why) => {
                    reason = why;
                    true
                }
            });
            let Some(last) = left.last() else {
                return Ok(());
            };
            if clock::now() >= deadline {
                let (id, seconds) = (last.id.clone(), time_max.as_secs());
                let (log, last) = self.log_of(&id);
                let late = DevError::NotReady { id, seconds, reason, log, last };
                return Err(Interrupted::Failed(late));
            }
            self.check_running(TICK)?;
        }
    }

    /// Does `work` on a thread of this name and waits for it while all children run.
    pub(super) fn during<T: Send + 'static>(
        &mut self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Interrupted> {
        let (sender, result) = sync_channel(1);
        // Nobody waits for the result of work that was given up.
        let work = move || drop(sender.send(work()));
        let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
        spawned.map_err(|source| {
            Interrupted::Failed(DevError::System { what: "start a thread", source })
        })?;
        loop {
            match result.recv_timeout(TICK) {
                Ok(done) => return Ok(done),
                Err(RecvTimeoutError::Disconnected) => return Err(Interrupted::Stop),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.check_running(Duration::ZERO)?;
        }
    }

    /// Ends the start when a child ended or the operator says so; others are put off.
    fn check_running(&mut self, wait: Duration) -> Result<(), Interrupted> {
        if let Some((id, status)) = self.reap().into_iter().next() {
            return Err(Interrupted::Failed(self.ended(&id, status)));
        }
        match self.events.recv_timeout(wait) {
            Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => Err(Interrupted::Stop),
            Ok(Event::Wish(_, reply)) => {
                drop(reply.try_send(Err("the cluster is still starting".to_owned())));
                Ok(())
            }
            Err(RecvTimeoutError::Timeout) => Ok(()),
        }
    }

    /// Serves wishes and watches children until it is told to stop.
    pub(super) fn watch(&mut self) {
        loop {
            match self.events.recv_timeout(TICK) {
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(Event::Wish(Wish::Start(id), reply)) => self.begin_start(&id, reply),
                Ok(Event::Wish(Wish::Stop(id), reply)) => {
                    let outcome = self.stop_one(&id);
                    drop(reply.try_send(outcome));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            for (id, status) in self.reap() {
                self.tell_end(&id, &status);
            }
            self.check_starting();
        }
    }

    /// Stops the proxy, then the nodes. A second request to stop kills what is left.
    pub(super) fn stop_all(&mut self) {
        for role in [Role::Proxy, Role::Node] {
            let ids = self.members.iter().filter(|m| m.role == role).map(|m| m.id.clone());
            self.stop(ids.collect());
        }
    }

    fn begin_start(&mut self, id: &str, reply: SyncSender<Outcome>) {
        let started = match self.members.iter().find(|m| m.id == id) {
            None => Err(self.unknown(id)),
            Some(_) if self.running.contains_key(id) => Err(format!("{id} runs already")),
            // Only the first start of a cluster creates data.
            Some(member) => Running::start(&self.paths, member, false).map_err(|e| e.to_string()),
        };
        match started {
            Ok(child) => {
                self.running.insert(id.to_owned(), child);
                let deadline = clock::now() + START_TIME_MAX;
                self.starting.push(Starting { id: id.to_owned(), reply, deadline });
            }
            Err(text) => drop(reply.try_send(Err(text))),
        }
    }

    fn check_starting(&mut self) {
        let now = clock::now();
        for waiting in std::mem::take(&mut self.starting) {
            let member = self.members.iter().find(|m| m.id == waiting.id);
            let member = member.expect("only members are started");
            let outcome = match probe(&member.admin, "/readyz") {
                Ok(()) => Ok(format!("{} is ready at {}", member.id, member.address)),
                Err(reason) if now >= waiting.deadline => Err(format!(
                    "{} runs, but was not ready after {} s: {reason}; see {}",
                    member.id,
                    START_TIME_MAX.as_secs(),
                    self.paths.log(&member.id).display()
                )),
                Err(_) => {
                    self.starting.push(waiting);
                    continue;
                }
            };
            if let Ok(text) = &outcome {
                console::line(text);
            }
            // Whoever asked may be gone.
            drop(waiting.reply.try_send(outcome));
        }
    }

    fn stop_one(&mut self, id: &str) -> Outcome {
        if !self.members.iter().any(|m| m.id == id) {
            return Err(self.unknown(id));
        }
        if !self.running.contains_key(id) {
            return Err(format!("{id} does not run"));
        }
        self.stop(vec![id.to_owned()]);
        let text = format!("{id} is stopped");
        console::line(&text);
        Ok(text)
    }

    /// Asks these to stop, waits, and kills what does not.
    fn stop(&mut self, mut ids: Vec<String>) {
        ids.retain(|id| self.running.contains_key(id));
        for id in &ids {
            self.running[id].ask_to_stop();
        }
        let (deadline, mut killed) = (clock::now() + STOP_TIME_MAX, false);
        while !ids.is_empty() {
            ids.retain(|id| {
                let ended = self.running.get_mut(id).is_none_or(|c| c.ended().is_some());
                if ended {
                    self.running.remove(id);
                }
                !ended
            });
            let impatient = matches!(self.events.recv_timeout(TICK / 5), Ok(Event::Stop));
            if !killed && (impatient || clock::now() >= deadline) {
                killed = true;
                for id in &ids {
                    console::warn(format!("fdht dev: {id} does not stop and is killed"));
                    if let Some(child) = self.running.get_mut(id) {
                        child.kill();
                    }
                }
            }
        }
    }

    /// Those that ended by themselves. They stay in `running` until [`Self::forget`].
    fn reap(&mut self) -> Vec<(String, String)> {
        let ended = |(id, child): (&String, &mut Running)| Some((id.clone(), child.ended()?));
        self.running.iter_mut().filter_map(ended).collect()
    }

    fn tell_end(&mut self, id: &str, status: &str) {
        let (log, last) = self.log_of(id);
        self.running.remove(id);
        console::warn(format!(
            "fdht dev: {id} ended by itself ({status}) and stays down; start it with \
             `fdht dev --dir {} start {id}`; the end of {}:\n{last}",
            self.paths.root().display(),
            log.display(),
        ));
        for waiting in std::mem::take(&mut self.starting) {
            if waiting.id == id {
                let text = format!("{id} ended while starting ({status}); its last lines:\n{last}");
                drop(waiting.reply.try_send(Err(text)));
            } else {
                self.starting.push(waiting);
            }
        }
    }

    fn ended(&mut self, id: &str, status: String) -> DevError {
        let (log, last) = self.log_of(id);
        self.running.remove(id);
        DevError::Ended { id: id.to_owned(), status, log, last }
    }

    fn log_of(&self, id: &str) -> (std::path::PathBuf, String) {
        match self.running.get(id) {
            Some(child) => (child.log().to_owned(), child.last_lines()),
            None => (self.paths.log(id), String::new()),
        }
    }

    fn unknown(&self, id: &str) -> String {
        let ids: Vec<&str> = self.members.iter().map(|m| m.id.as_str()).collect();
        format!("there is no {id:?} in this cluster; it has {}", ids.join(", "))
    }
}
