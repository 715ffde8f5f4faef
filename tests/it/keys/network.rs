//! Ports, networks, dependencies, and what a container knows of the network.

use serde_json::json;

use super::{Bad, Good, check_bad, check_good};

#[test]
fn connections_are_read_in_every_form() {
    check_good(&good());
}

#[test]
fn impossible_connections_are_explained() {
    check_bad(&bad());
}

#[rustfmt::skip]
pub fn good() -> Vec<Good> {
    let depends = "/policy/depends_on";
    let started = json!({ "condition": "service_started", "restart": false, "required": true });
    vec![
        Good("ports = [\"8080:80\"]", "ports", json!(["8080:80"])),
        Good("ports = [\"80\"]", "ports", json!(["80"])),
        Good("ports = [80]", "ports", json!(["80"])),
        Good("ports = [\"0:80\"]", "ports", json!(["80"])),
        Good("ports = [\":80\"]", "ports", json!(["80"])),
        Good("ports = [\"53:53/udp\", \"53:53/tcp\"]", "ports", json!(["53:53", "53:53/udp"])),
        Good("ports = [\"53:53/UDP\"]", "ports", json!(["53:53/udp"])),
        Good("ports = [\"9:9/sctp\"]", "ports", json!(["9:9/sctp"])),
        Good("ports = [\"127.0.0.1:8080:80\"]", "ports", json!(["127.0.0.1:8080:80"])),
        Good("ports = [\"127.0.0.1::80\"]", "ports", json!(["127.0.0.1::80"])),
        Good("ports = [\"[::1]:8080:80\"]", "ports", json!(["[::1]:8080:80"])),
        Good("ports = [\"::1:8080:80\"]", "ports", json!(["[::1]:8080:80"])),
        Good("ports = [\"3000-3002:4000-4002\"]", "ports", json!(["3000:4000", "3001:4001", "3002:4002"])),
        Good("ports = [\"3000-3002\"]", "ports", json!(["3000", "3001", "3002"])),
        Good("ports = [\"8000-8010:80\"]", "ports", json!(["8000-8010:80"])),
        Good("ports = [\"127.0.0.1:5000-5001:5000-5001/udp\"]", "ports", json!(["127.0.0.1:5000:5000/udp", "127.0.0.1:5001:5001/udp"])),
        Good("ports = [\"8080:80\", \"8080:80\"]", "ports", json!(["8080:80"])),
        Good("ports = [\"127.0.0.1:80:80\", \"127.0.0.2:80:80\"]", "ports", json!(["127.0.0.1:80:80", "127.0.0.2:80:80"])),
        Good("ports = [\"${PORT}:80\"]", "ports", json!(["8080:80"])),
        Good("ports = [{ target = 80 }]", "ports", json!(["80"])),
        Good("ports = [{ target = 80, published = 8080 }]", "ports", json!(["8080:80"])),
        Good("ports = [{ target = 80, published = \"8080\", host_ip = \"127.0.0.1\", protocol = \"udp\", mode = \"host\", name = \"web\", app_protocol = \"http\" }]", "ports", json!(["127.0.0.1:8080:80/udp"])),
        Good("ports = [{ target = 80, published = \"8000-8010\" }]", "ports", json!(["8000-8010:80"])),
        Good("[[services.web.ports]]\ntarget = 80\npublished = 8080", "ports", json!(["8080:80"])),
        Good("expose = [\"8000\", 9000, \"53/udp\"]", "expose", json!(["53/udp", "8000/tcp", "9000/tcp"])),
        Good("expose = [\"8000-8002\"]", "expose", json!(["8000/tcp", "8001/tcp", "8002/tcp"])),
        Good("ports = [\"8080:80\"]\nexpose = [\"80\", \"81\"]", "expose", json!(["81/tcp"])),

        Good("", "networks", json!(["shop_default (default)"])),
        Good("networks = []", "networks", json!(["shop_default (default)"])),
        Good("networks = [\"default\"]", "networks", json!(["shop_default (default)"])),
        Good("networks = [\"front\", \"back\", \"outside\"]", "networks", json!(["outside (outside)", "shared (back)", "shop_front (front)"])),
        Good("networks = { front = {}, default = {} }", "networks", json!(["shop_default (default)", "shop_front (front)"])),
        Good("networks.front = { aliases = [\"www\", \"api\"], ipv4_address = \"10.5.0.7\", ipv6_address = \"2001:DB8::7\", priority = 10 }", "networks", json!(["shop_front (front) api www 10.5.0.7 2001:db8::7 priority 10"])),
        Good("[services.web.networks.front]\n[services.web.networks.back]\npriority = -1", "networks", json!(["shared (back) priority -1", "shop_front (front)"])),
        Good("network_mode = \"host\"", "/container/network_mode", json!("host")),
        Good("network_mode = \"host\"", "networks", json!([])),
        Good("network_mode = \"bridge\"", "/container/network_mode", json!("bridge")),
        Good("network_mode = \"default\"", "/container/network_mode", json!("bridge")),
        Good("network_mode = \"none\"", "/container/network_mode", json!("none")),
        Good("network_mode = \"container:vpn\"", "/container/network_mode", json!({ "container": "vpn" })),
        Good("network_mode = \"service:db\"", "/container/network_mode", json!({ "service": "db" })),
        Good("network_mode = \"service:db\"", depends, json!({ "db": { "condition": "service_started", "restart": true, "required": true } })),
        Good("network_mode = \"host\"\nhostname = \"h\"", "/container/hostname", json!("h")),

        Good("depends_on = [\"db\"]", depends, json!({ "db": started })),
        Good("depends_on = [\"db\", \"cache\"]", depends, json!({ "db": started, "cache": started })),
        Good("depends_on = {}", depends, json!({})),
        Good("depends_on = { db = \"service_started\" }", depends, json!({ "db": started })),
        Good("depends_on = { db = {} }", depends, json!({ "db": started })),
        Good("depends_on = { db = \"service_completed_successfully\" }", "/policy/depends_on/db/condition", json!("service_completed_successfully")),
        Good("[services.web.depends_on.db]\ncondition = \"service_healthy\"\nrestart = true\nrequired = false", depends, json!({ "db": { "condition": "service_healthy", "restart": true, "required": false } })),

        Good("extra_hosts = [\"a:1.2.3.4\", \"b=1.2.3.5\"]", "/container/extra_hosts", json!(["a:1.2.3.4", "b:1.2.3.5"])),
        Good("extra_hosts = [\"host.docker.internal:host-gateway\"]", "/container/extra_hosts", json!(["host.docker.internal:host-gateway"])),
        Good("extra_hosts = [\"six:::1\", \"seven=[2001:db8::7]\"]", "/container/extra_hosts", json!(["seven:2001:db8::7", "six:::1"])),
        Good("extra_hosts = { a = \"1.2.3.4\", b = [\"1.2.3.5\", \"::1\"] }", "/container/extra_hosts", json!(["a:1.2.3.4", "b:1.2.3.5", "b:::1"])),
        Good("dns = \"1.1.1.1\"", "/container/dns", json!(["1.1.1.1"])),
        Good("dns = [\"9.9.9.9\", \"2606:4700::1111\"]", "/container/dns", json!(["9.9.9.9", "2606:4700::1111"])),
        Good("on_hosts = [\"fra*\"]", "networks", json!(["shop_default (default)"])),
        Good("on_hosts = \"!nyc1\"", "networks", json!(["shop_default (default)"])),
        Good("profiles = []", "networks", json!(["shop_default (default)"])),
    ]
}

