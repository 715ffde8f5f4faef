//! An example for every key of the language, beside the types that describe them.
//!
//! A new key needs one line here: its name, its default (empty where there is none to tell) and a piece of TOML. A test loads
//! every piece as an override of [`BASE`], and another one fails for a key without any.

mod deploy;
mod hooks;
mod network;
mod process;
mod provided;
mod service;
mod storage;
mod top;
mod watch;
mod work;

/// A key of a shape: its name, its default, and an example, which stands below the shape's header.
#[derive(Debug, Clone, Copy)]
pub struct Example(pub &'static str, pub &'static str, pub &'static str);

/// A shape of the language and where its tables stand.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// The type's name.
    pub name: &'static str,
    /// Its place, for people.
    pub at: &'static str,
    /// What opens the table in an example; empty where the examples do so themselves.
    pub header: &'static str,
    pub keys: &'static [Example],
}

impl Shape {
    /// An example as it stands in a file.
    #[must_use]
    pub fn text(&self, example: &Example) -> String {
        let Example(_, _, text) = example;
        if self.header.is_empty() { format!("{text}\n") } else { format!("{}\n{text}\n", self.header) }
    }
}

/// Every shape, in the order of the reference.
#[must_use]
pub fn shapes() -> Vec<&'static Shape> {
    [
        top::SHAPES,
        service::SHAPES,
        process::SHAPES,
        network::SHAPES,
        storage::SHAPES,
        provided::SHAPES,
        deploy::SHAPES,
        watch::SHAPES,
        hooks::SHAPES,
        work::SHAPES,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Shapes that have all keys of others, which are told there: the shape, the others, and where they stand.
pub const INHERITED: &[(&str, &[&str], &str)] = &[
    (
        "Job",
        &["Service"],
        "every key of [`services.<name>`](#table-service) but `restart`, `ports`, `scale`, `container_name`, `rollout` and `extends`",
    ),
    (
        "Build",
        &["BuildSection", "BuildPolicy"],
        "every key of [`services.<name>.build`](#table-buildsection) and [`services.<name>.build_policy`](#table-buildpolicy)",
    ),
];

/// The files around every example: paths and texts. An example is one more file of the project, with `override = true`; one
/// that begins with `# fleet.toml` takes the place of that file.
pub const BASE: &[(&str, &str)] = &[
    ("fleet.toml", "[hosts]\nfra1 = { labels = { role = \"web\" }, profiles = [\"backup\"] }\nnyc1 = {}\n"),
    (
        "shop/base.toml",
        "\
[services.web]
image = \"shop:1.8\"
[services.db]
image = \"postgres:16\"
healthcheck = { test = \"pg_isready\" }
[networks]
front = {}
back = { ipam = { config = [{ subnet = \"10.5.0.0/16\" }] } }
[volumes]
data = {}
[secrets]
db-password = { external = true }
[configs]
app-ini = { content = \"listen = 0.0.0.0:8080\" }
",
    ),
    ("shop/files/app.ini", "listen = 0.0.0.0:8080\n"),
    ("shop/files/db-password.age", "age-encryption.org/v1\n"),
    ("shop/files/all.sops.yaml", "sops: {}\n"),
    ("shop/app.env", "A=1\n"),
    ("common/cache.toml", "[services.cache]\nimage = \"redis:7\"\n"),
];
