//! Keys that the loader resolves before the conversion: `extends`, `on_hosts`, `profiles`.

use serde_json::json;

use super::{Bad, Good, check_bad, check_good};

#[test]
fn what_the_loader_resolves_is_gone_before_the_spec() {
    check_good(&good());
}

#[test]
fn what_the_loader_cannot_resolve_is_explained() {
    check_bad(&bad());
}

#[rustfmt::skip]
pub fn good() -> Vec<Good> {
    vec![
        Good("extends = \"base\"\n\n[services.base]\nimage = \"base:1\"\nuser = \"7\"", "/container/user", json!("7")),
        Good("extends = { service = \"base\" }\n\n[services.base]\nimage = \"base:1\"\ncommand = \"a\"", "/container/command", json!(["a"])),
        Good("on_hosts = [\"fra1\"]", "/policy/replicas", json!(1)),
    ]
}

#[rustfmt::skip]
pub fn bad() -> Vec<Bad> {
    vec![
        Bad("extends = \"bse\"", "unknown-extends", "\"bse\"", "no service `bse`"),
        Bad("profiles = [1]", "bad-type", "1", "takes names"),
    ]
}
