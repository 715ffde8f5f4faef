//! Ports and networks.

use super::{Example as E, Shape};

pub(super) const SHAPES: &[Shape] = &[
    Shape {
        name: "Port",
        at: "services.<name>.ports[]",
        header: "[[services.web.ports]]",
        keys: &[
            E("app_protocol", "", "target = 80\napp_protocol = \"http\""),
            E("host_ip", "every address", "target = 80\npublished = 8080\nhost_ip = \"127.0.0.1\""),
            E("mode", "`\"host\"`", "target = 80\npublished = 8080\nmode = \"host\""),
            E("name", "", "target = 80\nname = \"web\""),
            E("protocol", "`\"tcp\"`", "target = 53\npublished = 5353\nprotocol = \"udp\""),
            E("published", "any free port", "target = 80\npublished = \"8080-8090\""),
            E("target", "", "target = 80"),
        ],
    },
    Shape {
        name: "Endpoint",
        at: "services.<name>.networks.<name>",
        header: "[services.web.networks.back]",
        keys: &[
            E("aliases", "", "aliases = [\"www\", \"shop\"]"),
            E(
                "driver_opts",
                "",
                "driver_opts = { \"com.docker.network.endpoint.sysctls\" = \"net.ipv4.conf.IFNAME.log_martians=1\" }",
            ),
            E("gw_priority", "0", "gw_priority = 1"),
            E("interface_name", "the engine's", "interface_name = \"eth5\""),
            E("ipv4_address", "any free one", "ipv4_address = \"10.5.0.10\""),
            E("ipv6_address", "any free one", "ipv6_address = \"fd00:5::10\""),
            E("link_local_ips", "", "link_local_ips = [\"169.254.8.8\"]"),
            E("mac_address", "any free one", "mac_address = \"02:42:ac:11:00:05\""),
            E("priority", "0", "priority = 10"),
        ],
    },
    Shape {
        name: "Network",
        at: "networks.<name>",
        header: "[networks.backend]",
        keys: &[
            E("attachable", "`false`", "attachable = true"),
            E("driver", "`\"bridge\"`", "driver = \"bridge\""),
            E("driver_opts", "", "driver_opts.com.docker.network.bridge.name = \"br-shop\""),
            E("enable_ipv4", "`true`", "enable_ipv4 = false\nenable_ipv6 = true"),
            E("enable_ipv6", "`false`", "enable_ipv6 = true"),
            E("external", "`false`", "external = true"),
            E("internal", "`false`", "internal = true"),
            E("ipam", "the engine's", "ipam = { config = [{ subnet = \"10.6.0.0/16\" }] }"),
            E("labels", "", "labels = { team = \"web\" }"),
            E("name", "`<project>_<network>`", "name = \"proxy\""),
        ],
    },
    Shape {
        name: "Ipam",
        at: "networks.<name>.ipam",
        header: "[networks.backend.ipam]",
        keys: &[
            E("config", "", "config = [{ subnet = \"10.6.0.0/16\" }]"),
            E("driver", "`\"default\"`", "driver = \"default\""),
            E("options", "", "options = { foo = \"bar\" }"),
        ],
    },
    Shape {
        name: "IpamPool",
        at: "networks.<name>.ipam.config[]",
        header: "[[networks.backend.ipam.config]]\nsubnet = \"10.6.0.0/16\"",
        keys: &[
            E("aux_addresses", "", "aux_addresses = { router = \"10.6.0.2\" }"),
            E("gateway", "the first address", "gateway = \"10.6.0.1\""),
            E("ip_range", "the whole subnet", "ip_range = \"10.6.1.0/24\""),
            E("subnet", "the engine chooses", "gateway = \"10.6.0.1\""),
        ],
    },
];
