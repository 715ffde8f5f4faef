//! The repository that an image reference names.

use crate::engine::registry::registry_of;

/// One repository of one registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    /// As it is named in references, and as logins are kept under: `docker.io`, `ghcr.io`, `localhost:5000`.
    pub registry: String,
    /// `library/nginx`, `acme/shop`.
    pub path: String,
}

/// Where Docker Hub's API is.
const HUB: &str = "registry-1.docker.io";

impl Repository {
    /// Of a reference, whose tag and digest are left aside. `None`: no registry would know such a name.
    #[must_use]
    pub fn of(image: &str) -> Option<Self> {
        let name = image.split('@').next().unwrap_or_default();
        let slash = name.rfind('/').map_or(0, |at| at + 1);
        let name = match name.get(slash..)?.find(':') {
            Some(colon) => name.get(..slash + colon)?,
            None => name,
        };
        let registry = registry_of(image);
        let path = name.strip_prefix(registry).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name);
        // The grammar of the specification; also what keeps `..` and `?` out of an address.
        let part = |part: &str| {
            let outer = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            let inner = |byte: u8| outer(byte) || matches!(byte, b'.' | b'_' | b'-');
            part.bytes().all(inner)
                && part.bytes().next().is_some_and(outer)
                && part.bytes().last().is_some_and(outer)
        };
        let host =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
        if path.len() > 255 || !path.split('/').all(part) || !registry.bytes().all(host) {
            return None;
        }
        let official = registry == "docker.io" && !path.contains('/');
        let path = if official { format!("library/{path}") } else { path.to_owned() };
        Some(Self { registry: registry.to_owned(), path })
    }

    /// `host[:port]` of the API.
    #[must_use]
    pub fn authority(&self) -> &str {
        match self.registry.as_str() {
            "docker.io" | "index.docker.io" => HUB,
            other => other,
        }
    }

    /// The registry is on this machine: it may be spoken to without TLS, as the engine does.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = match self.registry.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.registry.split(':').next().unwrap_or_default(),
        };
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// A tag by the grammar of the specification.
#[must_use]
pub(super) fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::{Repository, is_tag};

    #[test]
    fn references_name_repositories() {
        for (image, registry, path) in [
            ("nginx", "docker.io", "library/nginx"),
            ("nginx:1.27", "docker.io", "library/nginx"),
            ("acme/web@sha256:00", "docker.io", "acme/web"),
            ("docker.io/acme/web:1", "docker.io", "acme/web"),
            ("docker.io/nginx", "docker.io", "library/nginx"),
            ("ghcr.io/acme/shop:1.8@sha256:00", "ghcr.io", "acme/shop"),
            ("localhost:5000/web", "localhost:5000", "web"),
            ("127.0.0.1:5000/a/b/c:2", "127.0.0.1:5000", "a/b/c"),
            ("registry.example.com:443/x_y/z-1.0", "registry.example.com:443", "x_y/z-1.0"),
        ] {
            let found = Repository::of(image).expect(image);
            assert_eq!((found.registry.as_str(), found.path.as_str()), (registry, path), "{image}");
        }
        for image in
            ["", "UPPER/x", "a/../b", "a//b", "ghcr.io/", "ghcr.io/a b", "ghcr.io/a?n=1", "ghcr.io/-a"]
        {
            assert_eq!(Repository::of(image), None, "{image}");
        }
    }

    #[test]
    fn only_this_machine_is_spoken_to_without_tls() {
        for (image, loopback) in [
            ("localhost:5000/x", true),
            ("127.0.0.1:5000/x", true),
            ("127.9.9.9:5000/x", true),
            ("[::1]:5000/x", true),
            ("localhost.example.com/x", false),
            ("127.0.0.1.example.com/x", false),
            ("192.168.1.1:5000/x", false),
            ("nginx", false),
        ] {
            assert_eq!(Repository::of(image).expect(image).is_loopback(), loopback, "{image}");
        }
    }

    #[test]
    fn tags_are_words_of_an_address() {
        for (tag, good) in [
            ("1.0", true),
            ("_x", true),
            ("V1-rc.1", true),
            ("", false),
            (".x", false),
            ("-x", false),
            ("a/b", false),
            ("a?b", false),
        ] {
            assert_eq!(is_tag(tag), good, "{tag}");
        }
        assert!(!is_tag(&"x".repeat(129)));
    }
}
