//! Submodules, for a source that asks for them (`submodules = true`).
//!
//! Their commits are named by the repository's own, so they are as whole and as verified as it is. Where they are fetched from is
//! the repository's word: only by network transports that are no less safe than its own, and with its login only at the
//! same host. One that cannot be fetched is a commit that is not taken: what is defined in it must not look as if it had been
//! removed.

use std::collections::BTreeMap;

use super::error::GitError;
use super::objects::{Entries, entries};
use super::repository::Repository;
use super::settings::{GitSettings, Login, Remote};
use crate::desired::snapshot::RelPath;
use crate::desired::tree::BlobKind;
use crate::source::read::ENTRY_LIMIT;

/// Submodules of submodules.
const DEPTH: usize = 4;
/// Of one commit, all together.
const MOST: usize = 64;

/// Where a submodule stands, and where it comes from.
struct Place<'a> {
    /// The commit whose `.gitmodules` counts.
    commit: &'a str,
    /// Its address, for relative ones.
    url: &'a str,
    /// What lies between the root of that commit and the paths in hand.
    path: &'a str,
}

/// Puts the files of submodules in the place of their entries.
///
/// # Errors
/// One cannot be fetched, or its address is not used.
pub(super) fn expand(
    repository: &Repository,
    settings: &GitSettings,
    commit: &str,
    found: &mut Entries,
) -> Result<(), GitError> {
    if !found.files.values().any(|blob| blob.kind == BlobKind::Submodule) {
        return Ok(());
    }
    if !settings.submodules {
        tracing::info!(
            source = settings.name,
            "the commit has submodules, and they are left out; `submodules = true` fetches them"
        );
        return Ok(());
    }
    let place = Place { commit, url: settings.remote.url(), path: &settings.path };
    let mut left = MOST;
    within(repository, settings, &place, found, DEPTH, &mut left)
}

fn within(
    repository: &Repository,
    settings: &GitSettings,
    place: &Place<'_>,
    found: &mut Entries,
    depth: usize,
    left: &mut usize,
) -> Result<(), GitError> {
    let own: Vec<(RelPath, String)> = found
        .files
        .iter()
        .filter(|(_, blob)| blob.kind == BlobKind::Submodule)
        .map(|(path, blob)| (path.clone(), blob.oid.clone()))
        .collect();
    if own.is_empty() {
        return Ok(());
    }
    if depth == 0 || own.len() > *left {
        return Err(GitError::Refused(format!(
            "the commit has submodules within submodules more than {DEPTH} deep, or more than {MOST} of them"
        )));
    }
    *left -= own.len();
    let known = addresses(repository, place.commit)?;
    for (path, oid) in own {
        let whole = if place.path.is_empty() { path.to_string() } else { format!("{}/{path}", place.path) };
        let Some(url) = known.get(&whole) else {
            return Err(GitError::Refused(format!("the submodule `{whole}` is not in .gitmodules")));
        };
        let url = absolute(place.url, url);
        let remote = remote(&settings.remote, &url)
            .map_err(|why| GitError::Refused(format!("the submodule `{whole}` is not fetched: {why}")))?;
        repository.fetch_commit(&remote, &oid)?;
        let mut inner = entries(repository, &oid)?;
        let deeper = Place { commit: &oid, url: &url, path: "" };
        within(repository, settings, &deeper, &mut inner, depth - 1, left)?;
        found.files.remove(&path);
        for (name, blob) in inner.files {
            found.files.extend(RelPath::new(&format!("{path}/{name}")).map(|name| (name, blob)));
        }
        found.odd.extend(inner.odd.iter().filter_map(|name| RelPath::new(&format!("{path}/{name}"))));
        if found.files.len() > ENTRY_LIMIT {
            let why = format!("more than {ENTRY_LIMIT} files are in the commit with its submodules");
            return Err(GitError::TooLarge { what: "ls-tree", why });
        }
    }
    Ok(())
}

