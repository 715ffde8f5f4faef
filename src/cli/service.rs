//! SERVICE on the command line: `project/service`, or `service` alone where only one project has it.

use crate::desired::ident::ServiceId;

/// Finds the service meant among those known.
///
/// # Errors
/// A sentence: nothing or several things are called so, with what was likely meant.
pub(super) fn pick(text: &str, known: &[ServiceId]) -> Result<ServiceId, String> {
    pick_of("service", text, known)
}

/// The same among things of another kind, which `word` names.
///
/// # Errors
/// See [`pick`].
pub(super) fn pick_of(word: &str, text: &str, known: &[ServiceId]) -> Result<ServiceId, String> {
    if let Some((project, service)) = text.split_once('/') {
        let id = ServiceId::new(project, service).ok_or_else(|| {
            format!("`{text}` is no name of a {word}: write PROJECT/{}", word.to_uppercase())
        })?;
        return if known.contains(&id) { Ok(id) } else { Err(unknown(word, text, known)) };
    }
    let found: Vec<&ServiceId> = known.iter().filter(|id| id.service.as_str() == text).collect();
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(unknown(word, text, known)),
        several => Err(format!("`{text}` is in several projects; which one? {}", list(several))),
    }
}

/// Every service meant; all of them when none is named.
///
/// # Errors
/// The sentences of every one that was not found.
pub(super) fn pick_all(texts: &[String], known: &[ServiceId]) -> Result<Vec<ServiceId>, String> {
    let mut errors = Vec::new();
    let mut found = Vec::new();
    for text in texts {
        match pick(text, known) {
            Ok(id) => found.push(id),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(found) } else { Err(errors.join("\n       ")) }
}

fn unknown(word: &str, text: &str, known: &[ServiceId]) -> String {
    if known.is_empty() {
        return format!("there is no {word} `{text}`: no {word} is known on this host yet");
    }
    // Project and service each for itself: a common project makes two services no more alike.
    let likeness = |id: &&ServiceId| match text.split_once('/') {
        Some((project, service)) => strsim::jaro_winkler(project, id.project.as_str())
            .min(strsim::jaro_winkler(service, id.service.as_str())),
        None => strsim::jaro_winkler(text, id.service.as_str()),
    };
    let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest.filter(|id| likeness(id) >= 0.8) {
        Some(id) => format!("there is no {word} `{text}`; did you mean {id}?"),
        None => format!("there is no {word} `{text}`; there is {}", list(&known.iter().collect::<Vec<_>>())),
    }
}

fn list(ids: &[&ServiceId]) -> String {
    const SHOWN: usize = 12;
    let mut names: Vec<String> = ids.iter().take(SHOWN).map(ToString::to_string).collect();
    if ids.len() > SHOWN {
        names.push(format!("and {} more (evenkeel status)", ids.len() - SHOWN));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<ServiceId> {
        [("shop", "web"), ("shop", "db"), ("blog", "web")]
            .iter()
            .map(|(project, service)| ServiceId::new(project, service).unwrap())
            .collect()
    }

    #[test]
    fn a_service_is_found_by_its_full_name_or_a_unique_one() {
        let table = [
            ("shop/web", Ok("shop/web")),
            ("db", Ok("shop/db")),
            ("web", Err("which one? shop/web, blog/web")),
            ("shop/wed", Err("did you mean shop/web?")),
            ("shop/frontend", Err("there is shop/web, shop/db, blog/web")),
            ("bd", Err("there is")),
            ("sohp/db", Err("did you mean shop/db?")),
            ("a/b/c", Err("write PROJECT/SERVICE")),
            ("", Err("there is no service ``")),
        ];
        for (text, expected) in table {
            match (pick(text, &known()), expected) {
                (Ok(id), Ok(wanted)) => assert_eq!(id.to_string(), wanted, "{text}"),
                (Err(said), Err(wanted)) => assert!(said.contains(wanted), "{text}: {said}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
        assert!(pick("web", &[]).unwrap_err().contains("no service is known"));
    }

    #[test]
    fn every_wrong_name_is_told_at_once() {
        let said = pick_all(&["nosuch".to_owned(), "db".to_owned(), "web".to_owned()], &known()).unwrap_err();
        assert_eq!(said.lines().count(), 2, "{said}");
        assert_eq!(pick_all(&[], &known()).unwrap(), Vec::new());
    }
}
