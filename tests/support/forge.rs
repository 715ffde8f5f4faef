//! Where repositories live: a web server before git's own CGI program, and an sshd of a test's own, both on loopback.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::wait::{free_port, try_wait};

/// A repository behind http with a login. Lasts as long as the process.
pub struct Http {
    port: u16,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    refused: AtomicUsize,
    accepted: AtomicUsize,
    /// Of every git that ran while a request was answered.
    command_lines: Mutex<String>,
}

impl Http {
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/repository", self.port)
    }

    pub fn refused(&self) -> usize {
        self.seen.refused.load(Ordering::SeqCst)
    }

    pub fn accepted(&self) -> usize {
        self.seen.accepted.load(Ordering::SeqCst)
    }

    pub fn command_lines(&self) -> String {
        self.seen.command_lines.lock().unwrap().clone()
    }
}

/// Serves one repository to whoever knows the user and the password.
pub fn http(repository: &Path, user: &str, password: &str) -> Http {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Seen::default());
    let (shared, repository) = (Arc::clone(&seen), repository.to_owned());
    let login = format!("{user}:{password}");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (shared, repository, login) = (Arc::clone(&shared), repository.clone(), login.clone());
            std::thread::spawn(move || answer(stream, &repository, &login, &shared));
        }
    });
    Http { port, seen }
}

fn answer(stream: TcpStream, repository: &Path, login: &str, seen: &Seen) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let header =
        |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let mut body = vec![0; header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    note_command_lines(seen);
    let mut stream = stream;
    let given = header("authorization").and_then(|value| value.strip_prefix("Basic "));
    if given.and_then(decoded).as_deref() != Some(login) {
        seen.refused.fetch_add(1, Ordering::SeqCst);
        let text = "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"git\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return stream.write_all(text.as_bytes()).ok();
    }
    seen.accepted.fetch_add(1, Ordering::SeqCst);
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", repository)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", format!("/.git{}", path.strip_prefix("/repository").unwrap_or(path)))
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type").unwrap_or_default())
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding").unwrap_or_default())
        .env("GIT_PROTOCOL", header("git-protocol").unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(&body).ok()?;
    let output = child.wait_with_output().ok()?.stdout;
    let end = output.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = (String::from_utf8_lossy(&output[..end]).into_owned(), &output[end + 4..]);
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    let text =
        format!("HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(text.as_bytes()).ok()?;
    stream.write_all(body).ok()
}

/// Base64, as far as a login needs it.
fn decoded(text: &str) -> Option<String> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        bits = (bits << 6) | u32::try_from(LETTERS.iter().position(|known| *known == letter)?).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    String::from_utf8(bytes).ok()
}

fn note_command_lines(seen: &Seen) {
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let text = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).replace('\0', " ");
        if text.contains("git") {
            seen.command_lines.lock().unwrap().push_str(&format!("{text}\n"));
        }
    }
}

/// An sshd that lets one key in, as the user that runs the tests.
pub struct Ssh {
    child: Child,
    port: u16,
    user: String,
    pub key: PathBuf,
    pub known_hosts: PathBuf,
}

impl Ssh {
    pub fn url(&self, path: &Path) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", self.user, self.port, path.display())
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `None` where there is none to be had, or it may not be started: it wants a user of its own, which it gets in a view of the file
/// system that nobody else has.
pub fn ssh(root: &Path) -> Option<Ssh> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fetched = Command::new(project.join("scripts/sshd.sh")).output().unwrap();
    if !fetched.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&fetched.stderr).trim());
        return None;
    }
    let root = root.join("ssh");
    fs::create_dir(&root).unwrap();
    for name in ["host", "user"] {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(root.join(name))
            .status();
        assert!(made.unwrap().success());
    }
    let user =
        String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap().trim().to_owned();
    let port = free_port();
    let at = |name: &str| root.join(name).display().to_string();
    let settings = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n",
        at("host"),
        at("user.pub")
    );
    fs::write(root.join("sshd_config"), settings).unwrap();
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    fs::write(root.join("passwd"), format!("{passwd}sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n"))
        .unwrap();
    let script = format!(
        "mount --bind {} /etc/passwd && mount -t tmpfs none /run && mkdir -m 755 /run/sshd && LD_LIBRARY_PATH={} exec {} -D -e -f {}",
        at("passwd"),
        project.join("target/sshd/lib").display(),
        project.join("target/sshd/usr/sbin/sshd").display(),
        at("sshd_config")
    );
    let log = fs::File::create(root.join("log")).unwrap();
    let child = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .ok()?;
    let host_key = fs::read_to_string(root.join("host.pub")).unwrap();
    fs::write(root.join("known_hosts"), format!("[127.0.0.1]:{port} {host_key}")).unwrap();
    let ssh = Ssh { child, port, user, key: root.join("user"), known_hosts: root.join("known_hosts") };
    let up = try_wait(Duration::from_secs(10), || TcpStream::connect(("127.0.0.1", port)).ok());
    if up.is_none() {
        eprintln!("sshd does not start: {}", fs::read_to_string(root.join("log")).unwrap_or_default());
        return None;
    }
    Some(ssh)
}