#[rustfmt::skip]
pub fn bad() -> Vec<Bad> {
    vec![
        Bad("ports = [\"80800:80\"]", "bad-port", "80800", "form: \"[ip:]host:container[/udp]\""),
        Bad("ports = [\"8080:80800\"]", "bad-port", "80800", "container port 80800 is above 65535"),
        Bad("ports = [\"8080:\"]", "bad-port", "", "the container port is missing"),
        Bad("ports = [\"8080:http\"]", "bad-port", "http", "container port `http` is not a number"),
        Bad("ports = [\"8080:80/tpc\"]", "bad-port", "tpc", "is not a protocol"),
        Bad("ports = [\"8080:0\"]", "bad-port", "0", "container port 0 does not exist"),
        Bad("ports = [\"localhost:80:80\"]", "bad-port", "localhost", "write 127.0.0.1"),
        Bad("ports = [\"127.0.0.1:80\"]", "bad-port", "127.0.0.1", "host port between"),
        Bad("ports = [\"[::1]:80\"]", "bad-port", "[::1]", "host port between"),
        Bad("ports = [\"300.1.1.1:80:80\"]", "bad-port", "300.1.1.1", "is not an address"),
        Bad("ports = [\"10-5:10-5\"]", "bad-port", "10-5", "ends before it begins"),
        Bad("ports = [\"3000-3005:4000-4002\"]", "bad-port", "3000-3005", "differ in length"),
        Bad("ports = [\"+80:80\"]", "bad-port", "+80", "is not a number"),
        Bad("ports = [\"80 :80\"]", "bad-port", "80 ", "is not a number"),
        Bad("ports = [70000]", "bad-port", "70000", "above 65535"),
        Bad("ports = [\"\"]", "bad-port", "", "container port is missing"),
        Bad("ports = [true]", "bad-type", "true", "\"8080:80\""),
        Bad("ports = \"80:80\"", "bad-type", "\"80:80\"", "ports = [\"8080:80\"]"),
        Bad("ports = [\"80:80\", \"80:81\"]", "port-clash", "\"80:81\"", "host port 80/tcp is published twice"),
        Bad("ports = [{ published = 80 }]", "missing-key", "{ published = 80 }", "target = 80"),
        Bad("ports = [{ target = 80, published = 99999 }]", "bad-port", "99999", "above 65535"),
        Bad("ports = [{ target = 80, protocol = \"upd\" }]", "bad-choice", "\"upd\"", "did you mean \"udp\"?"),
        Bad("ports = [{ target = 80, mode = \"bridge\" }]", "bad-choice", "\"bridge\"", "is not a port mode"),
        Bad("ports = [{ target = 80, host_ip = \"x\" }]", "bad-port", "x", "is not an address"),
        Bad("ports = [{ target = \"80-90\" }]", "bad-port", "\"80-90\"", "one container port"),
        Bad("ports = [{ target = 80, publish = 80 }]", "unknown-key", "publish", "did you mean `published`?"),
        Bad("expose = [\"8080:80\"]", "bad-port", "8080", "publishes nothing"),
        Bad("expose = [\"x\"]", "bad-port", "x", "is not a number"),
        Bad("expose = [0]", "bad-port", "0", "does not exist"),
        Bad("networks = [\"frontend\"]", "undeclared-network", "\"frontend\"", "did you mean `front`?"),
        Bad("networks = [\"zoo\"]", "undeclared-network", "\"zoo\"", "[networks.zoo] external = true"),
        Bad("networks = { zoo = {} }", "undeclared-network", "zoo", "is not declared in project `shop`"),
        Bad("networks = \"front\"", "bad-type", "\"front\"", "networks = [\"front\"]"),
        Bad("networks.front.alias = [\"x\"]", "unknown-key", "alias", "did you mean `aliases`?"),
        Bad("networks.front.ipv4_address = \"10.5.0\"", "bad-address", "\"10.5.0\"", "is not an IPv4 address"),
        Bad("networks.front.priority = \"high\"", "bad-type", "\"high\"", "takes a whole number"),
        Bad("network_mode = \"hots\"", "bad-choice", "\"hots\"", "did you mean \"host\"?"),
        Bad("network_mode = \"front\"", "bad-choice", "\"front\"", "write networks = [\"front\"]"),
        Bad("network_mode = \"service:dbb\"", "unknown-dependency", "dbb", "did you mean `db`"),
        Bad("network_mode = \"host\"\nnetworks = [\"front\"]", "network-mode-and-networks", "network_mode", "drop one of the two"),
        Bad("network_mode = \"service:db\"\nports = [\"80:80\"]", "network-mode-conflict", "ports", "cannot be combined"),
        Bad("network_mode = \"service:db\"\nhostname = \"x\"", "network-mode-conflict", "hostname", "whose network is shared"),
        Bad("network_mode = \"container:x\"\ndns = \"1.1.1.1\"", "network-mode-conflict", "dns", "cannot be combined"),
        Bad("network_mode = \"host\"\nports = [\"80:80\"]", "network-mode-conflict", "ports", "the host's own already"),
        Bad("depends_on = [\"dbs\"]", "unknown-dependency", "\"dbs\"", "did you mean `db` (shop/web.toml:5)?"),
        Bad("depends_on = [\"zebra\"]", "unknown-dependency", "\"zebra\"", "no service `zebra` in project `shop`"),
        Bad("depends_on = [\"web\"]", "dependency-cycle", "\"web\"", "wait for itself"),
        Bad("depends_on = { db = \"service_heathy\" }", "bad-choice", "\"service_heathy\"", "did you mean \"service_healthy\"?"),
        Bad("depends_on = { db = { condtion = \"service_healthy\" } }", "unknown-key", "condtion", "did you mean `condition`?"),
        Bad("depends_on = { db = { restart = \"yes\" } }", "bad-type", "\"yes\"", "true without quotes"),
        Bad("depends_on = { nodb = { required = false } }", "unknown-dependency", "nodb", "no service `nodb`"),
        Bad("depends_on = \"db\"", "bad-type", "\"db\"", "depends_on = [\"db\"]"),
        Bad("extra_hosts = [\"a\"]", "bad-address", "\"a\"", "write \"host:address\""),
        Bad("extra_hosts = [\"a:1.2.3\"]", "bad-address", "1.2.3", "is not an address"),
        Bad("extra_hosts = { a = 1 }", "bad-type", "1", "takes a list"),
        Bad("dns = [\"one.one\"]", "bad-address", "\"one.one\"", "is not an IP address"),
        Bad("dns = 1", "bad-type", "1", "dns = [\"1.1.1.1\"]"),
    ]
}
