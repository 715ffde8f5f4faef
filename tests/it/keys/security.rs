//! Rights, devices, kernel settings, logging.

use serde_json::json;

use super::{Bad, Good, check_bad, check_good};

#[test]
fn rights_and_kernel_settings_are_read_in_every_form() {
    check_good(&good());
}

#[test]
fn impossible_rights_are_explained() {
    check_bad(&bad());
}

#[rustfmt::skip]
pub fn good() -> Vec<Good> {
    let opt = "/container/security_opt";
    vec![
        Good("read_only = true", "/container/read_only", json!(true)),
        Good("read_only = \"${NO}\"", "/container/read_only", json!(false)),
        Good("privileged = true", "/container/privileged", json!(true)),
        Good("cap_add = [\"NET_ADMIN\", \"CAP_SYS_TIME\", \"net_raw\"]", "/container/cap_add", json!(["NET_ADMIN", "NET_RAW", "SYS_TIME"])),
        Good("cap_add = [\"NET_ADMIN\", \"cap_net_admin\"]", "/container/cap_add", json!(["NET_ADMIN"])),
        Good("cap_drop = [\"all\"]", "/container/cap_drop", json!(["ALL"])),
        Good("security_opt = [\"no-new-privileges\"]", opt, json!(["no-new-privileges=true"])),
        Good("security_opt = [\"no-new-privileges:true\"]", opt, json!(["no-new-privileges=true"])),
        Good("security_opt = [\"no-new-privileges=false\"]", opt, json!(["no-new-privileges=false"])),
        Good("security_opt = [\"label:disable\", \"apparmor=unconfined\", \"seccomp:unconfined\"]", opt, json!(["apparmor=unconfined", "label=disable", "seccomp=unconfined"])),
        Good("security_opt = [\"writable-cgroups=false\"]", opt, json!(["writable-cgroups=false"])),
        Good("security_opt = [\"label=type:svirt_apache_t\"]", opt, json!(["label=type:svirt_apache_t"])),
        Good("security_opt = [\"seccomp=./seccomp.json\"]", opt, json!(["seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}"])),
        Good("devices = [\"/dev/ttyUSB0\"]", "devices", json!(["/dev/ttyUSB0:/dev/ttyUSB0:rwm"])),
        Good("devices = [\"/dev/sda:/dev/xvda\"]", "devices", json!(["/dev/sda:/dev/xvda:rwm"])),
        Good("devices = [\"/dev/sda:/dev/xvda:wr\"]", "devices", json!(["/dev/sda:/dev/xvda:rw"])),
        Good("devices = [\"/dev/sda:r\"]", "devices", json!(["/dev/sda:/dev/sda:r"])),
        Good("devices = [{ source = \"/dev/b\", target = \"/dev/z\", permissions = \"r\" }, { source = \"/dev/a\" }]", "devices", json!(["/dev/a:/dev/a:rwm", "/dev/b:/dev/z:r"])),
        Good("ulimits = { nofile = 65536, nproc = -1 }", "/container/ulimits", json!({ "nofile": { "soft": 65536, "hard": 65536 }, "nproc": { "soft": -1, "hard": -1 } })),
        Good("ulimits.nofile = { soft = 1024, hard = 4096 }", "/container/ulimits", json!({ "nofile": { "soft": 1024, "hard": 4096 } })),
        Good("ulimits.core = { soft = 0, hard = -1 }", "/container/ulimits/core/hard", json!(-1)),
        Good("sysctls = { \"net.core.somaxconn\" = 1024 }", "/container/sysctls", json!({ "net.core.somaxconn": "1024" })),
        Good("sysctls.net.ipv4.tcp_syncookies = 0", "/container/sysctls", json!({ "net.ipv4.tcp_syncookies": "0" })),
        Good("sysctls = [\"net.ipv4.ip_local_port_range=1024 65000\"]", "/container/sysctls", json!({ "net.ipv4.ip_local_port_range": "1024 65000" })),
        Good("logging = { driver = \"json-file\", options = { max-size = \"10m\", max-file = 3 } }", "/container/logging", json!({ "driver": "json-file", "options": { "max-size": "10m", "max-file": "3" } })),
        Good("logging.driver = \"none\"", "/container/logging", json!({ "driver": "none", "options": {} })),
        Good("logging.options.tag = \"{{.Name}}\"", "/container/logging", json!({ "driver": null, "options": { "tag": "{{.Name}}" } })),
        Good("logging = {}", "/container/logging", json!(null)),
    ]
}

