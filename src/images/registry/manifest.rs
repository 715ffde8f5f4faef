//! What a tag stands for: an index with an image for each platform, or one image.

use std::fmt;

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Everything that a tag may stand for. What is not asked for is not told of by some registries.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
application/vnd.docker.distribution.manifest.list.v2+json, \
application/vnd.oci.image.manifest.v1+json, \
application/vnd.docker.distribution.manifest.v2+json";

/// What a tag stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// `sha256:...` of what the tag names: that of the index where there is one. What is pulled by.
    pub digest: String,
    /// Of the image for our platform, when that was asked for and the tag names an index. Two indexes may differ in other platforms only:
    /// then nothing is new here.
    pub image: Option<String>,
}

/// A platform as images name it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    #[serde(default)]
    pub variant: Option<String>,
}

impl Platform {
    /// `linux/arm64/v8`.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('/').map(str::to_owned);
        let (os, architecture, variant) = (parts.next()?, parts.next()?, parts.next());
        Some(Self { os, architecture, variant }.canonical())
    }

    /// Names that mean the same, as containerd has it.
    fn canonical(mut self) -> Self {
        let (architecture, variant) = match (self.architecture.as_str(), self.variant.as_deref()) {
            ("x86_64" | "x86-64" | "amd64", None | Some("v1")) => ("amd64", None),
            ("x86_64" | "x86-64" | "amd64", Some(other)) => ("amd64", Some(other)),
            ("aarch64" | "arm64", None | Some("8" | "v8")) => ("arm64", None),
            ("armhf", _) => ("arm", Some("v7")),
            ("armel", _) => ("arm", Some("v6")),
            ("arm", None | Some("7")) => ("arm", Some("v7")),
            ("i386", _) => ("386", None),
            (other, variant) => (other, variant),
        };
        (self.architecture, self.variant) = (architecture.to_owned(), variant.map(str::to_owned));
        self
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Option<Vec<Member>>,
}

#[derive(Deserialize)]
struct Member {
    digest: String,
    #[serde(default)]
    platform: Option<Platform>,
}

/// `sha256:` and 64 digits.
pub(super) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    })
}

pub(super) fn digest_of(body: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(body)))
}

/// What of an index is for a platform. `Ok(None)`: it is no index.
///
/// # Errors
/// It is none that can be read, or has nothing for the platform.
pub(super) fn image_for(body: &[u8], platform: &Platform) -> Result<Option<String>, String> {
    let index: Index =
        serde_json::from_slice(body).map_err(|error| format!("the manifest cannot be read: {error}"))?;
    let Some(members) = index.manifests else { return Ok(None) };
    let of = |member: &Member| member.platform.clone().map(Platform::canonical);
    let exact = members.iter().find(|member| of(member).as_ref() == Some(platform));
    // An arm of a newer variant runs what is for an older one, and an amd64 without a variant is the plainest.
    let near = || {
        let same = |found: &Platform| found.os == platform.os && found.architecture == platform.architecture;
        let fits = |member: &&Member| {
            of(member).is_some_and(|found| same(&found) && found.variant <= platform.variant)
        };
        members.iter().filter(fits).max_by_key(|member| of(member).and_then(|found| found.variant))
    };
    match exact.or_else(near) {
        Some(member) if is_digest(&member.digest) => Ok(Some(member.digest.clone())),
        Some(member) => {
            Err(format!("the index names `{}`, which is no digest", member.digest.escape_debug()))
        }
        None => Err(format!("there is no image for {platform} in it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u8) -> String {
        format!("sha256:{}", hex::encode([number; 32]))
    }

    #[test]
    fn the_image_of_a_platform_is_found_in_an_index() {
        let member = |number: u8, platform: &str| {
            format!(r#"{{"digest":"{}","platform":{platform}}}"#, digest(number))
        };
        let body = format!(
            r#"{{"manifests":[{},{},{},{}]}}"#,
            member(1, r#"{"os":"linux","architecture":"amd64"}"#),
            member(2, r#"{"os":"linux","architecture":"arm64","variant":"v8"}"#),
            member(3, r#"{"os":"linux","architecture":"arm","variant":"v6"}"#),
            member(4, r#"{"os":"unknown","architecture":"unknown"}"#)
        );
        for (platform, expected) in [
            ("linux/amd64", Some(1)),
            ("linux/x86_64", Some(1)),
            ("linux/amd64/v3", Some(1)),
            ("linux/arm64", Some(2)),
            ("linux/aarch64", Some(2)),
            ("linux/arm/v7", Some(3)),
            ("linux/arm/v6", Some(3)),
            ("linux/arm/v5", None),
            ("linux/s390x", None),
            ("windows/amd64", None),
        ] {
            let found = image_for(body.as_bytes(), &Platform::read(platform).expect("a platform"));
            assert_eq!(found.ok().flatten(), expected.map(digest), "{platform}");
        }
    }

    #[test]
    fn one_image_is_no_index_and_nonsense_is_an_error() {
        let amd64 = Platform::read("linux/amd64").unwrap();
        assert_eq!(image_for(br#"{"schemaVersion":2,"config":{},"layers":[]}"#, &amd64), Ok(None));
        for body in [
            "",
            "3",
            "{\"manifests\":3}",
            r#"{"manifests":[{"digest":"../x","platform":{"os":"linux","architecture":"amd64"}}]}"#,
        ] {
            assert!(image_for(body.as_bytes(), &amd64).is_err(), "{body}");
        }
        assert!(!is_digest("sha256:00") && is_digest(&digest(7)) && !is_digest(&digest(7).to_uppercase()));
    }
}
