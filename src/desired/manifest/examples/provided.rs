//! Secrets, configs and logins.

use super::{Example as E, Shape};

pub(super) const SHAPES: &[Shape] = &[
    Shape {
        name: "Secret",
        at: "secrets.<name>",
        header: "[secrets.password]",
        keys: &[
            E("age", "", "age = \"files/db-password.age\""),
            E("environment", "", "environment = \"DB_PASSWORD\""),
            E("external", "`false`", "external = true"),
            E("file", "", "file = \"/etc/ssl/private/app.pem\""),
            E("name", "the secret's own", "external = true\nname = \"shop-password\""),
            E("sops", "", "sops = \"files/all.sops.yaml\""),
        ],
    },
    Shape {
        name: "Config",
        at: "configs.<name>",
        header: "[configs.ini]",
        keys: &[
            E("content", "", "content = \"\"\"\nlisten = 0.0.0.0:8080\nlog = ${LOG_LEVEL:-info}\n\"\"\""),
            E("environment", "", "environment = \"APP_INI\""),
            E("external", "`false`", "external = true"),
            E("file", "", "file = \"files/app.ini\""),
            E("name", "the config's own", "external = true\nname = \"shop-ini\""),
        ],
    },
    Shape {
        name: "Grant",
        at: "services.<name>.secrets[]",
        header: "[[services.web.secrets]]\nsource = \"db-password\"",
        keys: &[
            E("gid", "`0`", "gid = 1000"),
            E("mode", "`0o444`", "mode = 0o400"),
            E("on_change", "`\"replace\"`", "on_change = \"SIGHUP\""),
            E("source", "", "target = \"/etc/app/password\""),
            E("target", "`/run/secrets/<source>`, of a config `/<source>`", "target = \"/etc/app/password\""),
            E("uid", "`0`", "uid = 1000"),
        ],
    },
    Shape {
        name: "Credential",
        at: "credentials.<host>",
        header: "[credentials.\"registry.example.com\"]",
        keys: &[
            E("password", "", "username = \"ci\"\npassword = \"secret:db-password\""),
            E("ssh_key", "", "ssh_key = \"secret:db-password\""),
            E("token", "", "token = \"secret:db-password\""),
            E("username", "", "username = \"ci\"\npassword = \"secret:db-password\""),
        ],
    },
];
