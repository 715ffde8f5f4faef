//! Requests that change something, as values: so that a fault can lose one, hold its answer back, or carry it out later.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::fault::{Fault, Moment, Op};
use super::host::Host;
use crate::desired::spec::{Endpoint, NetworkSpec, Resources, RestartPolicy, VolumeSpec};
use crate::engine::{EngineError, READ_DEADLINE, Result, WRITE_DEADLINE};
use crate::state::observed::{ContainerId, ExecId, ImageFacts, ImageId};
use crate::state::plan::{Creation, Failure};

/// One request that changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Pull {
        image: String,
    },
    Tag {
        image: ImageId,
        repository: String,
        tag: String,
    },
    Untag {
        reference: String,
    },
    Create(Arc<Creation>),
    Start(ContainerId),
    /// Until it is down.
    Stop {
        id: ContainerId,
        grace: Option<u32>,
    },
    /// The same, but its caller waits for the end elsewhere.
    BeginStop {
        id: ContainerId,
        grace: Option<u32>,
    },
    MakeExec {
        id: ContainerId,
        words: Vec<String>,
    },
    StartExec {
        exec: ExecId,
    },
    SetRestart {
        id: ContainerId,
        policy: RestartPolicy,
    },
    SetResources {
        id: ContainerId,
        resources: Resources,
    },
    Deliver {
        id: ContainerId,
        signal: Option<String>,
    },
    Rename {
        id: ContainerId,
        name: String,
    },
    Remove {
        id: ContainerId,
        force: bool,
    },
    Connect {
        network: String,
        id: ContainerId,
        endpoint: Endpoint,
        aliases: BTreeSet<String>,
    },
    Disconnect {
        network: String,
        id: ContainerId,
    },
    CreateNetwork {
        network: Arc<NetworkSpec>,
        owner: String,
    },
    RemoveNetwork {
        id: String,
    },
    CreateVolume {
        volume: Arc<VolumeSpec>,
        owner: String,
    },
}

/// What a request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Done,
    /// The id of what was made (or was there already).
    Made(String),
    Image(Box<ImageFacts>),
}

impl Answer {
    /// The id of what was made.
    pub(super) fn made(self, op: Op, object: &str) -> Result<String> {
        match self {
            Self::Made(id) => Ok(id),
            _ => Err(odd(op, object)),
        }
    }

    /// The image that was pulled.
    pub(super) fn image(self, reference: &str) -> Result<ImageFacts> {
        match self {
            Self::Image(facts) => Ok(*facts),
            _ => Err(odd(Op::Pull, reference)),
        }
    }
}

/// A call was answered with another call's answer, which no code path does.
fn odd(op: Op, object: &str) -> EngineError {
    let text = "the simulated engine gave a wrong kind of answer";
    EngineError::new(op.as_str(), object, Failure::Internal, text)
}

/// A request whose caller has gone and that is still executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    pub due: u64,
    pub call: Call,
}

impl Call {
    #[must_use]
    pub fn op(&self) -> Op {
        match self {
            Self::Pull { .. } => Op::Pull,
            Self::Tag { .. } => Op::Tag,
            Self::Untag { .. } => Op::Untag,
            Self::Create(_) => Op::Create,
            Self::Start(_) => Op::Start,
            Self::Stop { .. } | Self::BeginStop { .. } => Op::Stop,
            Self::MakeExec { .. } => Op::MakeExec,
            Self::StartExec { .. } => Op::StartExec,
            Self::SetRestart { .. } => Op::SetRestart,
            Self::SetResources { .. } => Op::SetResources,
            Self::Deliver { .. } => Op::Deliver,
            Self::Rename { .. } => Op::Rename,
            Self::Remove { .. } => Op::Remove,
            Self::Connect { .. } => Op::Connect,
            Self::Disconnect { .. } => Op::Disconnect,
            Self::CreateNetwork { .. } => Op::CreateNetwork,
            Self::RemoveNetwork { .. } => Op::RemoveNetwork,
            Self::CreateVolume { .. } => Op::CreateVolume,
        }
    }

