//! Asking a registry.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{
    ACCEPT as ACCEPT_HEADER, AUTHORIZATION, DATE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT,
    WWW_AUTHENTICATE,
};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;

use super::auth::{Challenge, TokenAnswer, challenge};
use super::error::{RegistryError, Trouble};
use super::manifest::{ACCEPT, Found, Platform, digest_of, image_for};
use super::pace::{self, Pace};
use super::repository::{Repository, is_tag};
use super::transport::Transport;
use super::wire::{AGENT, basic, next_page, resolved, said_digest, token_request, told};
use crate::desired::secret::Sensitive;
use crate::engine::registry::{Login, RegistryAuth};

/// Tags of one page.
const PAGE: usize = 1_000;
/// The most tags of one repository: more are none that people chose among.
const MOST_TAGS: usize = 100_000;
/// Places that an answer may send us on to.
const REDIRECTS: usize = 3;
/// A token is not used in the last seconds that it is good for.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);

/// How registries are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Registries that may be spoken to without TLS, beside those on this machine: `registry.lan:5000`.
    pub plain_http: Vec<String>,
    /// Certificates by host, in Docker's layout.
    pub certificates: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self { plain_http: Vec::new(), certificates: PathBuf::from("/etc/docker/certs.d") }
    }
}

/// Asks registries. Cheap to share; keeps connections, tokens and the pace of each.
pub struct Client {
    settings: Settings,
    logins: Arc<dyn RegistryAuth>,
    transport: Transport,
    began: Instant,
    paces: Mutex<BTreeMap<String, Pace>>,
    tokens: Mutex<BTreeMap<Repository, Kept>>,
    /// Of registries that may be spoken to without TLS: which are.
    plain: Mutex<BTreeMap<String, bool>>,
}

/// How a repository wants to be asked.
#[derive(Clone)]
struct Kept {
    header: Sensitive,
    until: Instant,
}

impl Client {
    #[must_use]
    pub fn new(settings: Settings, logins: Arc<dyn RegistryAuth>) -> Self {
        let transport = Transport::new(settings.certificates.clone());
        Self {
            settings,
            logins,
            transport,
            began: Instant::now(),
            paces: Mutex::default(),
            tokens: Mutex::default(),
            plain: Mutex::default(),
        }
    }

    /// Certificates and logins are read anew.
    pub fn forget(&self) {
        self.transport.forget();
        self.plain.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Every tag of a repository, in the registry's order. A list that is cut off is an error: what is not in it must not count as gone.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<String>, RegistryError> {
        #[derive(serde::Deserialize)]
        struct Page {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let mut tags: Vec<String> = Vec::new();
        let mut path = Some(format!("/v2/{}/tags/list?n={PAGE}", repository.path));
        while let Some(asked) = path.take() {
            let answer = self.ask(repository, &Method::GET, &asked, "application/json").await?;
            let page: Page = serde_json::from_slice(answer.body()).map_err(|error| {
                self.trouble(
                    repository,
                    Trouble::Invalid,
                    format!("its list of tags cannot be read: {error}"),
                )
            })?;
            let before = tags.len();
            tags.extend(page.tags.unwrap_or_default().into_iter().filter(|tag| is_tag(tag)));
            path = next_page(answer.headers()).filter(|next| *next != asked);
            if tags.len() > MOST_TAGS || (path.is_some() && tags.len() == before) {
                let why = format!("{} tags and no end; its list is not used", tags.len());
                return Err(self.trouble(repository, Trouble::Invalid, why));
            }
        }
        Ok(tags)
    }

    /// What a tag stands for now; with a platform also which image of an index that is there.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn find(
        &self,
        repository: &Repository,
        tag: &str,
        platform: Option<&Platform>,
    ) -> Result<Found, RegistryError> {
        let path = format!("/v2/{}/manifests/{tag}", repository.path);
        let invalid = |why: String| {
            self.trouble(repository, Trouble::Invalid, format!("{}:{tag}: {why}", repository.path))
        };
        if platform.is_none() {
            let answer = self.ask(repository, &Method::HEAD, &path, ACCEPT).await?;
            if let Some(digest) = said_digest(answer.headers()) {
                return Ok(Found { digest, image: None });
            }
        }
        let answer = self.ask(repository, &Method::GET, &path, ACCEPT).await?;
        let digest = digest_of(answer.body());
        if let Some(said) = said_digest(answer.headers()).filter(|said| *said != digest) {
            return Err(invalid(format!("it says that this is {said}, and what it sent is {digest}")));
        }
        let image = match platform {
            Some(platform) => image_for(answer.body(), platform).map_err(invalid)?,
            None => None,
        };
        Ok(Found { digest, image })
    }

