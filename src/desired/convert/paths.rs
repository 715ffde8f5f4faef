//! Paths: of the host, of containers, and of files of the desired state.

use super::Context;

/// The folder of a file of the desired state, `""` for the root.
pub(super) fn folder(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Takes `.`, `..` and doubled slashes out of an absolute path; `..` at the root stays there, as the kernel has it.
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// A host path as absolute: `~` is the controller's home, relative ones start at the folder of `file`.
pub(super) fn on_host(context: &Context<'_>, file: &str, path: &str) -> Result<String, String> {
    if let Some(rest) = path.strip_prefix('~') {
        if !rest.is_empty() && !rest.starts_with('/') {
            return Err("only `~` itself is known, not other users' homes".to_owned());
        }
        let home = context.host.home.as_deref().filter(|home| home.starts_with('/'));
        let home = home.ok_or("the home of the controller's user is unknown: write the whole path")?;
        return Ok(clean(&format!("{home}/{rest}")));
    }
    if path.starts_with('/') {
        return Ok(clean(path));
    }
    Ok(clean(&format!("{}/{}/{path}", context.root, folder(file))))
}

/// A path of the desired state below its root; `None` when it lies outside.
pub(super) fn below_root(context: &Context<'_>, file: &str, path: &str) -> Option<String> {
    let absolute = on_host(context, file, path).ok()?;
    let root = clean(context.root);
    let rest = if root == "/" {
        absolute.strip_prefix('/')
    } else {
        absolute.strip_prefix(&root)?.strip_prefix('/')
    };
    rest.filter(|rest| !rest.is_empty()).map(str::to_owned)
}

/// A container's path in canonical form; `None` when it is not absolute.
pub(super) fn in_container(path: &str) -> Option<String> {
    path.starts_with('/').then(|| clean(path))
}