    /// What it is about, for errors.
    #[must_use]
    pub fn object(&self) -> String {
        match self {
            Self::Pull { image } => image.clone(),
            Self::Tag { repository, tag, .. } => format!("{repository}:{tag}"),
            Self::Untag { reference } => reference.clone(),
            Self::Create(creation) => creation.name.clone(),
            Self::CreateNetwork { network, .. } => network.name.clone(),
            Self::RemoveNetwork { id } => id.clone(),
            Self::StartExec { exec } => exec.short().to_owned(),
            Self::CreateVolume { volume, .. } => volume.name.clone(),
            _ => self.container().map(|id| id.short().to_owned()).unwrap_or_default(),
        }
    }

    /// The container it is addressed to.
    #[must_use]
    pub fn container(&self) -> Option<&ContainerId> {
        match self {
            Self::Start(id)
            | Self::Stop { id, .. }
            | Self::BeginStop { id, .. }
            | Self::MakeExec { id, .. }
            | Self::SetRestart { id, .. }
            | Self::SetResources { id, .. }
            | Self::Deliver { id, .. }
            | Self::Rename { id, .. }
            | Self::Remove { id, .. }
            | Self::Connect { id, .. }
            | Self::Disconnect { id, .. } => Some(id),
            _ => None,
        }
    }
}

impl Host {
    /// Sends one request: counts it, plays the fault scripted for it, else executes it.
    pub fn call(&mut self, call: Call) -> Result<Answer> {
        let op = call.op();
        self.count(op);
        let fault = self.take_fault(op).map_or(Fault::Pass, |scripted| scripted.fault);
        if !self.alive {
            return Err(unreachable(op, call.object()));
        }
        if call.container().is_some_and(|id| self.hung.contains(id)) {
            return self.hang(call);
        }
        match fault {
            Fault::Pass | Fault::StaleRead => self.execute(&call),
            Fault::Lost => Err(unknown(op, call.object())),
            Fault::DoneButUnknown => {
                // Whatever it came to, nobody hears of it.
                let _ = self.execute(&call);
                Err(unknown(op, call.object()))
            }
            Fault::DoneLater(after) => {
                let lost = Err(unknown(op, call.object()));
                self.pending.push(Pending { due: self.now.saturating_add(after), call });
                lost
            }
            Fault::Error(kind) => Err(scripted(op, call.object(), kind)),
            Fault::Slow(ms) => {
                self.advance(ms);
                self.execute(&call)
            }
            Fault::EngineDies(moment) => {
                match moment {
                    Moment::Before => {}
                    Moment::Midway => self.break_off(&call),
                    Moment::After => {
                        let _ = self.execute(&call);
                    }
                }
                self.kill();
                Err(unknown(op, call.object()))
            }
        }
    }

    /// A request that only reads: `read` is shown the containers as they are, or as they were when a stale read was scripted.
    pub(super) fn read<T>(
        &mut self,
        op: Op,
        object: &str,
        read: impl FnOnce(&Self) -> Result<T>,
    ) -> Result<T> {
        self.count(op);
        let scripted_fault = self.take_fault(op);
        if !self.alive {
            return Err(unreachable(op, object));
        }
        let Some(fault) = scripted_fault else { return read(self) };
        match fault.fault {
            Fault::Lost | Fault::DoneButUnknown | Fault::DoneLater(_) => Err(unknown(op, object)),
            Fault::Error(kind) => Err(scripted(op, object, kind)),
            Fault::Slow(ms) => {
                self.advance(ms);
                read(self)
            }
            Fault::EngineDies(_) => {
                self.kill();
                Err(unknown(op, object))
            }
            Fault::Pass => read(self),
            Fault::StaleRead => match fault.view {
                Some(view) => {
                    let now = std::mem::replace(&mut self.containers, view.as_ref().clone());
                    let answer = read(self);
                    self.containers = now;
                    answer
                }
                None => read(self),
            },
        }
    }

    /// Takes the time out of a `Slow` fault that is next for `op`: a caller that can wait does so itself.
    pub(super) fn take_delay(&mut self, op: Op) -> Option<u64> {
        let queue = self.faults.get_mut(&op)?;
        let scripted = queue.front_mut()?;
        let Fault::Slow(ms) = scripted.fault else { return None };
        scripted.fault = Fault::Pass;
        Some(ms)
    }

    fn take_fault(&mut self, op: Op) -> Option<super::fault::Scripted> {
        let queue = self.faults.get_mut(&op)?;
        let fault = queue.pop_front();
        // No empty queues: they would make two equal hosts differ.
        if queue.is_empty() {
            self.faults.remove(&op);
        }
        fault
    }

