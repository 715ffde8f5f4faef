//! Mounts and volumes.

use super::{Example as E, Shape};

pub(super) const SHAPES: &[Shape] = &[
    Shape {
        name: "Mount",
        at: "services.<name>.volumes[]",
        header: "[[services.web.volumes]]",
        keys: &[
            E(
                "bind",
                "",
                "type = \"bind\"\nsource = \"./files\"\ntarget = \"/files\"\nbind = { create_host_path = true }",
            ),
            E(
                "consistency",
                "",
                "type = \"bind\"\nsource = \"./files\"\ntarget = \"/files\"\nconsistency = \"cached\"",
            ),
            E(
                "image",
                "the whole image",
                "type = \"image\"\nsource = \"files:1\"\ntarget = \"/files\"\nimage = { subpath = \"public\" }",
            ),
            E(
                "read_only",
                "`false`",
                "type = \"bind\"\nsource = \"./files\"\ntarget = \"/files\"\nread_only = true",
            ),
            E("source", "", "type = \"volume\"\nsource = \"data\"\ntarget = \"/data\""),
            E("target", "", "type = \"volume\"\nsource = \"data\"\ntarget = \"/data\""),
            E("tmpfs", "", "type = \"tmpfs\"\ntarget = \"/scratch\"\ntmpfs = { size = \"1g\" }"),
            E("type", "", "type = \"tmpfs\"\ntarget = \"/scratch\""),
            E(
                "volume",
                "",
                "type = \"volume\"\nsource = \"data\"\ntarget = \"/data\"\nvolume = { nocopy = true }",
            ),
        ],
    },
    Shape {
        name: "BindOptions",
        at: "services.<name>.volumes[].bind",
        header: "[[services.web.volumes]]\ntype = \"bind\"\nsource = \"./files\"\ntarget = \"/files\"",
        keys: &[
            E("create_host_path", "`true`", "bind = { create_host_path = false }"),
            E("propagation", "`\"rprivate\"`", "bind = { propagation = \"rslave\" }"),
            E("recursive", "`\"enabled\"`", "read_only = true\nbind = { recursive = \"readonly\" }"),
            E("selinux", "", "bind = { selinux = \"z\" }"),
        ],
    },
    Shape {
        name: "VolumeOptions",
        at: "services.<name>.volumes[].volume",
        header: "[[services.web.volumes]]\ntype = \"volume\"\ntarget = \"/data\"",
        keys: &[
            E("labels", "", "volume = { labels = { team = \"web\" } }"),
            E("nocopy", "`false`", "source = \"data\"\nvolume = { nocopy = true }"),
            E("subpath", "the whole volume", "source = \"data\"\nvolume = { subpath = \"shop\" }"),
        ],
    },
    Shape {
        name: "ImageOptions",
        at: "services.<name>.volumes[].image",
        header: "[[services.web.volumes]]\ntype = \"image\"\nsource = \"files:1\"\ntarget = \"/files\"",
        keys: &[E("subpath", "the whole image", "image = { subpath = \"public\" }")],
    },
    Shape {
        name: "TmpfsOptions",
        at: "services.<name>.volumes[].tmpfs",
        header: "[[services.web.volumes]]\ntype = \"tmpfs\"\ntarget = \"/scratch\"",
        keys: &[
            E("mode", "`0o1777`", "tmpfs = { mode = 0o700 }"),
            E("size", "half of the memory", "tmpfs = { size = \"64m\" }"),
        ],
    },
    Shape {
        name: "Volume",
        at: "volumes.<name>",
        header: "[volumes.logs]",
        keys: &[
            E("driver", "`\"local\"`", "driver = \"local\""),
            E("driver_opts", "", "driver_opts = { type = \"tmpfs\", o = \"size=64m\", device = \"tmpfs\" }"),
            E("external", "`false`", "external = true"),
            E("labels", "", "labels = { backup = \"daily\" }"),
            E("name", "`<project>_<volume>`", "name = \"shop-logs\""),
        ],
    },
];
