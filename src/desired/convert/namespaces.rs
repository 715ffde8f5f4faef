//! What a container shares with the host or with others: `ipc`, `pid`, `uts`, `userns_mode`, `cgroup`.

use crate::desired::diagnostic::Diagnostic;
use crate::desired::ident::ServiceName;
use crate::desired::manifest;
use crate::desired::spec::{Extra, Namespace};

use super::depends;
use super::read::{Field, Fields, Reader};

pub(super) fn namespaces(
    reader: &mut Reader<'_, '_>,
    service: &Fields<'_>,
    own: &ServiceName,
    extra: &mut Extra,
) {
    if let Some(field) = service.get("ipc") {
        let listed = "private, shareable, host, none, service:<name>, container:<name>";
        extra.ipc = namespace(reader, &field, own, "ipc mode", manifest::Ipc::WORDS, listed);
    }
    if let Some(field) = service.get("pid") {
        let listed = "host, service:<name>, container:<name>";
        extra.pid = namespace(reader, &field, own, "pid mode", manifest::PidMode::WORDS, listed);
    }
    let mut word = |key: &str, what: &str, words: &[&str]| {
        service.get(key).and_then(|field| reader.choice(&field, what, words).map(str::to_owned))
    };
    extra.uts = word("uts", "uts mode", manifest::HostOnly::WORDS);
    extra.userns_mode = word("userns_mode", "user namespace mode", manifest::HostOnly::WORDS);
    extra.cgroup = word("cgroup", "cgroup namespace", manifest::CgroupNamespace::WORDS);
    if let (Some(uts), Some(hostname)) = (service.get("uts"), service.get("hostname"))
        && extra.uts.is_some()
    {
        let message = format!("`{}` cannot be combined with this uts mode", hostname.path);
        let label = "the host's own name would change with it";
        let diagnostic = Diagnostic::error("conflicting-values", hostname.key.clone(), message, label);
        reader.report(diagnostic.also(uts.node.span.clone(), "shares the host's name"));
    }
}

fn namespace(
    reader: &mut Reader<'_, '_>,
    field: &Field<'_>,
    own: &ServiceName,
    what: &str,
    words: &[&str],
    listed: &str,
) -> Option<Namespace> {
    let text = reader.filled(field)?;
    match text.split_once(':') {
        Some(("service", name)) => {
            let span = field.node.part("service:".len(), text.len());
            return depends::known(reader, span, name, Some(own), true).map(Namespace::Service);
        }
        Some(("container", name)) if !name.is_empty() => return Some(Namespace::Container(name.to_owned())),
        _ => {}
    }
    if !words.contains(&text) {
        reader.bad_choice(field.node.span.clone(), text, what, words, Some(listed));
        return None;
    }
    Some(match text {
        "host" => Namespace::Host,
        "shareable" => Namespace::Shareable,
        "none" => Namespace::None,
        _ => Namespace::Private,
    })
}
