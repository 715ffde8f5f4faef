//! The whole-host guard of removals: what one service cannot see (RELIABILITY.md S3, S17).

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::desired::DesiredState;
use crate::desired::ident::ServiceId;

/// The files must have been still for this long before something that left them goes: a file cut at any line still parses.
pub const QUIET_MS: u64 = 10_000;

/// A service that has containers or a record here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// It has containers on the host (a bare record removes nothing).
    pub has_containers: bool,
    /// The file that last defined it.
    pub source: String,
}

/// What becomes of a service that no file wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemovalVerdict {
    Allowed,
    /// Its file is one that does not load: it is frozen, not unwanted.
    Frozen,
    /// Look again after this many milliseconds of quiet.
    NotYet {
        wait_ms: u64,
    },
    /// Someone has to agree; the token goes to `evenkeel approve`.
    Refused {
        why: String,
        token: String,
    },
    /// Kept on purpose, or held back by something that must be mended.
    Kept {
        why: String,
    },
}

impl RemovalVerdict {
    /// For people, behind "no file wants it any more;".
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Allowed => "it goes".to_owned(),
            Self::Frozen => "its file does not load".to_owned(),
            Self::NotYet { wait_ms } => format!(
                "it goes when the files have been still for another {}",
                super::gate::seconds((*wait_ms).max(1))
            ),
            Self::Refused { why, token } => {
                format!("{why}; nothing was changed; to go ahead: `evenkeel approve {token}`")
            }
            Self::Kept { why } => why.clone(),
        }
    }
}

/// The verdict for every known service that is not in the desired state. `stable_ms`: how long the files have been as they are.
/// `consent`: the last token someone approved.
#[must_use]
pub fn removals(
    desired: &DesiredState,
    known: &BTreeMap<ServiceId, Known>,
    stable_ms: u64,
    consent: Option<&str>,
) -> BTreeMap<ServiceId, RemovalVerdict> {
    let unwanted: BTreeMap<&ServiceId, &Known> =
        known.iter().filter(|(id, _)| !desired.services.contains_key(*id)).collect();
    let verdict = |known: &Known| -> RemovalVerdict {
        if desired.broken.contains_key(&known.source) {
            return RemovalVerdict::Frozen;
        }
        if let Some(file) = desired.broken.keys().next() {
            return RemovalVerdict::Kept {
                why: format!("nothing is removed while {file} does not load, because it may be in there"),
            };
        }
        if !desired.guard.prune_containers {
            return RemovalVerdict::Kept { why: "[policy.prune] containers = false keeps it".to_owned() };
        }
        if stable_ms < QUIET_MS {
            return RemovalVerdict::NotYet { wait_ms: QUIET_MS - stable_ms };
        }
        RemovalVerdict::Allowed
    };
    let mut verdicts: BTreeMap<ServiceId, RemovalVerdict> =
        unwanted.iter().map(|(id, known)| ((*id).clone(), verdict(known))).collect();
    if let Some((why, token)) = refusal(desired, known, &verdicts)
        && consent != Some(token.as_str())
    {
        for verdict in verdicts.values_mut().filter(|verdict| **verdict == RemovalVerdict::Allowed) {
            *verdict = RemovalVerdict::Refused { why: why.clone(), token: token.clone() };
        }
    }
    verdicts
}

