//! What a failed call means. PURE, and the only place where an engine's message is ever read for more than showing it.
//!
//! Status codes alone lie (RELIABILITY.md fact 9): `start` answers 404 for a missing network, `rename` for a container
//! between two starts. So a refusal is judged together with a look at the container afterwards.

use super::wire::WireError;
use crate::engine::EngineError;
use crate::state::observed::ContainerStatus;
use crate::state::plan::Failure;

/// What a fresh look at the container showed after the call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Nobody looked, or the look failed too.
    Blind,
    Gone,
    There {
        status: ContainerStatus,
        exit_code: i64,
    },
}

/// What kind of call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Changes nothing: a lost answer leaves nothing open.
    Read,
    Write,
    /// A write that may bind ports and run a command.
    Start,
    /// A write about a container and a network.
    Join,
    /// Safe to repeat, and about a registry.
    Pull,
}

/// The error of a call, judged.
#[must_use]
pub fn engine_error(
    op: &'static str,
    object: impl Into<String>,
    call: Call,
    error: &WireError,
    look: Look,
) -> EngineError {
    let kind = kind(call, error, look);
    let message = match (error.status(), look) {
        (Some(404), Look::There { .. }) if call == Call::Start => {
            format!("something that it was created with is gone: {error}")
        }
        _ => error.to_string(),
    };
    EngineError::new(op, object, kind, message)
}

/// The kind of a failure.
#[must_use]
pub fn kind(call: Call, error: &WireError, look: Look) -> Failure {
    match error {
        WireError::Away(..) | WireError::TooOld { .. } => Failure::Unreachable,
        _ if error.is_version_refusal() => Failure::Unreachable,
        WireError::Cut(_) => match call {
            Call::Read | Call::Pull => Failure::Unreachable,
            Call::Write | Call::Start | Call::Join => Failure::Unknown,
        },
        // No progress in a pull is the registry's doing.
        WireError::Late(_) if call == Call::Pull => Failure::Registry,
        WireError::Late(_) => Failure::Unknown,
        WireError::Garbled(_) => match call {
            Call::Read | Call::Pull => Failure::Internal,
            // The status may have been lost with it (a truncated refusal reads the same as a truncated success).
            Call::Write | Call::Start | Call::Join => Failure::Unknown,
        },
        WireError::Unsendable(_) => Failure::Invalid,
        WireError::Stream(message) => registry(500, message),
        WireError::Refused { status, message } if call == Call::Pull => registry(*status, message),
        WireError::Refused { status, message } => refused(call, *status, message, look),
    }
}

fn refused(call: Call, status: u16, message: &str, look: Look) -> Failure {
    match (status, look) {
        (400, _) => Failure::Invalid,
        // Of a start: a network or another container that it was created with (the caller sees that this one is there).
        // Of a join: the network.
        (404, Look::There { .. }) if !matches!(call, Call::Start | Call::Join) => Failure::Conflict,
        (404, _) => Failure::NotFound,
        (409, Look::There { status: ContainerStatus::Removing, .. }) => Failure::InProgress,
        // Right at its beginning, a removal by somebody else shows in no state yet: the words are all there is.
        (409, _) if message.contains("is already in progress") => Failure::InProgress,
        (403 | 409, _) => Failure::Conflict,
        // A proxy before the engine that could not reach it; the later ones may have passed the request on.
        (503, _) => Failure::Unreachable,
        (502 | 504, _) if call == Call::Read => Failure::Unreachable,
        (502 | 504, _) => Failure::Unknown,
        _ if is_full(message) => Failure::NoSpace,
        _ if call == Call::Start => failed_start(message, look),
        _ => Failure::Internal,
    }
}

