//! The local socket: who may open it may give orders, so it is readable by its owner only from the first instant.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::BindError;

pub(super) struct LocalSocket {
    listener: UnixListener,
    path: PathBuf,
}

/// What a socket address holds, less the final zero.
const LONGEST_PATH: usize = 107;

impl LocalSocket {
    /// Made under a name of its own, closed to others, then renamed: nobody can open it in between, and a socket that a
    /// killed daemon left behind is replaced in one step.
    pub(super) async fn bind(path: &Path) -> Result<Self, BindError> {
        let failed = |source| BindError::Socket { path: path.display().to_string(), source };
        if UnixStream::connect(path).await.is_ok() {
            return Err(BindError::Taken { path: path.display().to_string() });
        }
        let occupied = std::fs::symlink_metadata(path).is_ok_and(|found| !is_socket(&found));
        if occupied {
            let message = "something that is no socket has this name; remove it or set --socket";
            return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, message)));
        }
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(format!(".{}", std::process::id()));
        let fresh = PathBuf::from(fresh);
        if fresh.as_os_str().len() > LONGEST_PATH {
            let message =
                format!("the path is longer than {} bytes; set --socket to a shorter one", LONGEST_PATH - 8);
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, message)));
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let _stale = std::fs::remove_file(&fresh);
        let listener = UnixListener::bind(&fresh).map_err(failed)?;
        let placed = std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600))
            .and_then(|()| std::fs::rename(&fresh, path));
        if let Err(error) = placed {
            let _gone = std::fs::remove_file(&fresh);
            return Err(failed(error));
        }
        Ok(Self { listener, path: path.to_owned() })
    }

    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.path);
    }
}

fn is_socket(found: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    found.file_type().is_socket()
}