#[rustfmt::skip]
pub fn bad() -> Vec<Bad> {
    vec![
        Bad("read_only = \"yes\"", "bad-type", "\"yes\"", "true without quotes"),
        Bad("privileged = 1", "bad-type", "1", "takes true or false"),
        Bad("cap_add = [\"NET_ADMN\"]", "bad-choice", "\"NET_ADMN\"", "did you mean \"NET_ADMIN\"?"),
        Bad("cap_add = \"NET_ADMIN\"", "bad-type", "\"NET_ADMIN\"", "takes a list"),
        Bad("cap_drop = [\"EVERYTHING\"]", "bad-choice", "\"EVERYTHING\"", "is not a capability"),
        Bad("security_opt = [\"no-new-privilege\"]", "bad-choice", "\"no-new-privilege\"", "did you mean \"no-new-privileges\"?"),
        Bad("security_opt = [\"no-new-privileges:maybe\"]", "bad-choice", "maybe", "neither true nor false"),
        Bad("security_opt = [\"seccomp=./absent.json\"]", "bad-file", "\"seccomp=./absent.json\"", "cannot be read"),
        Bad("security_opt = [\"seccomp=./app.env\"]", "bad-file", "\"seccomp=./app.env\"", "is not JSON"),
        Bad("security_opt = [\"writable-cgroups=true\"]", "engine-too-old", "security_opt", "`writable-cgroups` needs Docker Engine 28.0"),
        Bad("security_opt = [\"writable-cgroups=maybe\"]", "bad-choice", "maybe", "neither true nor false"),
        Bad("security_opt = [\"writable-cgroups\"]", "bad-choice", "\"writable-cgroups\"", "needs a value"),
        Bad("security_opt = [\"apparmor\"]", "bad-choice", "\"apparmor\"", "needs a value"),
        Bad("devices = [\"dev/sda\"]", "bad-device", "\"dev/sda\"", "begin with `/`"),
        Bad("devices = [\"/dev/sda:/dev/sda:rx\"]", "bad-device", "\"/dev/sda:/dev/sda:rx\"", "some of r, w and m"),
        Bad("devices = [{ target = \"/dev/a\" }]", "missing-key", "{ target = \"/dev/a\" }", "source = \"/dev/...\""),
        Bad("devices = [\"/dev/a:/dev/x\", \"/dev/b:/dev/x\"]", "duplicate-device", "\"/dev/b:/dev/x\"", "given twice"),
        Bad("ulimits = { nofiles = 1 }", "bad-choice", "nofiles", "did you mean \"nofile\"?"),
        Bad("ulimits = { nofile = { soft = 2 } }", "missing-key", "{ soft = 2 }", "has no `hard`"),
        Bad("ulimits = { nofile = { soft = 2, hard = 1 } }", "out-of-range", "{ soft = 2, hard = 1 }", "above the hard one"),
        Bad("ulimits = { nofile = \"many\" }", "bad-type", "\"many\"", "takes a whole number"),
        Bad("sysctls = { \"vm.swappiness\" = 1 }", "bad-sysctl", "\"vm.swappiness\"", "setting of the whole host"),
        Bad("sysctls = \"net.x=1\"", "bad-type", "\"net.x=1\"", "a table or a list"),
        Bad("logging = \"json-file\"", "bad-type", "\"json-file\"", "logging = { driver"),
        Bad("logging.drivr = \"local\"", "unknown-key", "drivr", "did you mean `driver`?"),
        Bad("logging.options = [\"max-size=10m\"]", "bad-type", "[\"max-size=10m\"]", "takes a table"),
    ]
}