/// A start that the engine tried. It leaves 126 or 127 as the exit code when the command cannot be run.
fn failed_start(message: &str, look: Look) -> Failure {
    const PORT: [&str; 4] = [
        "port is already allocated",
        // Every one of a range.
        "all ports are allocated",
        "address already in use",
        "ports are not available",
    ];
    const SPEC: [&str; 4] = [
        "unable to find user",
        "unable to find group",
        "executable file not found",
        "error gathering device information",
    ];
    if PORT.iter().any(|words| message.contains(words)) {
        return Failure::PortBusy;
    }
    let unrunnable = matches!(look, Look::There { exit_code: 126 | 127, .. });
    if unrunnable || SPEC.iter().any(|words| message.contains(words)) {
        return Failure::Invalid;
    }
    Failure::Internal
}

/// A failed build. Its errors come inside a stream that began with 200, so that here the words are all there is. `Invalid`: it is the Dockerfile or
/// the context; everything else may be another time otherwise.
pub(super) fn failed_build(message: &str) -> Failure {
    const AWAY: [&str; 15] = [
        "timeout",
        "connection refused",
        "connection reset",
        "no such host",
        "temporary failure",
        "server misbehaving",
        "network is unreachable",
        "unexpected eof",
        "dial tcp",
        "too many requests",
        "toomanyrequests",
        "unexpected http status",
        "deadline exceeded",
        "context canceled",
        "service unavailable",
    ];
    let lower = message.to_ascii_lowercase();
    if is_full(message) {
        return Failure::NoSpace;
    }
    // What a step did itself, whatever it printed.
    if lower.contains("returned a non-zero code") || lower.contains("did not complete successfully") {
        return Failure::Invalid;
    }
    if AWAY.iter().any(|words| lower.contains(words)) {
        return Failure::Registry;
    }
    match registry(500, message) {
        Failure::Registry => Failure::Invalid,
        other => other,
    }
}

fn is_full(message: &str) -> bool {
    message.contains("no space left on device") || message.contains("disk quota exceeded")
}

