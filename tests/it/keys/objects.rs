//! Networks, volumes, and keys at the wrong place.

use serde_json::{Value, json};

use evenkeel::desired::DesiredState;
use evenkeel::desired::diagnostic::Diagnostic;

use super::{Bad, Good, check_bad, check_good, load_text};

pub fn good() -> Vec<Good> {
    vec![Good("volumes = [\"named:/x\"]", "/container/mounts/~1x/source/volume/name", json!("other"))]
}

pub fn bad() -> Vec<Bad> {
    vec![Bad("volume = []", "unknown-key", "volume", "did you mean `volumes`?")]
}

#[test]
fn services_find_the_engine_names_of_what_they_use() {
    check_good(&good());
    check_bad(&bad());
}

/// The declaration below `[networks]` or `[volumes]`, where to look, and what is there. Both halves of [`TABLES`].
type Row = (&'static str, &'static str, Value);

#[rustfmt::skip]
fn networks() -> Vec<Row> {
    vec![
        ("it = {}", "/shop_it", json!({
            "project": "shop", "key": "it", "name": "shop_it", "external": false, "driver": null, "options": {}, "internal": false, "attachable": false,
            "enable_ipv6": false, "ipam": { "driver": null, "config": [], "options": {} }, "labels": {},
            "source": { "file": "shop/web.toml", "line": 5, "files": ["shop/web.toml"] },
        })),
        ("it = { name = \"front\" }", "/front/name", json!("front")),
        ("it = { external = true }", "/it/external", json!(true)),
        ("it = { external = true, name = \"x\" }", "/x/external", json!(true)),
        ("it = { external = { name = \"x\" } }", "/x/external", json!(true)),
        ("it = { external = false }", "/shop_it/external", json!(false)),
        ("it = { driver = \"bridge\", driver_opts = { com.docker.network.bridge.name = \"br0\" } }", "/shop_it/options", json!({ "com.docker.network.bridge.name": "br0" })),
        ("it = { internal = true, attachable = true, enable_ipv6 = true }", "/shop_it/internal", json!(true)),
        ("it = { labels = [\"a=b\"] }", "/shop_it/labels", json!({ "a": "b" })),
        ("it = { ipam = { driver = \"default\", config = [{ subnet = \"10.5.0.0/16\", ip_range = \"10.5.1.0/24\", gateway = \"10.5.0.1\", aux_addresses = { printer = \"10.5.0.9\" } }] } }", "/shop_it/ipam",
            json!({ "driver": null, "options": {}, "config": [{ "subnet": "10.5.0.0/16", "ip_range": "10.5.1.0/24", "gateway": "10.5.0.1", "aux_addresses": { "printer": "10.5.0.9" } }] })),
        ("it = { ipam = { config = [{ subnet = \"2001:DB8::/64\" }] } }", "/shop_it/ipam/config/0/subnet", json!("2001:db8::/64")),
    ]
}

#[rustfmt::skip]
fn volumes() -> Vec<Row> {
    vec![
        ("it = {}", "/shop_it", json!({
            "project": "shop", "key": "it", "name": "shop_it", "external": false, "driver": null, "driver_opts": {}, "labels": {},
            "source": { "file": "shop/web.toml", "line": 5, "files": ["shop/web.toml"] },
        })),
        ("it = { name = \"v\" }", "/v/name", json!("v")),
        ("it = { external = true }", "/it/external", json!(true)),
        ("it = { driver = \"local\", driver_opts = { type = \"nfs\", o = \"addr=10.0.0.1,rw\", device = \":/x\" } }", "/shop_it/driver_opts/device", json!(":/x")),
        ("it = { driver_opts = { type = \"none\", o = \"bind\", device = \"./files\" } }", "/shop_it/driver_opts/device", json!("/srv/desired/shop/files")),
        ("it = { labels.backup.keep = 7 }", "/shop_it/labels", json!({ "backup.keep": "7" })),
    ]
}

fn declared(state: &DesiredState, kind: &str) -> Value {
    match kind {
        "networks" => state.networks.iter().map(|(name, spec)| (name.clone(), json!(**spec))).collect(),
        _ => state.volumes.iter().map(|(name, spec)| (name.clone(), json!(**spec))).collect(),
    }
}