    /// Executes the requests whose time has come, oldest first.
    pub(super) fn run_pending(&mut self) {
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.pending).into_iter().partition(|one| one.due <= now);
        self.pending = later;
        let due: Vec<Pending> = due;
        for pending in due {
            let _ = self.execute(&pending.call);
        }
    }

    /// Requests that will still be executed although nobody waits for them, and when.
    pub fn pending_calls(&self) -> impl Iterator<Item = (u64, &Call)> {
        self.pending.iter().map(|pending| (pending.due, &pending.call))
    }

    /// From now on every request about this container hangs until its deadline, as with a frozen shim.
    pub fn hang_on(&mut self, id: &ContainerId) {
        self.hung.insert(id.clone());
    }

    /// The container answers again, and what was asked of it meanwhile is carried out (RELIABILITY.md fact 1).
    pub fn wake(&mut self, id: &ContainerId) {
        self.hung.remove(id);
        for pending in &mut self.pending {
            if pending.call.container() == Some(id) && pending.due == NEVER {
                pending.due = self.now;
            }
        }
        self.run_pending();
    }

    fn hang(&mut self, call: Call) -> Result<Answer> {
        let lost = Err(unknown(call.op(), call.object()));
        self.pending.push(Pending { due: NEVER, call });
        self.advance(u64::try_from(WRITE_DEADLINE.as_millis()).unwrap_or(u64::MAX));
        lost
    }

    pub(super) fn hang_read<T>(&mut self, op: Op, id: &ContainerId) -> Result<T> {
        self.count(op);
        self.advance(u64::try_from(READ_DEADLINE.as_millis()).unwrap_or(u64::MAX));
        Err(unknown(op, id.short()))
    }

    fn execute(&mut self, call: &Call) -> Result<Answer> {
        let done = |result: Result<()>| result.map(|()| Answer::Done);
        match call {
            Call::Pull { image } => self.run_pull(image).map(|facts| Answer::Image(Box::new(facts))),
            Call::Tag { image, repository, tag } => done(self.run_tag(image, repository, tag)),
            Call::Untag { reference } => done(self.run_untag(reference)),
            Call::Create(creation) => self.run_create(creation).map(|id| Answer::Made(id.0)),
            Call::Start(id) => done(self.run_start(id)),
            Call::Stop { id, grace } => done(self.run_stop(id, *grace)),
            Call::BeginStop { id, grace } => done(self.begin_stop(id, *grace).map(drop)),
            Call::MakeExec { id, words } => self.run_make_exec(id, words).map(Answer::Made),
            Call::StartExec { exec } => done(self.run_start_exec(exec)),
            Call::SetRestart { id, policy } => done(self.run_set_restart(id, *policy)),
            Call::SetResources { id, resources } => done(self.run_set_resources(id, resources)),
            Call::Deliver { id, signal } => done(self.run_deliver(id, signal.as_deref())),
            Call::Rename { id, name } => done(self.run_rename(id, name)),
            Call::Remove { id, force } => done(self.run_remove(id, *force)),
            Call::Connect { network, id, endpoint, aliases } => {
                done(self.run_connect(network, id, endpoint, aliases))
            }
            Call::Disconnect { network, id } => done(self.run_disconnect(network, id)),
            Call::CreateNetwork { network, owner } => {
                self.run_create_network(network, owner).map(Answer::Made)
            }
            Call::RemoveNetwork { id } => done(self.run_remove_network(id)),
            Call::CreateVolume { volume, owner } => done(self.run_create_volume(volume, owner)),
        }
    }
}

/// Later than anything.
const NEVER: u64 = u64::MAX;

fn unreachable(op: Op, object: impl Into<String>) -> EngineError {
    EngineError::new(op.as_str(), object, Failure::Unreachable, "the simulated engine is down")
}

fn unknown(op: Op, object: impl Into<String>) -> EngineError {
    EngineError::new(op.as_str(), object, Failure::Unknown, "no answer from the simulated engine")
}

fn scripted(op: Op, object: impl Into<String>, kind: Failure) -> EngineError {
    EngineError::new(op.as_str(), object, kind, "a scripted fault of the simulated engine")
}
