//! What a registry that asks who we are wants to hear: the challenge of a 401, and what answers it.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A challenge that is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Name and password with every request.
    Basic,
    /// A token from somebody else.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// Reads `WWW-Authenticate`. Of several the first that is understood.
pub(super) fn challenge(headers: &[&str]) -> Option<Challenge> {
    headers.iter().find_map(|header| {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Challenge::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut fields = fields(rest);
        let realm = fields.remove("realm")?;
        Some(Challenge::Bearer { realm, service: fields.remove("service"), scope: fields.remove("scope") })
    })
}

/// `a="b",c="d, e"`: a comma within quotes parts nothing.
fn fields(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([',', ' ', '\t']).to_ascii_lowercase();
        let (value, next) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.insert(name, value.trim().to_owned());
        rest = next;
    }
    found
}

/// The answer of a token service. Never shown.
#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    /// Seconds; the specification's default is a minute.
    #[serde(default = "a_minute")]
    pub expires_in: u64,
}

fn a_minute() -> u64 {
    60
}

impl TokenAnswer {
    pub fn token(self) -> Option<String> {
        [self.token, self.access_token].into_iter().find(|token| !token.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::{Challenge, challenge};

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        };
        for (header, expected) in [
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://auth.example/token\",service=\"reg\",scope=\"repository:a/b:pull,push\"",
                Some(bearer("https://auth.example/token", Some("reg"), Some("repository:a/b:pull,push"))),
            ),
            ("Bearer realm=\"https://a/t\", service=\"r\"", Some(bearer("https://a/t", Some("r"), None))),
            ("bearer REALM=https://a/t,service=r", Some(bearer("https://a/t", Some("r"), None))),
            ("Bearer service=\"r\"", None),
            ("Negotiate", None),
            ("", None),
            ("Bearer realm=\"", Some(bearer("", None, None))),
        ] {
            assert_eq!(challenge(&[header]), expected, "{header}");
        }
        assert_eq!(challenge(&["Negotiate", "Basic realm=\"x\""]), Some(Challenge::Basic));
    }
}