#[test]
fn networks_and_volumes_are_read_in_every_form() {
    for (kind, rows) in [("networks", networks()), ("volumes", volumes())] {
        for (line, at, expected) in rows {
            let text = format!("[services.web]\nimage = \"a\"\n\n[{kind}]\n{line}\n");
            let (state, diagnostics) = load_text(&text);
            assert!(diagnostics.is_empty(), "{line}\n{diagnostics:#?}");
            let found = declared(&state, kind);
            assert_eq!(found.pointer(at), Some(&expected), "{line}: {found:#}");
        }
    }
}

#[test]
fn faults_of_networks_and_volumes_are_explained() {
    let rows = [
        ("networks", "it = { drver = \"bridge\" }", "unknown-key", "did you mean `driver`?"),
        ("networks", "it = { external = true, driver = \"bridge\" }", "external-and-more", "made elsewhere"),
        ("networks", "it = { external = \"yes\" }", "bad-type", "true without quotes"),
        ("networks", "it = { name = \"a b\" }", "bad-name", "is not a name"),
        (
            "networks",
            "it = { labels = { \"com.docker.compose.network\" = \"x\" } }",
            "reserved-label",
            "reserved",
        ),
        ("networks", "it = { enable_ipv4 = false }", "engine-too-old", "needs Docker Engine 28 (API 1.48)"),
        (
            "networks",
            "it = { ipam = { config = [{ subnet = \"10.5.0.0\" }] } }",
            "bad-address",
            "is not a subnet",
        ),
        (
            "networks",
            "it = { ipam = { config = [{ subnet = \"10.5.0.1/16\" }] } }",
            "bad-address",
            "did you mean \"10.5.0.0/16\"?",
        ),
        (
            "networks",
            "it = { ipam = { config = [{ gateway = \"x\" }] } }",
            "bad-address",
            "is not an IP address",
        ),
        ("networks", "it = \"bridge\"", "bad-type", "it = {}"),
        ("volumes", "it = { drivr = \"local\" }", "unknown-key", "did you mean `driver`?"),
        ("volumes", "it = { external = true, driver_opts = {} }", "external-and-more", "made elsewhere"),
        ("volumes", "it = true", "bad-type", "takes a table"),
        ("volumes", "it = { name = \"../x\" }", "bad-name", "is not a name"),
    ];
    for (kind, line, slug, part) in rows {
        let (state, diagnostics) = load_text(&format!("[services.web]\nimage = \"a\"\n\n[{kind}]\n{line}\n"));
        let told: Vec<String> = diagnostics
            .iter()
            .map(|told| format!("[{}] {} | {}", told.slug, told.message, told.primary.text))
            .collect();
        assert!(told.len() == 1 && told[0].contains(part) && told[0].contains(slug), "{line}\n{told:#?}");
        assert!(declared(&state, kind).get("shop_it").is_none(), "{line}: still declared");
    }
}

#[test]
fn all_problems_of_a_service_come_in_one_run() {
    let text = "[services.web]\nimage = \"Nginx\"\nports = [\"99999:80\"]\nrestart = \"allways\"\nvolumes = [\"nope:/x\"]\n\
                depends_on = [\"nobody\"]\nnetworks = [\"nowhere\"]\ncpus = \"many\"\nhealthcheck = { interval = 3 }\n";
    let (_, diagnostics) = load_text(text);
    let slugs: Vec<&str> = diagnostics.iter().map(|told| told.slug).collect();
    let expected = [
        "bad-image",
        "bad-port",
        "bad-choice",
        "undeclared-volume",
        "unknown-dependency",
        "undeclared-network",
        "bad-number",
        "unit-missing",
    ];
    assert_eq!(slugs, expected);
}

#[test]
fn a_service_without_image_says_so_at_its_header() {
    let (_, diagnostics) = load_text("[services.web]\nports = [\"8080:80\"]\n");
    let told: Vec<String> = diagnostics.iter().map(Diagnostic::headline).collect();
    assert_eq!(
        told,
        ["shop/web.toml:1:1: error[missing-image]: services.web has neither `image` nor `build`"]
    );
}

#[test]
fn no_diagnostic_shows_a_value_of_the_environment() {
    let text =
        "[services.web]\nimage = \"a\"\nenvironment = [\"A B=hunter2\", \"=hunter2\", \"C=hunter2\"]\n";
    let (_, diagnostics) = load_text(text);
    assert_eq!(diagnostics.len(), 2);
    assert!(diagnostics.iter().all(|told| !format!("{told:?}").contains("hunter2")), "{diagnostics:#?}");
}
