//! `secrets` and `configs` of a service. `unopened` stands where the name of the content comes, because nobody has looked here.

use serde_json::json;

use super::{Bad, Good, check_bad, check_good};

const AT: &str = "mounts";

#[rustfmt::skip]
pub fn good() -> Vec<Good> {
    vec![
        Good("secrets = [\"password\"]", AT, json!(["bind /run/ek/secrets/unopened.0444.0.0 -> /run/secrets/password ro"])),
        Good("secrets = [{ source = \"password\" }]", AT, json!(["bind /run/ek/secrets/unopened.0444.0.0 -> /run/secrets/password ro"])),
        Good("secrets = [{ source = \"password\", target = \"db\" }]", AT, json!(["bind /run/ek/secrets/unopened.0444.0.0 -> /run/secrets/db ro"])),
        Good("secrets = [{ source = \"tls\", target = \"/etc/app/tls.pem\", uid = \"1000\", gid = 100, mode = 0o400 }]", AT,
            json!(["bind /run/ek/secrets/unopened.0400.1000.100 -> /etc/app/tls.pem ro"])),
        Good("secrets = [{ source = \"tls\", mode = \"0440\" }]", AT, json!(["bind /run/ek/secrets/unopened.0440.0.0 -> /run/secrets/tls ro"])),
        Good("secrets = [{ source = \"tls\", on_change = \"replace\" }]", "/live/restart", json!("no")),
        Good("[[services.web.secrets]]\nsource = \"password\"\nuid = \"${THREE}\"", AT, json!(["bind /run/ek/secrets/unopened.0444.3.0 -> /run/secrets/password ro"])),
        Good("secrets = []", AT, json!([])),
        Good("configs = [\"ini\"]", AT, json!(["bind /run/ek/secrets/unopened.0444.0.0 -> /ini ro"])),
        Good("configs = [{ source = \"ini\", target = \"/etc/app/app.ini\", mode = 0o644 }]", AT, json!(["bind /run/ek/secrets/unopened.0644.0.0 -> /etc/app/app.ini ro"])),
        Good("configs = [{ source = \"ini\", target = \"app.ini\" }]", AT, json!(["bind /run/ek/secrets/unopened.0444.0.0 -> /app.ini ro"])),
        Good("configs = [\"ini\"]\nsecrets = [\"password\"]\nread_only = true", AT,
            json!(["bind /run/ek/secrets/unopened.0444.0.0 -> /ini ro", "bind /run/ek/secrets/unopened.0444.0.0 -> /run/secrets/password ro"])),
    ]
}

#[rustfmt::skip]
pub fn bad() -> Vec<Bad> {
    vec![
        Bad("secrets = [\"pasword\"]", "undeclared-secret", "pasword", "did you mean `password`?"),
        Bad("secrets = [\"quite-another\"]", "undeclared-secret", "quite-another", "declare it: [secrets.quite-another]"),
        Bad("secrets = [\"ini\"]", "undeclared-secret", "ini", "it is one of the configs"),
        Bad("configs = [\"tls\"]", "undeclared-config", "tls", "it is one of the secrets"),
        Bad("configs = [{ source = \"inii\" }]", "undeclared-config", "inii", "did you mean `ini`?"),
        Bad("secrets = \"password\"", "bad-type", "\"password\"", "secrets = [\"name\"]"),
        Bad("secrets = [7]", "bad-type", "7", "write \"name\""),
        Bad("secrets = [{ target = \"/x\" }]", "missing-key", "{ target = \"/x\" }", "which secret?"),
        Bad("secrets = [{ source = \"tls\", user = 0 }]", "unknown-key", "user", "is a key of a service"),
        Bad("secrets = [{ source = \"tls\", uid = \"www\" }]", "bad-owner", "\"www\"", "takes a number"),
        Bad("secrets = [{ source = \"tls\", gid = -1 }]", "bad-owner", "-1", "takes a number"),
        Bad("secrets = [{ source = \"tls\", mode = \"r--r--r--\" }]", "bad-mode", "\"r--r--r--\"", "permission bits"),
        Bad("secrets = [{ source = \"tls\", mode = 440 }]", "bad-mode", "440", "write 0o440"),
        Bad("secrets = [{ source = \"tls\", mode = 0o17777 }]", "bad-mode", "0o17777", "permission bits"),
        Bad("secrets = [{ source = \"tls\", target = \"/\" }]", "bad-mount", "\"/\"", "the root itself"),
        Bad("secrets = [{ source = \"tls\", on_change = \"SIGHUPP\" }]", "bad-choice", "\"SIGHUPP\"", "did you mean \"SIGHUP\"?"),
        Bad("secrets = [{ source = \"tls\", on_change = \"restart\" }]", "bad-choice", "\"restart\"", "replace, names of signal(7)"),
        Bad("secrets = [\"tls\", { source = \"password\", target = \"tls\" }]", "duplicate-mount", "{ source = \"password\", target = \"tls\" }", "mounted twice"),
        Bad("volumes = [\"data:/ini\"]\nconfigs = [\"ini\"]", "duplicate-mount", "\"ini\"", "mounted twice"),
        Bad("configs = [{ source = \"ini\", target = \"\" }]", "empty-text", "\"\"", "is empty"),
    ]
}

#[test]
fn secrets_and_configs_become_files_read_only() {
    check_good(&good());
    check_bad(&bad());
}
