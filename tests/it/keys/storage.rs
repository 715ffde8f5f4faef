//! Mounts.

use serde_json::json;

use super::{Bad, Good, check_bad, check_good};

#[test]
fn mounts_are_read_in_every_form() {
    check_good(&good());
}

#[test]
fn impossible_mounts_are_explained() {
    check_bad(&bad());
}

#[rustfmt::skip]
pub fn good() -> Vec<Good> {
    let tmpfs = "/container/tmpfs";
    vec![
        Good("volumes = [\"./files:/etc/app\"]", "mounts", json!(["bind /srv/desired/shop/files create -> /etc/app"])),
        Good("volumes = [\"../common:/c\"]", "mounts", json!(["bind /srv/desired/common create -> /c"])),
        Good("volumes = [\".:/here:ro\"]", "mounts", json!(["bind /srv/desired/shop create -> /here ro"])),
        Good("volumes = [\"~/x:/x\"]", "mounts", json!(["bind /root/x create -> /x"])),
        Good("volumes = [\"/srv/a/../b//c/:/x/\"]", "mounts", json!(["bind /srv/b/c create -> /x"])),
        Good("volumes = [\"/var/run/docker.sock:/var/run/docker.sock:ro\"]", "mounts", json!(["bind /var/run/docker.sock create -> /var/run/docker.sock ro"])),
        Good("volumes = [\"data:/data\"]", "mounts", json!(["volume shop_data (data) -> /data"])),
        Good("volumes = [\"data:/data:rw\"]", "mounts", json!(["volume shop_data (data) -> /data"])),
        Good("volumes = [\"named:/data:ro,nocopy\"]", "mounts", json!(["volume other (named) nocopy -> /data ro"])),
        Good("volumes = [\"elsewhere:/data\"]", "mounts", json!(["volume elsewhere (elsewhere) -> /data"])),
        Good("volumes = [\"/data\"]", "mounts", json!(["volume anonymous -> /data"])),
        Good("volumes = [\"./a:/a:z\", \"./b:/b:ro,Z\"]", "mounts", json!(["bind /srv/desired/shop/a create z -> /a", "bind /srv/desired/shop/b create Z -> /b ro"])),
        Good("volumes = [\"/mnt:/mnt:rshared\"]", "mounts", json!(["bind /mnt create rshared -> /mnt"])),
        Good("volumes = [\"/mnt:/mnt:rprivate,cached\"]", "mounts", json!(["bind /mnt create -> /mnt"])),
        Good("volumes = [{ type = \"bind\", source = \"./files\", target = \"/f\" }]", "mounts", json!(["bind /srv/desired/shop/files create -> /f"])),
        Good("volumes = [{ type = \"bind\", source = \"/x\", target = \"/f\", read_only = true, consistency = \"cached\", bind = { propagation = \"rslave\", create_host_path = true, selinux = \"Z\" } }]", "mounts", json!(["bind /x create rslave Z -> /f ro"])),
        Good("volumes = [{ type = \"volume\", source = \"data\", target = \"/d\", volume = { nocopy = true } }]", "mounts", json!(["volume shop_data (data) nocopy -> /d"])),
        Good("volumes = [{ type = \"volume\", target = \"/d\" }]", "mounts", json!(["volume anonymous -> /d"])),
        Good("volumes = [{ type = \"tmpfs\", target = \"/t\", tmpfs = { size = \"64m\", mode = 0o1777 } }]", "mounts", json!(["tmpfs 67108864 1777 -> /t"])),
        Good("volumes = [{ type = \"tmpfs\", target = \"/t\", tmpfs = { size = 1024, mode = \"0700\" } }]", "mounts", json!(["tmpfs 1024 700 -> /t"])),
        Good("[[services.web.volumes]]\ntype = \"tmpfs\"\ntarget = \"/t\"", "mounts", json!(["tmpfs -> /t"])),
        Good("tmpfs = \"/run\"", tmpfs, json!({ "/run": "" })),
        Good("tmpfs = [\"/run\", \"/tmp:size=64m,mode=1777\"]", tmpfs, json!({ "/run": "", "/tmp": "mode=1777,size=64m" })),
        Good("tmpfs = [\"/run/:noexec\"]", tmpfs, json!({ "/run": "noexec" })),
        Good("shm_size = \"256mb\"", "/container/shm_size", json!(268_435_456)),
        Good("shm_size = 1024", "/container/shm_size", json!(1024)),
        Good("shm_size = \"1.5 GiB\"", "/container/shm_size", json!(1_610_612_736)),
    ]
}