/// A failed pull. The engine answers 500 for nearly everything that a registry says, and errors also come inside a stream
/// that began with 200, so that here the words are all there is.
fn registry(status: u16, message: &str) -> Failure {
    const DENIED: [&str; 6] = [
        "unauthorized",
        "access denied",
        "access to the resource is denied",
        "no basic auth credentials",
        "authentication required",
        "incorrect username or password",
    ];
    const ABSENT: [&str; 4] =
        ["manifest unknown", "no matching manifest", "name unknown", "not found: manifest"];
    let message = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match status {
        _ if is_full(&message) => Failure::NoSpace,
        400 => Failure::Invalid,
        401 | 403 => Failure::Unauthorized,
        _ if has(&DENIED) => Failure::Unauthorized,
        404 => Failure::NotFound,
        _ if has(&ABSENT) => Failure::NotFound,
        503 => Failure::Unreachable,
        _ => Failure::Registry,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(status: ContainerStatus, exit_code: i64) -> Look {
        Look::There { status, exit_code }
    }

    /// Texts of 20.10, 26.1 and 28.5; the codes are those that each of them sends.
    #[test]
    fn refusals_are_judged_by_status_a_second_look_and_for_ports_and_disks_by_the_text() {
        use Call::{Pull, Read, Start, Write};
        use ContainerStatus::{Created, Exited, Removing, Restarting, Running};
        let created = there(Created, 128);
        for (call, status, message, look, expected) in [
            (
                Write,
                409,
                "Conflict. The container name \"/a\" is already in use by container \"f\". You have to remove (or rename) that container to be able to reuse that name.",
                Look::Blind,
                Failure::Conflict,
            ),
            (Write, 404, "No such image: sha256:00", Look::Blind, Failure::NotFound),
            (
                Write,
                400,
                "Invalid container name (a/b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
                Look::Blind,
                Failure::Invalid,
            ),
            (
                Write,
                400,
                "invalid mount config for type \"bind\": bind source path does not exist: /x",
                Look::Blind,
                Failure::Invalid,
            ),
            (
                Write,
                500,
                "mkdir /var/lib/docker/overlay2/x: no space left on device",
                Look::Blind,
                Failure::NoSpace,
            ),
            (Start, 404, "network 5f1e not found", created, Failure::NotFound),
            (Start, 404, "No such container: 5f1e", Look::Gone, Failure::NotFound),
            (Start, 404, "No such container: 5f1e", Look::Blind, Failure::NotFound),
            (
                Start,
                400,
                "OCI runtime create failed: container_linux.go:380: starting container process caused: exec: \"/nope\": stat /nope: no such file or directory: unknown",
                there(Created, 127),
                Failure::Invalid,
            ),
            (
                Start,
                400,
                "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"/nope\": stat /nope: no such file or directory: unknown",
                there(Created, 127),
                Failure::Invalid,
            ),
            (
                Start,
                500,
                "linux spec user: unable to find user nobody9: no matching entries in passwd file",
                created,
                Failure::Invalid,
            ),
            (
                Start,
                500,
                "unable to find user nobody9: no matching entries in passwd file",
                created,
                Failure::Invalid,
            ),
            (
                Start,
                500,
                "driver failed programming external connectivity on endpoint a (f): Bind for 0.0.0.0:8080 failed: port is already allocated",
                created,
                Failure::PortBusy,
            ),
            (
                Start,
                500,
                "driver failed programming external connectivity on endpoint a (f): Error starting userland proxy: listen tcp4 0.0.0.0:8080: bind: address already in use",
                created,
                Failure::PortBusy,
            ),
            (
                Start,
                500,
                "failed to set up container networking: driver failed programming external connectivity on endpoint a (f): Bind for 0.0.0.0:8080 failed: port is already allocated",
                created,
                Failure::PortBusy,
            ),
            (
                Start,
                500,
                "failed to set up container networking: driver failed programming external connectivity on endpoint a (f): failed to bind host port for 0.0.0.0:8080:172.17.0.2:80/tcp: address already in use",
                created,
                Failure::PortBusy,
            ),
            (Start, 403, "Address already in use", created, Failure::Conflict),
            (Start, 500, "OCI runtime create failed: something else", created, Failure::Internal),
            (Start, 500, "some shim trouble", there(Exited, 126), Failure::Invalid),
            (
                Start,
                500,
                "write /var/lib/docker/containers/x: no space left on device",
                created,
                Failure::NoSpace,
            ),
            (
                Start,
                409,
                "container is marked for removal and cannot be started",
                there(Removing, 0),
                Failure::InProgress,
            ),
            (
                Start,
                409,
                "cannot start a paused container, try unpause instead",
                there(ContainerStatus::Paused, 0),
                Failure::Conflict,
            ),
            (Write, 404, "sandbox 5f1e not found", there(Restarting, 1), Failure::Conflict),
            (
                Write,
                409,
                "removal of container 5f1e is already in progress",
                there(Removing, 0),
                Failure::InProgress,
            ),
            (
                Write,
                409,
                "removal of container 5f1e is already in progress",
                there(Exited, 0),
                Failure::InProgress,
            ),
            (
                Start,
                500,
                "driver failed programming external connectivity on endpoint a (f): Bind for 0.0.0.0:8080 failed: all ports are allocated",
                created,
                Failure::PortBusy,
            ),
            (
                Write,
                409,
                "You cannot remove a running container 5f1e. Stop the container before attempting removal or force remove",
                there(Running, 0),
                Failure::Conflict,
            ),
            (
                Write,
                409,
                "cannot remove container \"/a\": container is running: stop the container before removing or force remove",
                there(Running, 0),
                Failure::Conflict,
            ),
            (
                Write,
                403,
                "error while removing network: network n id f has active endpoints",
                Look::Blind,
                Failure::Conflict,
            ),
            (Call::Join, 404, "network 5f1e not found", there(Running, 0), Failure::NotFound),
            (
                Call::Join,
                403,
                "endpoint with name a already exists in network n",
                there(Running, 0),
                Failure::Conflict,
            ),
            (Write, 500, "port is already allocated", Look::Blind, Failure::Internal),
            (Write, 503, "", Look::Blind, Failure::Unreachable),
            (Write, 504, "", Look::Blind, Failure::Unknown),
            (Read, 504, "", Look::Blind, Failure::Unreachable),
            (
                Read,
                400,
                "client version 1.51 is too new. Maximum supported API version is 1.41",
                Look::Blind,
                Failure::Unreachable,
            ),
            (
                Write,
                400,
                "client version 1.41 is too old. Minimum supported API version is 1.44, please upgrade your client to a newer version",
                Look::Blind,
                Failure::Unreachable,
            ),
            (
                Pull,
                404,
                "manifest for localhost:5000/web:9 not found: manifest unknown: manifest unknown",
                Look::Blind,
                Failure::NotFound,
            ),
            (
                Pull,
                404,
                "pull access denied for nope, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
                Look::Blind,
                Failure::Unauthorized,
            ),
            (
                Pull,
                500,
                "Get \"http://localhost:5000/v2/\": dial tcp 127.0.0.1:5000: connect: connection refused",
                Look::Blind,
                Failure::Registry,
            ),
            (
                Pull,
                500,
                "Get https://nope.invalid/v2/: dial tcp: lookup nope.invalid: no such host",
                Look::Blind,
                Failure::Registry,
            ),
            (
                Pull,
                500,
                "Head \"http://localhost:5000/v2/web/manifests/1\": no basic auth credentials",
                Look::Blind,
                Failure::Unauthorized,
            ),
            (
                Pull,
                500,
                "Get https://registry-1.docker.io/v2/: unauthorized: incorrect username or password",
                Look::Blind,
                Failure::Unauthorized,
            ),
            (Pull, 400, "invalid reference format", Look::Blind, Failure::Invalid),
        ] {
            let error = WireError::Refused { status, message: message.to_owned() };
            assert_eq!(kind(call, &error, look), expected, "{call:?} {status} {message} {look:?}");
        }
    }

    #[test]
    fn a_lost_answer_is_unknown_for_a_write_and_nothing_for_a_read() {
        let cut = WireError::Cut("eof".to_owned());
        let late = WireError::Late(std::time::Duration::from_secs(1));
        let away = WireError::Away("a".to_owned(), "refused".to_owned());
        let garbled = WireError::Garbled("cut".to_owned());
        for (call, error, expected) in [
            (Call::Write, &cut, Failure::Unknown),
            (Call::Start, &cut, Failure::Unknown),
            (Call::Read, &cut, Failure::Unreachable),
            (Call::Pull, &cut, Failure::Unreachable),
            (Call::Write, &late, Failure::Unknown),
            (Call::Read, &late, Failure::Unknown),
            (Call::Pull, &late, Failure::Registry),
            (Call::Write, &away, Failure::Unreachable),
            (Call::Start, &away, Failure::Unreachable),
            (Call::Read, &away, Failure::Unreachable),
            (Call::Write, &garbled, Failure::Unknown),
            (Call::Read, &garbled, Failure::Internal),
        ] {
            assert_eq!(kind(call, error, Look::Blind), expected, "{call:?} {error}");
        }
    }

    #[test]
    fn errors_inside_a_pull_that_began_well_are_told_apart() {
        for (message, expected) in [
            ("filesystem layer verification failed for digest sha256:00", Failure::Registry),
            ("write /var/lib/docker/tmp/GetImageBlob1: no space left on device", Failure::NoSpace),
            ("no matching manifest for linux/arm64/v8 in the manifest list entries", Failure::NotFound),
            ("unauthorized: authentication required", Failure::Unauthorized),
            ("read tcp 127.0.0.1:5000: connection reset by peer", Failure::Registry),
        ] {
            assert_eq!(
                kind(Call::Pull, &WireError::Stream(message.to_owned()), Look::Blind),
                expected,
                "{message}"
            );
        }
    }
}
