//! Probes.

use super::{Example as E, Shape};

pub(super) const SHAPES: &[Shape] = &[
    Shape {
        name: "Probe",
        at: "services.<name>.probe",
        header: "",
        keys: &[
            E("exec", "", "[services.web]\nprobe = { exec = { command = [\"check\", \"--quick\"] } }"),
            E("http", "", "[services.web]\nprobe = { http = { port = 8080, path = \"/healthz\" } }"),
            E("interval", "`\"10s\"`", "[services.web]\nprobe = { tcp = { port = 80 }, interval = \"30s\" }"),
            E(
                "on_failure",
                "`\"report\"`",
                "[services.web]\nprobe = { tcp = { port = 80 }, on_failure = \"restart\" }",
            ),
            E(
                "start_period",
                "`\"0s\"`",
                "[services.web]\nprobe = { tcp = { port = 80 }, start_period = \"2m\" }",
            ),
            E("success", "1", "[services.web]\nprobe = { tcp = { port = 80 }, success = 2 }"),
            E("tcp", "", "[services.web]\nprobe = { tcp = { port = 5432 } }"),
            E("threshold", "3", "[services.web]\nprobe = { tcp = { port = 80 }, threshold = 5 }"),
            E("timeout", "`\"5s\"`", "[services.web]\nprobe = { tcp = { port = 80 }, timeout = \"500ms\" }"),
        ],
    },
    Shape {
        name: "HttpProbe",
        at: "services.<name>.probe.http",
        header: "[services.web.probe.http]",
        keys: &[
            E("headers", "", "port = 8080\nheaders = { Host = \"shop.example.org\" }"),
            E("path", "`\"/\"`", "port = 8080\npath = \"/healthz\""),
            E("port", "", "port = 8080"),
            E("status", "`\"200-399\"`", "port = 8080\nstatus = 204"),
        ],
    },
    Shape {
        name: "TcpProbe",
        at: "services.<name>.probe.tcp",
        header: "[services.web.probe.tcp]",
        keys: &[E("port", "", "port = 5432")],
    },
    Shape {
        name: "ExecProbe",
        at: "services.<name>.probe.exec",
        header: "[services.web.probe.exec]",
        keys: &[
            E("command", "", "command = [\"pg_isready\", \"-q\"]"),
            E("user", "the container's", "command = \"pg_isready\"\nuser = \"postgres\""),
        ],
    },
];