#[rustfmt::skip]
pub fn bad() -> Vec<Bad> {
    vec![
        Bad("volumes = [\"dta:/x\"]", "undeclared-volume", "dta", "did you mean `data`?"),
        Bad("volumes = [\"zoo:/x\"]", "undeclared-volume", "zoo", "or, if a folder was meant: \"./zoo:/x\""),
        Bad("volumes = [\"files/x:/x\"]", "path-without-dot", "files/x", "write \"./files/x:/x\""),
        Bad("volumes = [\"./x:x\"]", "bad-mount", "x", "begins with `/`"),
        Bad("volumes = [\"./x:/\"]", "bad-mount", "/", "the root itself"),
        Bad("volumes = [\"./x::ro\"]", "bad-mount", "", "empty part"),
        Bad("volumes = [\"a:b:c:d\"]", "bad-mount", "\"a:b:c:d\"", "too many colons"),
        Bad("volumes = [\"/x:/x:r0\"]", "bad-choice", "r0", "did you mean \"ro\"?"),
        Bad("volumes = [\"data:/x:z\"]", "bad-mount", "z", "no effect on a volume"),
        Bad("volumes = [\"/x:/x:ro,nocopy\"]", "bad-mount", "nocopy", "an option of a volume only"),
        Bad("volumes = [\"~bob/x:/x\"]", "bad-mount", "~bob/x", "other users' homes"),
        Bad("volumes = ['C:\\x:/x']", "bad-mount", "'C:\\x:/x'", "a Windows path"),
        Bad("volumes = [\"x\"]", "bad-mount", "x", "begins with `/`"),
        Bad("volumes = [\"/a:/x\", \"/b:/x/\"]", "duplicate-mount", "\"/b:/x/\"", "`/x` is mounted twice"),
        Bad("volumes = [\"/x\"]\ntmpfs = \"/x\"", "duplicate-mount", "\"/x\"", "mounted twice"),
        Bad("volumes = [1]", "bad-type", "1", "\"./folder:/path\""),
        Bad("volumes = \"./a:/a\"", "bad-type", "\"./a:/a\"", "volumes = ["),
        Bad("volumes = [{ target = \"/x\" }]", "missing-key", "{ target = \"/x\" }", "add type"),
        Bad("volumes = [{ type = \"bind\", target = \"/x\" }]", "missing-key", "{ type = \"bind\", target = \"/x\" }", "source = \"./folder\""),
        Bad("volumes = [{ type = \"volume\", source = \"data\" }]", "missing-key", "{ type = \"volume\", source = \"data\" }", "target = \"/path\""),
        Bad("volumes = [{ type = \"bnd\", source = \"/x\", target = \"/x\" }]", "bad-choice", "\"bnd\"", "did you mean \"bind\"?"),
        Bad("volumes = [{ type = \"volume\", source = \"./x\", target = \"/x\" }]", "bad-mount", "\"./x\"", "type = \"bind\""),
        Bad("volumes = [{ type = \"volume\", source = \"zoo\", target = \"/x\" }]", "undeclared-volume", "\"zoo\"", "is not declared"),
        Bad("volumes = [{ type = \"tmpfs\", source = \"x\", target = \"/x\" }]", "bad-mount", "\"x\"", "no source"),
        Bad("volumes = [{ type = \"bind\", source = \"/x\", target = \"/x\", tmpfs = { size = 1 } }]", "bad-mount", "tmpfs", "this one is a bind"),
        Bad("volumes = [{ type = \"bind\", source = \"/x\", target = \"/x\", bind = { propagation = \"rshard\" } }]", "bad-choice", "\"rshard\"", "did you mean \"rshared\"?"),
        Bad("volumes = [{ type = \"volume\", source = \"data\", target = \"/x\", volume = { subpath = \"a\" } }]", "engine-too-old", "subpath", "needs Docker Engine 26 (API 1.45)"),
        Bad("volumes = [{ type = \"tmpfs\", target = \"/x\", tmpfs = { mode = \"999\" } }]", "bad-mode", "\"999\"", "permission bits"),
        Bad("volumes = [{ type = \"tmpfs\", target = \"/x\", readonly = true }]", "unknown-key", "readonly", "did you mean `read_only`?"),
        Bad("tmpfs = \"run\"", "bad-mount", "run", "begins with `/`"),
        Bad("tmpfs = \"/run:sise=64m\"", "bad-choice", "sise=64m", "did you mean \"size\"?"),
        Bad("tmpfs = \"/run:ro,size=\"", "bad-mount", "size=", "needs a value"),
        Bad("volumes = [\"data:/x:rshared\"]", "bad-mount", "rshared", "an option of a bind only"),
        Bad("tmpfs = 1", "bad-type", "1", "tmpfs = [\"/run\"]"),
        Bad("shm_size = \"64x\"", "bad-size", "\"64x\"", "unit is unknown"),
        Bad("shm_size = \"m\"", "bad-size", "\"m\"", "begin with a number"),
        Bad("shm_size = -1", "bad-size", "-1", "negative"),
        Bad("shm_size = true", "bad-type", "true", "\"512m\""),
    ]
}