    fn trouble(&self, repository: &Repository, trouble: Trouble, why: impl Into<String>) -> RegistryError {
        RegistryError::new(&repository.registry, trouble, why)
    }

    fn base(&self, repository: &Repository) -> String {
        let plain = self.plain.lock().unwrap_or_else(PoisonError::into_inner);
        let scheme = if plain.get(&repository.registry) == Some(&true) { "http" } else { "https" };
        format!("{scheme}://{}", repository.authority())
    }

    /// A registry that may be spoken to without TLS is tried with it first, as the engine does.
    async fn learn_scheme(&self, repository: &Repository) {
        let may = repository.is_loopback() || self.settings.plain_http.contains(&repository.registry);
        let known = || self.plain.lock().unwrap_or_else(PoisonError::into_inner);
        if !may || known().contains_key(&repository.registry) {
            return;
        }
        let probe = |scheme: &str| {
            let address = format!("{scheme}://{}/v2/", repository.authority());
            let request = Request::builder().uri(address).header(USER_AGENT, AGENT).body(Full::default());
            async move { self.transport.send(repository.authority(), request.ok()?).await.ok() }
        };
        // Neither answers: nothing is learnt, and the question itself says why.
        if probe("https").await.is_some() {
            known().insert(repository.registry.clone(), false);
        } else if probe("http").await.is_some_and(|answer| answer.status() != StatusCode::BAD_REQUEST) {
            // A server that speaks TLS answers everything else with 400: then it is its certificate that is not known.
            known().insert(repository.registry.clone(), true);
        }
    }

