//! Carries out what happens from outside.

use evenkeel::desired::ident::ServiceId;
use evenkeel::desired::spec::Protocol;
use evenkeel::desired::spec::RestartPolicy;
use evenkeel::engine::sim::{Foreign as Stranger, Host, HostPort, WantedPort};
use evenkeel::metrics::api::{Api, Command};
use evenkeel::state::observed::ContainerId;

use super::acts::{Deed, Edit, Foreign, Human, Prune, Word};
use super::play::Play;
use super::watch;

impl Play {
    pub async fn act(&mut self, deed: &Deed) {
        self.world.tell(format!("* {deed:?}"));
        match deed {
            Deed::Edit(edit) => self.edit(edit),
            Deed::Word(service, word) => self.word(*service, *word).await,
            Deed::Kill(ms) => self.kill_controller(*ms).await,
            Deed::Term(ms) => self.stop_controller(*ms).await,
            Deed::KillAndForget(ms) => {
                self.kill_controller(*ms).await;
                self.store.lose();
                self.world.disturb_all(true);
            }
            Deed::EngineDies(ms, newest) => self.kill_engine(*ms, *newest),
            Deed::EngineRestarts => {
                self.world.disturb_all(false);
                self.world.sim.with(|host| {
                    if host.alive {
                        host.restart_orderly()
                    }
                });
            }
            Deed::Human(service, human) => self.human(*service, *human),
            Deed::Prune(prune) => self.prune(*prune),
            Deed::Foreign(service, foreign) => self.foreign(*service, *foreign),
            Deed::StoreUnwritable(ms) => {
                self.world.with(|state| state.unwritable = true);
                self.later(*ms, |play| play.world.with(|state| state.unwritable = false));
            }
            Deed::DiskFull(ms) => {
                self.world.disturb_all(true);
                self.world.sim.with(|host| host.disk_full = true);
                self.later(*ms, |play| play.world.sim.with(|host| host.disk_full = false));
            }
            Deed::DiskLow(ms) => {
                self.world.with(|state| state.disk_low = true);
                self.later(*ms, |play| play.world.with(|state| state.disk_low = false));
            }
            Deed::RegistryDown(ms) => {
                self.world.sim.with(|host| host.registry.down = true);
                self.later(*ms, |play| play.world.sim.with(|host| host.registry.down = false));
            }
            Deed::WallClock(ms) => self.world.step_wall_clock(*ms),
            Deed::Panic(service) => {
                let id = self.world.story.services[*service].id();
                self.world.with(|state| state.panics.insert(id));
            }
            Deed::Hang(service, ms) => self.hang(*service, *ms),
        }
    }

    fn edit(&mut self, edit: &Edit) {
        self.world.change_files(|files| files.edit(edit));
        let lasts = match *edit {
            Edit::Break(_, ms) | Edit::Cut(_, _, ms) | Edit::Empty(ms) | Edit::Unreadable(ms) => ms,
            _ => return,
        };
        let edit = edit.clone();
        self.later(lasts, move |play| {
            play.world.change_files(|files| match edit {
                Edit::Break(index, _) => {
                    files.broken.remove(&index);
                }
                Edit::Cut(index, ..) => {
                    files.cut.remove(&index);
                }
                Edit::Empty(_) => files.empty = false,
                _ => files.unreadable = false,
            });
        });
    }

    async fn word(&mut self, service: usize, word: Word) {
        let service = self.world.story.services[service].id();
        let Some(controller) = &self.controller else { return };
        let (project, name) = service.split_once('/').unwrap();
        let id = ServiceId::new(project, name).unwrap();
        let command = match word {
            Word::Rollback => Command::Rollback { to: None },
            Word::Hold(for_ms) => Command::Hold { message: None, for_ms },
            Word::Release => Command::Release,
            Word::Retry => Command::Retry,
        };
        let handle = controller.handle.clone();
        // Whoever asked does not hold the story up.
        let world = std::sync::Arc::clone(&self.world);
        tokio::spawn(async move {
            let answer = handle.command(&id, command).await;
            let text = answer.map_or_else(|error| error.message, |accepted| accepted.message);
            world.tell(format!("the answer: {text}"));
        });
    }

    /// The service's containers, oldest first.
    fn containers(&self, service: &str) -> Vec<ContainerId> {
        let foreign = self.world.with(|state| state.foreign.clone());
        self.world.sim.with(|host| {
            let mut found: Vec<_> = watch::of_service(host, service)
                .filter(|one| !foreign.contains_key(&one.id))
                .map(|one| (one.created_at, one.id.clone()))
                .collect();
            found.sort();
            found.into_iter().map(|(_, id)| id).collect()
        })
    }

