//! `image`, `pull_policy` and `platform`.

use crate::desired::diagnostic::Diagnostic;
use crate::desired::manifest;
use crate::desired::spec::PullPolicy;

use super::read::{Field, Fields, Reader};
use super::scalar;

/// Why a text is not an image reference: the bytes at fault and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFault {
    pub start: usize,
    pub end: usize,
    pub message: String,
}

/// Reads an image reference and puts it into the engine's familiar form: the tag `latest` filled in where there is
/// neither tag nor digest, Docker Hub's own names dropped (`docker.io/library/nginx` is `nginx:latest`).
///
/// # Errors
/// What is wrong, and where in the text.
pub fn canonical_image(text: &str) -> Result<String, ImageFault> {
    let fault = |start: usize, end: usize, message: String| Err(ImageFault { start, end, message });
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    if let Some(digest) = digest
        && let Err(message) = check_digest(digest)
    {
        return fault(rest.len() + 1, text.len(), message);
    }
    // A colon behind the last slash begins the tag; one before it is a registry's port.
    let name_start = rest.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match rest.get(name_start..).and_then(|last| last.find(':')) {
        Some(at) => rest.split_at(name_start + at),
        None => (rest, ""),
    };
    if let Some(tag) = tag.strip_prefix(':') {
        let good = tag.bytes().enumerate().all(|(at, byte)| {
            byte.is_ascii_alphanumeric() || byte == b'_' || (at > 0 && matches!(byte, b'.' | b'-'))
        });
        if tag.is_empty() || tag.len() > 128 || !good {
            let message = if tag.is_empty() {
                "the tag behind `:` is empty".to_owned()
            } else {
                format!("`{tag}` is not a tag: at most 128 letters, digits, `_`, `.` and `-`")
            };
            return fault(name.len(), rest.len(), message);
        }
    }
    let (domain, path, path_start) = split_domain(name);
    if let Some(domain) = domain
        && !is_domain(domain)
    {
        return fault(0, domain.len(), format!("`{domain}` is not a registry's host name"));
    }
    if path.is_empty() {
        return fault(0, text.len(), "an image needs a name".to_owned());
    }
    if name.len() > 255 {
        return fault(0, name.len(), "an image's name is at most 255 characters long".to_owned());
    }
    let mut at = path_start;
    for part in path.split('/') {
        if let Err(message) = check_component(part) {
            return fault(at, at + part.len(), message);
        }
        at += part.len() + 1;
    }
    let short = familiar(domain, path);
    Ok(match (tag, digest) {
        ("", None) => format!("{short}:latest"),
        (tag, None) => format!("{short}{tag}"),
        (tag, Some(digest)) => format!("{short}{tag}@{digest}"),
    })
}

/// The name without what Docker Hub is assumed for anyway, unless the rest would then name another registry.
fn familiar(domain: Option<&str>, path: &str) -> String {
    let short = path.strip_prefix("library/").filter(|rest| !rest.contains('/')).unwrap_or(path);
    match domain {
        Some("docker.io" | "index.docker.io") if split_domain(short).0.is_some() => {
            format!("docker.io/{path}")
        }
        None | Some("docker.io" | "index.docker.io") => short.to_owned(),
        Some(domain) => format!("{domain}/{path}"),
    }
}

/// The first part is a registry when it has a dot, a port or capitals, or is `localhost`.
fn split_domain(name: &str) -> (Option<&str>, &str, usize) {
    match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
            (Some(first), rest, first.len() + 1)
        }
        _ => (None, name, 0),
    }
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = if let Some(rest) = domain.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        return address.parse::<std::net::Ipv6Addr>().is_ok()
            && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    } else {
        domain.split_once(':').map_or((domain, None), |(host, port)| (host, Some(port)))
    };
    let label = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    host.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// `[a-z0-9]+` joined by `.`, `_`, `__` or any number of `-`.
fn check_component(part: &str) -> Result<(), String> {
    if part.is_empty() {
        return Err("a part of the name is empty".to_owned());
    }
    if part.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(format!("image names are lower case: `{}`", part.to_ascii_lowercase()));
    }
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if let Some(odd) =
        part.chars().find(|c| !c.is_ascii_lowercase() && !c.is_ascii_digit() && !matches!(c, '.' | '_' | '-'))
    {
        return Err(format!("`{odd}` cannot stand in an image's name"));
    }
    let ends = [part.bytes().next(), part.bytes().next_back()];
    let separators = part.split(|c: char| c.is_ascii_alphanumeric());
    let joined = separators
        .into_iter()
        .all(|run| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|byte| byte == b'-'));
    if !ends.into_iter().flatten().all(alphanumeric) || !joined {
        return Err(format!(
            "`{part}` is not a part of an image's name: signs stand between letters or digits, one at a time"
        ));
    }
    Ok(())
}

fn check_digest(digest: &str) -> Result<(), String> {
    let Some((algorithm, hex)) = digest.split_once(':') else {
        return Err("a digest is an algorithm, `:` and hexadecimal digits: sha256:...".to_owned());
    };
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return Err(format!("`{algorithm}` is not a digest's algorithm: sha256")),
    };
    if hex.bytes().any(|byte| !byte.is_ascii_digit() && !(b'a'..=b'f').contains(&byte)) {
        return Err("a digest has lower-case hexadecimal digits only".to_owned());
    }
    if hex.len() != length {
        return Err(format!("a {algorithm} digest has {length} digits, this one has {}", hex.len()));
    }
    Ok(())
}

