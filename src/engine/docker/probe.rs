//! Trying a container from outside: a request or a connection to its address, or a command in it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::select_ok;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpStream;

use super::Docker;
use super::wire::causes;
use crate::desired::probe::{Exec, ProbeCheck};
use crate::desired::secret::Sensitive;
use crate::engine::convert::answers;
use crate::engine::{EngineError, ProbeAnswer, Result};
use crate::state::observed::{ContainerId, ExecId};
use crate::state::plan::Failure;

/// Containers whose network is another container's, one behind the other.
const MOST_HOPS: usize = 4;

impl Docker {
    pub(super) async fn try_container(
        &self,
        id: &ContainerId,
        check: &ProbeCheck,
        timeout: Duration,
    ) -> Result<ProbeAnswer> {
        match check {
            ProbeCheck::Exec(exec) => self.try_command(id, exec, timeout).await,
            ProbeCheck::Tcp { port } => {
                let addresses = match self.addresses(id).await? {
                    Ok(addresses) => addresses,
                    Err(why) => return Ok(Err(why)),
                };
                let dials = addresses.into_iter().map(|ip| Box::pin(connect(SocketAddr::new(ip, *port))));
                Ok(in_time(timeout, async { select_ok(dials).await.map(drop) }).await)
            }
            ProbeCheck::Http { port, path, headers, status } => {
                let addresses = match self.addresses(id).await? {
                    Ok(addresses) => addresses,
                    Err(why) => return Ok(Err(why)),
                };
                let asks = addresses
                    .into_iter()
                    .map(|ip| Box::pin(ask(SocketAddr::new(ip, *port), path, headers, *status)));
                Ok(in_time(timeout, async { select_ok(asks).await.map(drop) }).await)
            }
        }
    }

    /// A command that takes too long cannot be ended through the engine, so no other is started while it goes on.
    async fn try_command(&self, id: &ContainerId, exec: &Exec, timeout: Duration) -> Result<ProbeAnswer> {
        if let Some(before) = self.lingering(id, None)
            && self.look_at_exec(&before).await?.is_some_and(|seen| seen.running)
        {
            self.lingering(id, Some(before));
            return Ok(Err("an earlier run of the command still goes on".to_owned()));
        }
        let made = self.make_exec(id, exec).await?;
        let end = self.follow_exec(&made, timeout).await?;
        Ok(match end.code {
            Some(0) => Ok(()),
            Some(code) => Err(format!("the command ended with {code}{}", last_line(&end.output))),
            None => {
                self.lingering(id, Some(made));
                Err(format!("the command did not end within {} ms", timeout.as_millis()))
            }
        })
    }

    /// Takes the run that was left to itself in this container, and notes another one.
    fn lingering(&self, id: &ContainerId, now: Option<ExecId>) -> Option<ExecId> {
        let mut all = self.lingering.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = all.remove(id);
        if let Some(now) = now {
            all.insert(id.clone(), now);
        }
        before
    }

    /// Where the container can be dialled from here; the inner error says why nowhere.
    async fn addresses(&self, id: &ContainerId) -> Result<std::result::Result<Vec<IpAddr>, String>> {
        if !self.is_local() {
            let text = format!(
                "the engine ({}) is on another machine, so containers cannot be dialled from here: use an exec probe",
                self.address()
            );
            return Ok(Err(text));
        }
        let mut id = id.0.clone();
        for _ in 0..MOST_HOPS {
            let Some(seen) = self.raw_container("probe", &id).await? else {
                return Err(EngineError::new("probe", id, Failure::NotFound, "the container is gone"));
            };
            match seen.host_config.network_mode.as_str() {
                "host" => return Ok(Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])),
                "none" => return Ok(Err("it has no network, so nobody can dial it".to_owned())),
                mode => match mode.strip_prefix("container:") {
                    Some(owner) => owner.clone_into(&mut id),
                    None => return Ok(own(&seen)),
                },
            }
        }
        Ok(Err("its network belongs to a container whose network belongs to another, and so on".to_owned()))
    }

    /// The engine's own machine is this one.
    fn is_local(&self) -> bool {
        let address = self.address();
        let host = address.split_once("://").map_or(address, |(_, rest)| rest);
        address.starts_with("unix://")
            || ["127.", "localhost", "[::1]"].iter().any(|local| host.starts_with(local))
    }
}

/// Addresses of its own, IPv4 first.
fn own(seen: &answers::Container) -> std::result::Result<Vec<IpAddr>, String> {
    let endpoints = seen.network_settings.networks.values();
    let mut found: Vec<IpAddr> = endpoints
        .flat_map(|endpoint| [&endpoint.ip_address, &endpoint.global_ipv6_address])
        .filter_map(|text| text.parse().ok())
        .collect();
    found.sort_by_key(IpAddr::is_ipv6);
    if found.is_empty() { Err("the engine names no address of it".to_owned()) } else { Ok(found) }
}

async fn in_time(
    timeout: Duration,
    tried: impl Future<Output = std::result::Result<(), String>>,
) -> ProbeAnswer {
    match tokio::time::timeout(timeout, tried).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} ms", timeout.as_millis())),
    }
}

async fn connect(to: SocketAddr) -> std::result::Result<(), String> {
    TcpStream::connect(to).await.map(drop).map_err(|error| format!("{to}: {error}"))
}

async fn ask(
    to: SocketAddr,
    path: &str,
    headers: &BTreeMap<String, Sensitive>,
    (first, last): (u16, u16),
) -> std::result::Result<(), String> {
    let mut request = http::Request::get(format!("http://{to}{path}"));
    if !headers.keys().any(|name| name.eq_ignore_ascii_case("user-agent")) {
        request = request.header(http::header::USER_AGENT, "evenkeel-probe");
    }
    for (name, value) in headers {
        let mut value = http::HeaderValue::from_str(value.expose())
            .map_err(|_| format!("the header {name} holds what no header can"))?;
        value.set_sensitive(true);
        request = request.header(name, value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    // A connection of its own each time: a kept one would not notice a listener that is gone.
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(HttpConnector::new());
    let answer = client.request(request).await.map_err(|error| format!("{to}: {}", causes(&error)))?;
    let status = answer.status().as_u16();
    if (first..=last).contains(&status) { Ok(()) } else { Err(format!("GET {path} answered {status}")) }
}

/// `: no such table`, of what a command printed last.
fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    let clean = |line: &str| line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    line.map(|line| {
        format!(": {}", {
            let line: String = clean(line);
            line
        })
    })
    .unwrap_or_default()
}