    fn human(&mut self, service: usize, human: Human) {
        let service = self.world.story.services[service].id();
        self.world.disturb(&service, true);
        let containers = self.containers(&service);
        let Some(last) = containers.last().cloned() else { return };
        let all = containers;
        if matches!(human, Human::StartAll | Human::Restart) {
            self.world.with(|state| state.by_hand.insert(service.clone()));
        }
        self.world.sim.with(|host| {
            if !host.alive {
                return;
            }
            match human {
                Human::RemoveByForce => host.docker_rm_f(&last),
                Human::Stop => all.iter().for_each(|id| host.docker_kill(id)),
                Human::Kill => host.docker_kill(&last),
                Human::Restart => {
                    host.docker_kill(&last);
                    host.docker_start(&last);
                }
                Human::StartAll => all.iter().for_each(|id| host.docker_start(id)),
                Human::Rename => host.docker_rename(&last, &format!("renamed-{}", last.short())),
                Human::PolicyNo => host.docker_update_restart(&last, RestartPolicy::No),
                Human::PolicyAlways => {
                    all.iter().for_each(|id| host.docker_update_restart(id, RestartPolicy::Always))
                }
                Human::Pause(_) => host.docker_pause(&last),
                Human::ProcessDies => host.process_dies(&last, 1),
            }
        });
        if let Human::Pause(ms) = human {
            self.later(ms, move |play| play.world.sim.with(|host| host.docker_unpause(&last)));
        }
    }

    fn prune(&mut self, prune: Prune) {
        self.world.disturb_all(true);
        let foreign = self.world.with(|state| state.foreign.clone());
        self.world.sim.with(|host| {
            if !host.alive {
                return;
            }
            match prune {
                Prune::Containers => host.container_prune(),
                Prune::Networks => host.network_prune(),
                Prune::Images => host.image_prune_all(),
                Prune::System => host.system_prune_all(),
                Prune::KeepTags => {
                    let tags: Vec<String> =
                        host.images.values().flat_map(|facts| facts.tags.clone()).collect();
                    let ours = tags.iter().filter(|tag| tag.starts_with("evenkeel/"));
                    ours.for_each(|tag| host.docker_rmi_f(tag));
                }
            }
            let gone: Vec<_> =
                foreign.keys().filter(|id| !host.containers.contains_key(*id)).cloned().collect();
            self.world.with(|state| gone.iter().for_each(|id| drop(state.foreign.remove(id))));
        });
    }

    fn foreign(&mut self, service: usize, foreign: Foreign) {
        let defined = self.world.story.services[service].clone();
        let id = defined.id();
        self.world.disturb(&id, true);
        let plain = format!("p{}-{}-1", defined.project, defined.name);
        match foreign {
            Foreign::Name(ms) => {
                let made = self.world.sim.with(|host| {
                    host.named(&plain).is_none().then(|| {
                        let image = "stranger:1".to_owned();
                        host.foreign(Stranger {
                            name: plain.clone(),
                            image,
                            running: true,
                            ..Stranger::default()
                        })
                    })
                });
                self.adopt_stranger(made, plain, ms);
            }
            Foreign::Port(ms) => {
                let Some(port) = defined.port else { return };
                let wanted = WantedPort { ip: None, range: Some((port, port)), protocol: Protocol::Tcp };
                let name = format!("stranger-{}", self.now());
                let made = self.world.sim.with(|host| {
                    host.port_holder(&HostPort::tcp(port)).is_none().then(|| {
                        let (image, ports) = ("stranger:1".to_owned(), [wanted].into());
                        host.foreign(Stranger {
                            name: name.clone(),
                            image,
                            ports,
                            running: true,
                            ..Stranger::default()
                        })
                    })
                });
                self.adopt_stranger(made, name, ms);
            }
            Foreign::CopiedLabels => {
                let name = format!("copy-{}", self.now());
                let made = self.world.sim.with(|host| copy_labels(host, &id, &name));
                if let Some(made) = made {
                    self.world.with(|state| state.foreign.insert(made, name));
                }
            }
        }
    }

    /// It is there for a while and then goes.
    fn adopt_stranger(&mut self, made: Option<ContainerId>, name: String, ms: u64) {
        let Some(made) = made else { return };
        self.world.with(|state| state.foreign.insert(made.clone(), name));
        self.later(ms, move |play| {
            play.world.with(|state| state.foreign.remove(&made));
            play.world.sim.with(|host| host.docker_rm_f(&made));
        });
    }

    fn hang(&mut self, service: usize, ms: u64) {
        let service = self.world.story.services[service].id();
        self.world.disturb(&service, true);
        let until = self.now() + ms;
        if let Some(last) = self.containers(&service).last() {
            self.world.with(|state| state.hung.insert(last.clone(), until));
        }
    }
}

/// Somebody copied a container's labels, all of them, to one of his own.
fn copy_labels(host: &mut Host, service: &str, name: &str) -> Option<ContainerId> {
    let model = watch::of_service(host, service).next()?.clone();
    let made = host.foreign(Stranger {
        name: name.to_owned(),
        image: "stranger:1".to_owned(),
        labels: model.labels.clone(),
        running: true,
        ..Stranger::default()
    });
    host.containers.get_mut(&made)?.own = model.own;
    Some(made)
}