/// Why the removals that would be allowed one by one are too many together, and the token that names exactly them.
fn refusal(
    desired: &DesiredState,
    known: &BTreeMap<ServiceId, Known>,
    verdicts: &BTreeMap<ServiceId, RemovalVerdict>,
) -> Option<(String, String)> {
    let running = |id: &ServiceId| known.get(id).is_some_and(|known| known.has_containers);
    let going: Vec<&ServiceId> = verdicts
        .iter()
        .filter(|(id, verdict)| **verdict == RemovalVerdict::Allowed && running(id))
        .map(|(id, _)| id)
        .collect();
    let all = known.keys().filter(|id| running(id)).count();
    let limit = desired.guard.max_removals.map_or_else(|| 1.max(all / 2), |limit| limit as usize);
    let why = if going.is_empty() {
        return None;
    } else if desired.services.is_empty() && !desired.guard.allow_empty {
        format!(
            "refusing to remove all {} services, because the desired state is empty (policy.guard.empty_state = \"allow\" permits it)",
            going.len()
        )
    } else if going.len() > limit {
        format!(
            "refusing to remove {} of {all} services in one step (the limit is {limit}: policy.guard.max_removals)",
            going.len()
        )
    } else {
        return None;
    };
    let mut digest = Sha256::new();
    for id in &going {
        digest.update(id.to_string());
        digest.update(b"\n");
    }
    let token = hex::encode(digest.finalize()).get(..6).unwrap_or_default().to_owned();
    Some((why, token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::diagnostic::{Diagnostic, Span};

    fn known(names: &[&str]) -> BTreeMap<ServiceId, Known> {
        let known = |name: &&str| {
            (
                ServiceId::new("p", name).unwrap(),
                Known { has_containers: true, source: format!("p/{name}.toml") },
            )
        };
        names.iter().map(known).collect()
    }

    fn desired(names: &[&str], broken: &[&str]) -> DesiredState {
        let frozen = crate::desired::Wanted::Frozen(Vec::new());
        let services =
            names.iter().map(|name| (ServiceId::new("p", name).unwrap(), frozen.clone())).collect();
        let fault = Diagnostic::error("syntax", Span::default(), "broken", "here");
        let broken = broken.iter().map(|file| ((*file).to_owned(), vec![fault.clone()])).collect();
        DesiredState { services, broken, ..DesiredState::default() }
    }

    fn check(desired: &DesiredState, known_names: &[&str], stable_ms: u64) -> Vec<String> {
        removals(desired, &known(known_names), stable_ms, None)
            .iter()
            .map(|(id, verdict)| format!("{}: {}", id.service, verdict.text()))
            .collect()
    }

    #[test]
    fn one_of_three_goes_after_the_quiet_period() {
        assert_eq!(check(&desired(&["a", "b"], &[]), &["a", "b", "c"], QUIET_MS), ["c: it goes"]);
        let waits = check(&desired(&["a", "b"], &[]), &["a", "b", "c"], 4_000);
        assert_eq!(waits, ["c: it goes when the files have been still for another 6 s"]);
    }

    #[test]
    fn nothing_goes_while_a_file_is_broken_and_its_own_services_are_frozen() {
        let state = desired(&["a"], &["p/b.toml"]);
        let verdicts = removals(&state, &known(&["a", "b", "c"]), QUIET_MS, None);
        let kinds: Vec<_> =
            verdicts.values().map(|verdict| matches!(verdict, RemovalVerdict::Frozen)).collect();
        assert_eq!(kinds, [true, false]);
        assert!(matches!(verdicts.values().nth(1), Some(RemovalVerdict::Kept { .. })));
    }

    #[test]
    fn an_empty_desired_state_and_a_mass_removal_wait_for_consent_to_exactly_these() {
        let known = known(&["a", "b", "c", "d"]);
        for wanted in [&[][..], &["a"][..]] {
            let state = desired(wanted, &[]);
            let verdicts = removals(&state, &known, QUIET_MS, None);
            let Some(RemovalVerdict::Refused { token, .. }) = verdicts.values().next() else {
                panic!("{verdicts:?}")
            };
            let agreed = removals(&state, &known, QUIET_MS, Some(token));
            assert!(agreed.values().all(|verdict| *verdict == RemovalVerdict::Allowed), "{agreed:?}");
            let other = removals(&desired(&["b"], &[]), &known, QUIET_MS, Some(token));
            assert!(
                other.values().all(|verdict| *verdict != RemovalVerdict::Allowed),
                "consent to other removals: {other:?}"
            );
        }
    }

    #[test]
    fn the_limit_in_the_file_counts_before_the_default() {
        let mut state = desired(&["a"], &[]);
        state.guard.max_removals = Some(3);
        assert_eq!(check(&state, &["a", "b", "c", "d"], QUIET_MS).len(), 3);
        assert!(check(&state, &["a", "b", "c", "d"], QUIET_MS).iter().all(|line| line.ends_with("it goes")));
    }
}