    /// One question with everything around it: the pace, who we are, where it is sent on to.
    async fn ask(
        &self,
        repository: &Repository,
        method: &Method,
        path: &str,
        accept: &str,
    ) -> Result<Response<Bytes>, RegistryError> {
        self.learn_scheme(repository).await;
        let kept = self.kept(repository);
        let answer = self.send(repository, method, path, accept, kept.as_ref()).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return self.judged(repository, path, answer);
        }
        let headers: Vec<&str> = answer
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let header = self.answer_to(repository, challenge(&headers)).await?;
        let answer = self.send(repository, method, path, accept, Some(&header)).await?;
        self.judged(repository, path, answer)
    }

    fn kept(&self, repository: &Repository) -> Option<Sensitive> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(repository).filter(|kept| kept.until > Instant::now()).map(|kept| kept.header.clone())
    }

    async fn send(
        &self,
        repository: &Repository,
        method: &Method,
        path: &str,
        accept: &str,
        authorization: Option<&Sensitive>,
    ) -> Result<Response<Bytes>, RegistryError> {
        self.wait_for_turn(repository).await?;
        let mut address = format!("{}{path}", self.base(repository));
        for _ in 0..=REDIRECTS {
            let own = address.starts_with(&format!("{}/", self.base(repository)));
            let mut request = Request::builder()
                .method(method.clone())
                .uri(&address)
                .header(ACCEPT_HEADER, accept)
                .header(USER_AGENT, AGENT);
            // Who we are is nobody else's business.
            if let Some(header) = authorization.filter(|_| own) {
                request = request.header(AUTHORIZATION, header.expose());
            }
            let request = request.body(Full::default()).map_err(|error| {
                self.trouble(repository, Trouble::Invalid, format!("{path} is no address: {error}"))
            })?;
            let host = request.uri().authority().map_or_else(String::new, |host| host.to_string());
            let answer = self.transport.send(&host, request).await;
            let answer = answer.map_err(|why| self.trouble(repository, Trouble::Unavailable, why))?;
            self.note_pace(repository, answer.headers());
            match answer.headers().get(LOCATION).and_then(|value| value.to_str().ok()) {
                Some(next) if answer.status().is_redirection() => {
                    address = resolved(&address, next).ok_or_else(|| {
                        self.trouble(
                            repository,
                            Trouble::Invalid,
                            "it sends us on to a place without TLS, or to none",
                        )
                    })?;
                }
                _ => return Ok(answer),
            }
        }
        Err(self.trouble(repository, Trouble::Invalid, "it sends us from place to place"))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn with_pace<T>(&self, repository: &Repository, act: impl FnOnce(&mut Pace, u64) -> T) -> T {
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        act(paces.entry(repository.registry.clone()).or_default(), self.now())
    }

    async fn wait_for_turn(&self, repository: &Repository) -> Result<(), RegistryError> {
        let turn = self.with_pace(repository, |pace, now| pace.ask(now).map(|at| at - now));
        match turn {
            Ok(wait) => tokio::time::sleep(Duration::from_millis(wait)).await,
            Err(for_ms) => {
                let why = format!("it asked to be left alone for another {} s", for_ms.div_ceil(1_000));
                return Err(self.trouble(repository, Trouble::Limited { for_ms }, why));
            }
        }
        Ok(())
    }

    /// Docker Hub tells in every answer how many pulls are left.
    fn note_pace(&self, repository: &Repository, headers: &HeaderMap) {
        let left = headers
            .get("ratelimit-remaining")
            .and_then(|value| value.to_str().ok())
            .and_then(pace::remaining);
        if let Some((count, window_ms)) = left {
            self.with_pace(repository, |pace, now| pace.remaining(now, count, window_ms));
        }
    }

    /// What an answer means.
    fn judged(
        &self,
        repository: &Repository,
        path: &str,
        answer: Response<Bytes>,
    ) -> Result<Response<Bytes>, RegistryError> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let told = told(answer.body());
        let at = path.split('?').next().unwrap_or_default();
        let (trouble, why) = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                self.tokens.lock().unwrap_or_else(PoisonError::into_inner).remove(repository);
                (
                    Trouble::Unauthorized,
                    format!(
                        "it does not let us see {}{told}; `docker login {}`",
                        repository.path, repository.registry
                    ),
                )
            }
            StatusCode::NOT_FOUND => (Trouble::NotFound, format!("it has no {at}{told}")),
            StatusCode::TOO_MANY_REQUESTS => {
                let header =
                    |name| answer.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
                let wait = header(RETRY_AFTER).and_then(|text| pace::retry_after_ms(text, header(DATE)));
                let for_ms = self.with_pace(repository, |pace, now| pace.refused(now, wait));
                (
                    Trouble::Limited { for_ms },
                    format!("it is asked too often and left alone for {} s{told}", for_ms.div_ceil(1_000)),
                )
            }
            _ if status.is_server_error() => {
                (Trouble::Unavailable, format!("{at}: it answers {status}{told}"))
            }
            _ => (Trouble::Invalid, format!("{at}: it answers {status}{told}")),
        };
        Err(self.trouble(repository, trouble, why))
    }

    /// Makes the header that a challenge wants, and keeps it.
    async fn answer_to(
        &self,
        repository: &Repository,
        challenge: Option<Challenge>,
    ) -> Result<Sensitive, RegistryError> {
        let unknown = |why: &str| self.trouble(repository, Trouble::Unauthorized, why);
        let login = self.logins.login(&repository.registry).await.map_err(|why| unknown(&why))?;
        let (header, lasts) = match challenge {
            None => return Err(unknown("it asks who we are in a way that is not understood")),
            Some(Challenge::Basic) => match &login {
                Some(Login::Password { user, password }) => (basic(user, password), Duration::from_secs(300)),
                Some(Login::IdentityToken(_)) => {
                    return Err(unknown("it wants a password, and the login is a token"));
                }
                None => {
                    let why = format!("it wants a login: `docker login {}`", repository.registry);
                    return Err(unknown(&why));
                }
            },
            Some(Challenge::Bearer { realm, service, scope }) => {
                self.token(repository, login, &realm, service.as_deref(), scope.as_deref()).await?
            }
        };
        let until = Instant::now() + lasts.saturating_sub(TOKEN_MARGIN);
        let kept = Kept { header: header.clone(), until };
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(repository.clone(), kept);
        Ok(header)
    }

    /// Asks the token service that the registry names.
    async fn token(
        &self,
        repository: &Repository,
        login: Option<Login>,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
    ) -> Result<(Sensitive, Duration), RegistryError> {
        let own = format!("repository:{}:pull", repository.path);
        let request =
            token_request(login.as_ref(), realm, service, scope.unwrap_or(&own), &self.base(repository))
                .ok_or_else(|| {
                    self.trouble(
                        repository,
                        Trouble::Invalid,
                        "it sends us for a token to a place without TLS, or to none",
                    )
                })?;
        let host = request.uri().authority().map_or_else(String::new, |host| host.to_string());
        self.wait_for_turn(repository).await?;
        let answer = self.transport.send(&host, request).await;
        let answer = answer.map_err(|why| self.trouble(repository, Trouble::Unavailable, why))?;
        if answer.status() == StatusCode::UNAUTHORIZED && login.is_some() {
            let why = format!("it does not take the login: `docker login {}` again", repository.registry);
            return Err(self.trouble(repository, Trouble::Unauthorized, why));
        }
        let answer = self.judged(repository, "the token service", answer)?;
        let read: Result<TokenAnswer, _> = serde_json::from_slice(answer.body());
        // What cannot be read may be a token all the same: nothing of it is shown.
        let bad =
            || self.trouble(repository, Trouble::Invalid, "the answer of its token service cannot be read");
        let read = read.map_err(|_| bad())?;
        let lasts = Duration::from_secs(read.expires_in.clamp(1, 86_400));
        let token = read.token().ok_or_else(bad)?;
        Ok((Sensitive::new(format!("Bearer {token}")), lasts))
    }
}