pub(super) fn image(reader: &mut Reader<'_, '_>, fields: &Fields<'_>) -> Option<String> {
    let Some(field) = fields.get("image") else {
        if !fields.table.entries.iter().any(|entry| entry.key == "build") {
            let message = format!("{} has neither `image` nor `build`", fields.path);
            let label = "which image should run here?";
            reader.report(Diagnostic::error("missing-image", fields.table.header.clone(), message, label));
            return None;
        }
        return Some(built_name(reader, fields));
    };
    reference(reader, &field)
}

/// An image reference in its canonical form.
pub(super) fn reference(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<String> {
    let text = reader.filled(field)?;
    match canonical_image(text) {
        Ok(image) => Some(image),
        Err(ImageFault { start, end, message }) => {
            let whole = format!("`{text}` is not an image");
            let diagnostic = Diagnostic::error("bad-image", field.node.part(start, end), whole, message);
            reader.report(diagnostic.help("form: [registry[:port]/]name[:tag][@sha256:digest]"));
            None
        }
    }
}

/// The name that Compose gives to what a service builds.
fn built_name(reader: &Reader<'_, '_>, fields: &Fields<'_>) -> String {
    let name = fields.path.split_once('.').map_or(fields.path.as_str(), |(_, name)| name);
    format!("{}-{name}:latest", reader.context.project).to_ascii_lowercase()
}

pub(super) fn pull_policy(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<PullPolicy> {
    const DAY: u64 = 86_400;
    let text = reader.text(field)?;
    Some(match text {
        "missing" | "if_not_present" => PullPolicy::Missing,
        "always" => PullPolicy::Always,
        "never" => PullPolicy::Never,
        "daily" => PullPolicy::Every(DAY),
        "weekly" => PullPolicy::Every(7 * DAY),
        "build" => {
            let message = "`build` is not supported as pull policy";
            let label = "when an image is built anew, `build_policy` says";
            reader.error("unsupported-value", field.node, message, label);
            return None;
        }
        _ => {
            let Some(period) = text.strip_prefix("every_") else {
                let listed = "missing, if_not_present, always, never, daily, weekly, every_<duration>";
                let words = manifest::Pull::WORDS;
                reader.bad_choice(field.node.span.clone(), text, "pull policy", words, Some(listed));
                return None;
            };
            match scalar::duration(period).map(|nanoseconds| nanoseconds / 1_000_000_000) {
                Ok(seconds) if seconds > 0 => PullPolicy::Every(seconds),
                fault => {
                    let why = fault
                        .err()
                        .map_or("it is shorter than a second".to_owned(), |fault| fault.to_string());
                    let span = field.node.part("every_".len(), text.len());
                    let message = format!("`{period}` is not a period: {why}");
                    reader.report(Diagnostic::error(
                        "bad-duration",
                        span,
                        message,
                        "write for example \"every_12h\"",
                    ));
                    return None;
                }
            }
        }
    })
}

/// `os/architecture[/variant]` with the engine's names: `aarch64` is `linux/arm64`.
pub(super) fn platform(reader: &mut Reader<'_, '_>, field: &Field<'_>) -> Option<String> {
    const ARCHITECTURES: [&str; 13] = [
        "amd64", "arm64", "arm", "386", "ppc64le", "s390x", "riscv64", "mips64le", "mips64", "mips",
        "mipsle", "loong64", "ppc64",
    ];
    let text = reader.filled(field)?;
    let lower = text.to_ascii_lowercase();
    let parts: Vec<&str> = lower.split('/').collect();
    let (os, architecture, variant) = match parts.as_slice() {
        [architecture] => ("linux", *architecture, None),
        [os, architecture] => (*os, *architecture, None),
        [os, architecture, variant] => (*os, *architecture, Some(*variant)),
        _ => ("", "", None),
    };
    let (architecture, implied) = match architecture {
        "x86_64" | "x86-64" => ("amd64", None),
        "aarch64" => ("arm64", None),
        "i386" | "i486" | "i586" | "i686" => ("386", None),
        "armhf" => ("arm", Some("v7")),
        "armel" => ("arm", Some("v6")),
        known => (known, None),
    };
    if os != "linux" || !ARCHITECTURES.contains(&architecture) {
        let label = match os {
            "windows" => "only Linux containers run here",
            _ => "write for example \"linux/amd64\"",
        };
        let message = format!("`{text}` is not a platform");
        let diagnostic = Diagnostic::error("bad-choice", field.node.span.clone(), message, label);
        reader.report(diagnostic.help(format!("linux/ and one of: {}", ARCHITECTURES.join(", "))));
        return None;
    }
    // The usual variants say nothing: every arm64 is v8, every amd64 v1.
    let variant = variant.or(implied).filter(|variant| {
        !matches!((architecture, *variant), ("arm64", "v8" | "8") | ("amd64", "v1") | (_, ""))
    });
    Some(
        variant.map_or_else(
            || format!("{os}/{architecture}"),
            |variant| format!("{os}/{architecture}/{variant}"),
        ),
    )
}