/// Path to address, as `.gitmodules` of a commit says.
fn addresses(repository: &Repository, commit: &str) -> Result<BTreeMap<String, String>, GitError> {
    let blob = format!("{commit}:.gitmodules");
    let arguments = ["config", "--null", "--blob", &blob, "--get-regexp", "^submodule\\..*\\.(path|url)$"];
    let outcome = repository.git().run("config", &arguments, None, &repository.local())?;
    let answer = String::from_utf8_lossy(&outcome.answer).into_owned();
    let (mut paths, mut urls) = (BTreeMap::new(), BTreeMap::new());
    for entry in answer.split('\0') {
        let Some((key, value)) = entry.split_once('\n') else { continue };
        if let Some(name) = key.strip_suffix(".path") {
            paths.insert(name.to_owned(), value.trim_end_matches('/').to_owned());
        } else if let Some(name) = key.strip_suffix(".url") {
            urls.insert(name.to_owned(), value.to_owned());
        }
    }
    Ok(paths.into_iter().filter_map(|(name, path)| Some((path, urls.remove(&name)?))).collect())
}

/// `../other.git` starts at the address of the repository itself.
fn absolute(base: &str, url: &str) -> String {
    if !url.starts_with("./") && !url.starts_with("../") {
        return url.to_owned();
    }
    let mut base = base.trim_end_matches('/').to_owned();
    let mut rest = url;
    loop {
        if let Some(next) = rest.strip_prefix("./") {
            rest = next;
        } else if let Some(next) = rest.strip_prefix("../") {
            rest = next;
            base.truncate(base.rfind('/').or_else(|| base.rfind(':').map(|at| at + 1)).unwrap_or(0));
        } else {
            break;
        }
    }
    let between = if base.ends_with(':') { "" } else { "/" };
    format!("{base}{between}{rest}")
}

fn remote(own: &Remote, url: &str) -> Result<Remote, String> {
    let plain = Remote::new(url, Login::None)?;
    let safe = ["https", "ssh"].contains(&plain.transport()) || plain.transport() == own.transport();
    if !safe {
        // A path would let whoever can push read repositories of this host.
        return Err(format!("its address {} is less safe than the repository's own", plain.shown()));
    }
    let same = plain.origin().is_some() && plain.origin() == own.origin();
    if same { Remote::new(url, own.login.clone()) } else { Ok(plain) }
}

#[cfg(test)]
mod tests {
    use super::{absolute, remote};
    use crate::source::git::{Login, Remote};

    #[test]
    fn a_submodule_comes_from_where_it_is_safe_and_gets_the_login_of_its_own_host_only() {
        let token = Login::Token { file: "/t".into(), user: "x".to_owned() };
        let own = Remote::new("https://h/infra.git", token.clone()).unwrap();
        for url in
            ["/srv/private.git", "file:///srv/private.git", "http://h/x.git", "git://h/x", "ext::sh -c id"]
        {
            assert!(remote(&own, url).is_err(), "{url}");
        }
        assert_eq!(remote(&own, "https://h/shared.git").unwrap().login, token);
        assert_eq!(remote(&own, "https://elsewhere/shared.git").unwrap().login, Login::None);
        assert_eq!(remote(&own, "ssh://git@h/shared.git").unwrap().login, Login::None);
        let here = Remote::new("/srv/infra", Login::None).unwrap();
        assert!(remote(&here, "/srv/shared").is_ok());
    }

    #[test]
    fn relative_addresses_start_at_the_repository() {
        for (base, url, expected) in [
            ("https://h/acme/infra.git", "../shared.git", "https://h/acme/shared.git"),
            ("https://h/acme/infra.git/", "../../other/shared.git", "https://h/other/shared.git"),
            ("git@h:acme/infra.git", "../shared.git", "git@h:acme/shared.git"),
            ("git@h:infra.git", "../shared.git", "git@h:shared.git"),
            ("/srv/infra", "./inner", "/srv/infra/inner"),
            ("/srv/infra", "https://h/x", "https://h/x"),
        ] {
            assert_eq!(absolute(base, url), expected, "{base} {url}");
        }
    }
}
