//! Answers to what a load asks: each content opened, kept, and named.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::sync::PoisonError;

use super::Secrets;
use super::open::Opener;
use super::vault::{Shelf, VALUE_CAP};
use crate::desired::provided::{Answer, Answers, Ask, Cipher, Content, Origin};
use crate::desired::snapshot::{HostFacts, Snapshot};
use crate::desired::{DesiredState, Loaded, SourcesLoader};

/// Loads until every question is answered: what is asked does not depend on the answers, so the second load is the last.
const ROUNDS: usize = 3;

impl Secrets {
    /// Loads a snapshot with what this host knows of its secrets and configs. Blocks while programs open files.
    pub fn load(&self, loader: &mut SourcesLoader, snapshot: &Snapshot, facts: HostFacts) -> Loaded {
        let mut facts = HostFacts { answers: self.last(), ..facts };
        let mut loaded = loader.load(snapshot, &facts);
        for _ in 0..ROUNDS {
            let answers = self.answer_all(&loaded.state);
            if answers == facts.answers {
                break;
            }
            facts.answers = answers;
            loaded = loader.load(snapshot, &facts);
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = facts.answers.clone();
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = asks(&loaded.state);
        self.set_credentials(&loaded.state);
        loaded
    }

    fn last(&self) -> Answers {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the same question would be answered in another way by now: a secret was set, a file of the host has changed.
    pub fn is_stale(&self) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.answers(asked) != self.last()
    }

    fn answer_all(&self, state: &DesiredState) -> Answers {
        self.answers(asks(state))
    }

    fn answers(&self, asks: Vec<Ask>) -> Answers {
        let answered: BTreeMap<Ask, Answer> = asks
            .into_iter()
            .map(|ask| {
                let answer = self.answer(&ask);
                (ask, answer)
            })
            .collect();
        Answers::new(answered)
    }

    fn answer(&self, ask: &Ask) -> Answer {
        match &ask.origin {
            Origin::Here(content) => self.named(ask, content),
            Origin::Variable(_, Some(content)) => self.named(ask, content),
            Origin::Variable(name, None) => Err(format!(
                "the variable `{name}` is set neither in the files nor in evenkeel's environment: set it there, and start evenkeel again"
            )),
            Origin::Sealed(cipher, name, sealed) => self.opened(ask, *cipher, name, sealed.expose()),
            Origin::HostFile(None, path) => self.named(ask, &Content::new(read(Path::new(path))?)),
            Origin::HostFile(Some(cipher), path) => self.opened(ask, *cipher, path, &read(Path::new(path))?),
            Origin::Store(name) => match self.vault.get(Shelf::Store, name)? {
                Some(value) => self.named(ask, &Content::new(value)),
                None => Err(format!("it is not on this host yet: evenkeel secret set {name}")),
            },
        }
    }

    fn opened(&self, ask: &Ask, cipher: Cipher, name: &str, sealed: &[u8]) -> Answer {
        let key = (ask.id.clone(), Opener::digest(cipher, name, sealed));
        let known = self.opened.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        // Named again only when its value is still at hand: the name alone would bring nobody the file.
        if let Some(known) = known.filter(|known| self.read_only || self.vault.has(Shelf::Values, known)) {
            return Ok(known);
        }
        let content = Content::new(self.opener.open(cipher, name, sealed)?);
        let named = self.named(ask, &content)?;
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(key, named.clone());
        Ok(named)
    }

    /// Keeps a content, and gives it its name.
    fn named(&self, ask: &Ask, content: &Content) -> Answer {
        let name = self.vault.name(&ask.id, content)?;
        self.vault.put(Shelf::Values, &name, content.expose())?;
        Ok(name)
    }
}

/// What is used on this host, and so has to be found out.
fn asks(state: &DesiredState) -> Vec<Ask> {
    let used = state.provided.iter().filter(|(_, provided)| provided.is_used());
    used.map(|(id, provided)| Ask { id: id.clone(), origin: provided.origin.clone() }).collect()
}

/// A file of the host, whole.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no file {shown} on this host"),
        _ => format!("the file {shown} of this host cannot be read: {error}"),
    };
    // A pipe or a device would be waited for without end.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(format!("{shown} is not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(VALUE_CAP + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > VALUE_CAP {
        return Err(format!("{shown} is larger than {} MiB: mount it with `volumes`", VALUE_CAP >> 20));
    }
    Ok(bytes)
}
