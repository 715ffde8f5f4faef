//! The forms of questions and answers, as values.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, LINK, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::Full;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::manifest::is_digest;
use crate::desired::secret::Sensitive;
use crate::engine::registry::Login;

/// What we call ourselves.
pub(super) const AGENT: &str = concat!("evenkeel/", env!("CARGO_PKG_VERSION"));

pub(super) fn basic(user: &str, password: &Sensitive) -> Sensitive {
    let plain = format!("{user}:{}", password.expose());
    Sensitive::new(format!("Basic {}", STANDARD.encode(plain)))
}

/// A token is asked for without a login, too: most registries give one to everybody for what is public.
pub(super) fn token_request(
    login: Option<&Login>,
    realm: &str,
    service: Option<&str>,
    scope: &str,
    base: &str,
) -> Option<Request<Full<Bytes>>> {
    let uri: Uri = realm.parse().ok()?;
    let plain_is_fine = base.starts_with("http://");
    uri.authority()?;
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if plain_is_fine => {}
        _ => return None,
    }
    let escaped = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let builder = Request::builder().header(USER_AGENT, AGENT);
    if let Some(Login::IdentityToken(token)) = login {
        let body = format!(
            "grant_type=refresh_token&client_id=evenkeel&service={}&scope={}&refresh_token={}",
            escaped(service.unwrap_or_default()),
            escaped(scope),
            escaped(token.expose())
        );
        let form = "application/x-www-form-urlencoded";
        return builder
            .method(Method::POST)
            .uri(uri)
            .header(CONTENT_TYPE, form)
            .body(Full::new(body.into()))
            .ok();
    }
    let service = service.map(|service| format!("service={}&", escaped(service))).unwrap_or_default();
    let joint = if realm.contains('?') { '&' } else { '?' };
    let address = format!("{realm}{joint}{service}scope={}", escaped(scope));
    let builder = match login {
        Some(Login::Password { user, password }) => {
            builder.header(AUTHORIZATION, basic(user, password).expose())
        }
        _ => builder,
    };
    builder.uri(address).body(Full::default()).ok()
}

/// The digest that a registry says a manifest has.
pub(super) fn said_digest(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("docker-content-digest")?.to_str().ok()?.trim().to_owned();
    is_digest(&text).then_some(text)
}

/// `Link: </v2/x/tags/list?last=b&n=2>; rel="next"`: the path, whatever host stands before it.
pub(super) fn next_page(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let link = all
        .flat_map(|value| value.split(','))
        .find(|link| link.contains("rel=\"next\"") || link.contains("rel=next"))?;
    let address: Uri = link.split_once('<')?.1.split_once('>')?.0.parse().ok()?;
    Some(address.path_and_query()?.as_str().to_owned()).filter(|path| path.starts_with("/v2/"))
}

/// Where we are sent on to. Never from TLS to none.
pub(super) fn resolved(from: &str, to: &str) -> Option<String> {
    let base: Uri = from.parse().ok()?;
    let target: Uri = to.parse().ok()?;
    match target.scheme_str() {
        None => Some(format!("{}://{}{}", base.scheme_str()?, base.authority()?, target.path_and_query()?)),
        Some("https") => Some(to.to_owned()),
        Some("http") if base.scheme_str() == Some("http") => Some(to.to_owned()),
        Some(_) => None,
    }
}

/// What a refusal says for people, if it is in the form of the API; with a colon before it.
pub(super) fn told(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        errors: Vec<Fault>,
    }
    #[derive(serde::Deserialize)]
    struct Fault {
        #[serde(default)]
        message: String,
    }
    let read: Option<Refusal> = serde_json::from_slice(body).ok();
    let message = read.and_then(|refusal| refusal.errors.into_iter().next()).map(|fault| fault.message);
    match message.filter(|message| !message.is_empty()) {
        Some(message) => format!(": {}", message.chars().take(200).collect::<String>().escape_debug()),
        None => String::new(),
    }
}
