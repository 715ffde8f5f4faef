//! Mounts of a container: what goes into `Mounts`, and what only the older `Binds` can say.

use std::collections::BTreeMap;

use bollard::models::{
    Mount as ApiMount, MountBindOptions, MountBindOptionsPropagationEnum, MountImageOptions,
    MountTmpfsOptions, MountType, MountVolumeOptions,
};

use super::network::some_map;
use crate::desired::spec::{ContainerSpec, MountSource, Recursive};
use crate::state::plan::Creation;

/// The two lists of a create request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MountLists {
    /// `source:target[:options]`.
    pub binds: Vec<String>,
    pub mounts: Vec<ApiMount>,
}

/// Splits the mounts of a container.
///
/// `Binds` is used for what `Mounts` cannot say on every engine: making a missing host directory (`Mounts` learned that in
/// API 1.42) and SELinux labels (it never did). Everything else goes into `Mounts`, which refuses a missing host path
/// instead of making an empty directory in its place.
#[must_use]
pub fn lists(creation: &Creation, api: (u32, u32)) -> MountLists {
    let mut lists = MountLists::default();
    for (target, mount) in &creation.spec.mounts {
        match &mount.source {
            MountSource::Bind { path, create, propagation, selinux, content: _, recursive } => {
                let propagation = propagation.as_deref();
                // A line cannot say what becomes of the mounts below.
                let line = bind_line(path, target, mount.read_only, propagation, *selinux)
                    .filter(|_| recursive.is_none());
                match line {
                    Some(line) if *create || selinux.is_some() => lists.binds.push(line),
                    _ => {
                        let options = bind_options(*create, propagation, *recursive, api);
                        lists.mounts.push(bind(path, target, mount.read_only, options));
                    }
                }
            }
            MountSource::Image { reference, subpath } => {
                lists.mounts.push(image(reference, target, mount.read_only, subpath.as_ref()));
            }
            MountSource::Volume { name, key: _, no_copy, subpath, labels } => {
                let inherited = || creation.inherited.get(target);
                let source = name.as_ref().or_else(inherited);
                let options = MountVolumeOptions {
                    no_copy: no_copy.then_some(true),
                    subpath: subpath.clone(),
                    labels: some_map(labels),
                    ..MountVolumeOptions::default()
                };
                lists.mounts.push(volume(source, target, mount.read_only, options));
            }
            MountSource::Tmpfs { size, mode } => {
                lists.mounts.push(tmpfs(target, mount.read_only, *size, *mode));
            }
        }
    }
    for (target, name) in inherited_image_volumes(creation) {
        lists.mounts.push(volume(Some(name), target, false, MountVolumeOptions::default()));
    }
    lists
}

/// Anonymous volumes of the predecessor for `VOLUME` lines of the image: without this the engine would make new, empty ones.
/// What the spec mounts there itself wins.
fn inherited_image_volumes(creation: &Creation) -> BTreeMap<&String, &String> {
    let spec = &creation.spec;
    let declared = |target: &str| creation.image.volumes.iter().any(|volume| same_target(volume, target));
    creation.inherited.iter().filter(|(target, _)| declared(target) && !is_mounted(spec, target)).collect()
}

fn is_mounted(spec: &ContainerSpec, target: &str) -> bool {
    spec.mounts.keys().chain(spec.tmpfs.keys()).any(|mounted| same_target(mounted, target))
}

fn same_target(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

/// `None` when the paths cannot be written in this form, which has no escapes.
fn bind_line(
    path: &str,
    target: &str,
    read_only: bool,
    propagation: Option<&str>,
    selinux: Option<char>,
) -> Option<String> {
    if path.contains(':') || target.contains(':') {
        return None;
    }
    let mut options: Vec<String> = Vec::new();
    options.extend(read_only.then(|| "ro".to_owned()));
    options.extend(selinux.map(String::from));
    options.extend(propagation.map(str::to_owned));
    let line = format!("{path}:{target}");
    Some(if options.is_empty() { line } else { format!("{line}:{}", options.join(",")) })
}

fn bind_options(
    create: bool,
    propagation: Option<&str>,
    recursive: Option<Recursive>,
    api: (u32, u32),
) -> MountBindOptions {
    // The engine takes read-only mounts below a bind only where it is told that none can come later, though it is the default.
    let implied = (recursive == Some(Recursive::Readonly)).then_some("rprivate");
    MountBindOptions {
        propagation: propagation.or(implied).and_then(propagation_word),
        create_mountpoint: (create && api >= (1, 42)).then_some(true),
        non_recursive: (recursive == Some(Recursive::Disabled)).then_some(true),
        read_only_non_recursive: (recursive == Some(Recursive::Writable)).then_some(true),
        read_only_force_recursive: (recursive == Some(Recursive::Readonly)).then_some(true),
    }
}

fn image(reference: &str, target: &str, read_only: bool, subpath: Option<&String>) -> ApiMount {
    let options = subpath.map(|path| MountImageOptions { subpath: Some(path.clone()) });
    ApiMount {
        image_options: options,
        ..mount(MountType::IMAGE, Some(reference.to_owned()), target, read_only)
    }
}

fn bind(path: &str, target: &str, read_only: bool, options: MountBindOptions) -> ApiMount {
    ApiMount {
        bind_options: (options != MountBindOptions::default()).then_some(options),
        ..mount(MountType::BIND, Some(path.to_owned()), target, read_only)
    }
}

fn propagation_word(word: &str) -> Option<MountBindOptionsPropagationEnum> {
    use MountBindOptionsPropagationEnum as Propagation;
    Some(match word {
        "private" => Propagation::PRIVATE,
        "rprivate" => Propagation::RPRIVATE,
        "shared" => Propagation::SHARED,
        "rshared" => Propagation::RSHARED,
        "slave" => Propagation::SLAVE,
        "rslave" => Propagation::RSLAVE,
        _ => return None,
    })
}

fn volume(source: Option<&String>, target: &str, read_only: bool, options: MountVolumeOptions) -> ApiMount {
    ApiMount {
        volume_options: (options != MountVolumeOptions::default()).then_some(options),
        ..mount(MountType::VOLUME, source.cloned(), target, read_only)
    }
}

fn tmpfs(target: &str, read_only: bool, size: Option<u64>, mode: Option<u32>) -> ApiMount {
    let options = MountTmpfsOptions {
        size_bytes: size.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        mode: mode.map(i64::from),
        options: None,
    };
    ApiMount {
        tmpfs_options: (options != MountTmpfsOptions::default()).then_some(options),
        ..mount(MountType::TMPFS, None, target, read_only)
    }
}

fn mount(typ: MountType, source: Option<String>, target: &str, read_only: bool) -> ApiMount {
    ApiMount {
        typ: Some(typ),
        source,
        target: Some(target.to_owned()),
        read_only: read_only.then_some(true),
        ..ApiMount::default()
    }
}
