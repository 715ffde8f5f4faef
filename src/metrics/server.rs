//! The HTTP server: metrics and status for everybody who may reach the address, orders for the local socket only.
//!
//! Bind first, serve later: an address that is taken is an error at start, not a line in a log. A client can cost one of a bounded
//! number of connections, a few kilobytes and ten seconds, never more (invariant I13).

mod routes;
mod socket;
mod webhook;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::Metrics;
use super::api::Api;
use routes::{Origin, Routes};
use socket::LocalSocket;
pub use webhook::Hook;

/// Connections at a time on each listener. A scraper needs one.
const MOST_CONNECTIONS: usize = 64;
/// A request must be written within this time, so that a slow client cannot keep a connection for ever.
const HEADER_DEADLINE: Duration = Duration::from_secs(10);
/// What answers are still being written gets this long at shutdown.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);
/// Bytes of request line and headers together.
const HEADER_BYTES: usize = 16 * 1024;

#[derive(Debug, Error)]
pub enum BindError {
    #[error("cannot listen on {address}: {source}{}", hint(source))]
    Tcp { address: SocketAddr, source: std::io::Error },
    #[error("cannot make the local socket {path}: {source}")]
    Socket { path: String, source: std::io::Error },
    #[error("another evenkeel answers on {path}; stop it, or give this one its own --state")]
    Taken { path: String },
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            "; another program (or another evenkeel) has it: stop that one, or set --listen to another port or `off`"
        }
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 need root: set --listen to a higher one",
        std::io::ErrorKind::AddrNotAvailable => "; this host has no such address: set --listen to one it has",
        _ => "",
    }
}

/// Listeners that are bound and not served yet.
pub struct Server {
    tcp: Option<TcpListener>,
    local: Option<LocalSocket>,
    hooks: Vec<Hook>,
}

impl Server {
    /// Takes the address and makes the socket (mode 0600); either may be left out.
    ///
    /// # Errors
    /// When the address is taken or not ours, or when the socket cannot be made or another daemon answers on it.
    pub async fn bind(listen: Option<SocketAddr>, socket: Option<&Path>) -> Result<Self, BindError> {
        let tcp = match listen {
            Some(address) => {
                let bound = TcpListener::bind(address).await;
                Some(bound.map_err(|source| BindError::Tcp { address, source })?)
            }
            None => None,
        };
        let local = match socket {
            Some(path) => Some(LocalSocket::bind(path).await?),
            None => None,
        };
        if let Some(address) = listen.filter(|address| !address.ip().is_loopback()) {
            tracing::warn!(%address, "metrics and status are readable by everyone who reaches this address; they carry no secrets, but names and images");
        }
        Ok(Self { tcp, local, hooks: Vec::new() })
    }

    /// Where TCP clients find it; the port is the real one when 0 was asked for.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Takes webhooks, too.
    #[must_use]
    pub fn with_hooks(mut self, hooks: Vec<Hook>) -> Self {
        self.hooks = hooks;
        self
    }

    /// Answers until `stop`, then lets answers under way end (5 s at most). Removes the socket.
    pub async fn serve(self, api: Arc<dyn Api>, metrics: Arc<Metrics>, stop: CancellationToken) {
        let Self { tcp, local, hooks } = self;
        let routes = Arc::new(Routes::new(api, metrics, hooks));
        let network = async {
            if let Some(listener) = tcp {
                listen(listener, Origin::Network, &routes, &stop).await;
            }
        };
        let here = async {
            if let Some(socket) = local {
                listen(socket, Origin::Local, &routes, &stop).await;
            }
        };
        tokio::join!(network, here);
    }
}

/// What connections come from.
trait Accept: Send + Sync {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    fn next(&self) -> impl Future<Output = std::io::Result<Self::Stream>> + Send;
}

impl Accept for TcpListener {
    type Stream = TcpStream;
    async fn next(&self) -> std::io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Accept for LocalSocket {
    type Stream = UnixStream;
    async fn next(&self) -> std::io::Result<UnixStream> {
        self.accept().await
    }
}

async fn listen(listener: impl Accept, origin: Origin, routes: &Arc<Routes>, stop: &CancellationToken) {
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        // A slot first: what cannot be answered stays in the kernel's queue.
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot,
            () = stop.cancelled() => break,
        };
        let Ok(slot) = slot else { break };
        let stream = tokio::select! {
            stream = listener.next() => stream,
            () = stop.cancelled() => break,
        };
        match stream {
            Ok(stream) => connection(stream, origin, Arc::clone(routes), graceful.watcher(), slot),
            Err(error) => {
                // Out of file descriptors, mostly: give them time to come back instead of spinning.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    let _late = tokio::time::timeout(DRAIN_DEADLINE, graceful.shutdown()).await;
}

fn connection<S>(stream: S, origin: Origin, routes: Arc<Routes>, watcher: Watcher, slot: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let routes = Arc::clone(&routes);
        async move { Ok::<_, std::convert::Infallible>(routes.answer(origin, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let connection = watcher.watch(connection);
    tokio::spawn(async move {
        // A client that speaks no HTTP or hangs up is its own business.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended early");
        }
        drop(slot);
    });
}
