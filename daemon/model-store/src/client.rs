//! One question to a hub and its answer, over however many redirects.
//!
//! The token goes to the hub's own origin (scheme, host, port) and nowhere else: hubs redirect large files to servers of
//! others, whose addresses carry their own permission. A redirect from HTTPS to HTTP is not followed.

use crate::hub::{HubAddress, ServerOrigin, redirected};
use crate::token::Token;
use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_RANGE, ETAG, IF_RANGE, LOCATION, RANGE, RETRY_AFTER,
    TRANSFER_ENCODING,
};
use ureq::http::{HeaderName, Response, StatusCode, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Timeout};

/// How the network is reached, and how long hob waits for it.
#[derive(Debug, Clone)]
pub struct NetworkSettings {
    /// The longest that a connection may take to be made.
    pub connect: Duration,
    /// The longest silence of a server, before and within its answer.
    pub stall: Duration,
    /// Tries that may fail one after another, over one file, before hob gives up on it.
    pub retries: u32,
    /// The pause before the second try; it doubles with each.
    pub first_pause: Duration,
    /// The longest such pause.
    pub longest_pause: Duration,
    /// The longest pause that a server may ask for.
    pub longest_retry_after: Duration,
    /// Redirects followed for one question.
    pub redirects: u32,
    /// Whether `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` count.
    pub proxy_from_environment: bool,
    /// Authorities to trust in place of the built-in ones: a PEM file.
    pub authorities: Option<PathBuf>,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            stall: Duration::from_secs(60),
            retries: 6,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(30),
            longest_retry_after: Duration::from_secs(300),
            redirects: 8,
            proxy_from_environment: true,
            authorities: None,
        }
    }
}

/// Why no client can be made.
#[derive(Debug, thiserror::Error)]
pub enum OpenClientError {
    /// The token would cross the network in plain sight.
    #[error("a token is not sent to {hub}, where it can be overheard: use an address with https://")]
    PlainToken {
        /// Whereto.
        hub: HubAddress,
    },
    /// The authorities cannot be read.
    #[error("cannot read certificates from {path}: {reason}")]
    Authorities {
        /// The PEM file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Asks one hub.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    token: Option<Token>,
    origin: ServerOrigin,
    redirects: u32,
}

/// What is there already of a file that is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun<'a> {
    /// Its first so many bytes.
    pub(crate) bytes: u64,
    /// The mark that the server gave that state of the file.
    pub(crate) etag: Option<&'a str>,
}

/// What a server has to say that leads on.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The file from its beginning.
    Whole(Content),
    /// The file from `first` on; of `total` bytes, where the server says so.
    Rest {
        /// The first byte that comes.
        first: u64,
        /// What follows.
        content: Content,
    },
    /// There is nothing behind what is there: the file has `total` bytes, where the server says so.
    NothingMore {
        /// Bytes of the whole file.
        total: Option<u64>,
    },
}

/// A body, and what its server says of the whole file.
#[derive(Debug)]
pub(crate) struct Content {
    /// Bytes of the whole file.
    pub(crate) total: Option<u64>,
    /// Whether the end of the body can be told from a lost connection without knowing `total`.
    pub(crate) marks_its_end: bool,
    /// A mark of this state of the file, if it is one that can be relied on.
    pub(crate) etag: Option<String>,
    /// The bytes.
    pub(crate) body: Body,
}

/// Why a question was not answered.
#[derive(Debug)]
pub(crate) enum AskError {
    /// It may go better later; the server may have said when.
    Passing { reason: String, retry_after: Option<Duration> },
    /// It will not.
    Refused { status: StatusCode, server: String },
    /// What came cannot be used.
    Unusable { reason: String },
}

impl Client {
    pub(crate) fn open(
        hub: &HubAddress,
        token: Option<Token>,
        settings: &NetworkSettings,
    ) -> Result<Self, OpenClientError> {
        if token.is_some() && hub.origin().is_overheard() {
            return Err(OpenClientError::PlainToken { hub: hub.clone() });
        }
        let mut config = Agent::config_builder()
            .user_agent(concat!("hob/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            // Followed here, where it is decided who is told the token.
            .max_redirects(0)
            .timeout_connect(Some(settings.connect))
            .timeout_per_read(Some(settings.stall))
            .timeout_per_write(Some(settings.stall))
            .tls_config(TlsConfig::builder().root_certs(authorities(settings)?).build());
        if !settings.proxy_from_environment {
            config = config.proxy(None);
        }
        let agent = Agent::new_with_config(config.build());
        Ok(Self { agent, token, origin: hub.origin().clone(), redirects: settings.redirects })
    }

    pub(crate) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Asks for a file, from where what is there ends.
    pub(crate) fn ask(&self, address: &str, begun: Option<Begun<'_>>) -> Result<Answer, AskError> {
        let mut uri: Uri = address.parse().map_err(|error| unusable(format!("{address} is no address: {error}")))?;
        for _ in 0..=self.redirects {
            let response = self.ask_once(&uri, begun)?;
            let status = response.status();
            match (status, header(&response, LOCATION)) {
                (
                    StatusCode::MOVED_PERMANENTLY
                    | StatusCode::FOUND
                    | StatusCode::SEE_OTHER
                    | StatusCode::TEMPORARY_REDIRECT
                    | StatusCode::PERMANENT_REDIRECT,
                    Some(location),
                ) => uri = next_address(&uri, location)?,
                _ => return answer(&uri, response).map_err(|error| self.of_whom(&uri, error)),
            }
        }
        Err(unusable(format!("it was redirected more than {} times", self.redirects)))
    }

    /// A refusal counts as the hub's own only: a server that it sends us to may refuse since its permission ran out, and
    /// the hub gives another.
    fn of_whom(&self, uri: &Uri, error: AskError) -> AskError {
        match error {
            AskError::Refused { status, server } if ServerOrigin::of(uri).as_ref() != Some(&self.origin) => {
                let reason = format!("{server}, to which the hub leads, answered {status}");
                AskError::Passing { reason, retry_after: None }
            }
            error @ (AskError::Refused { .. } | AskError::Passing { .. } | AskError::Unusable { .. }) => error,
        }
    }

    fn ask_once(&self, uri: &Uri, begun: Option<Begun<'_>>) -> Result<Response<Body>, AskError> {
        // Bytes are counted and hashed as they are stored: nothing may pack them on the way.
        let mut request = self.agent.get(uri).header(ACCEPT_ENCODING, "identity");
        if let Some(token) = &self.token
            && ServerOrigin::of(uri).as_ref() == Some(&self.origin)
        {
            request = request.header(AUTHORIZATION, token.header());
        }
        if let Some(begun) = begun {
            request = request.header(RANGE, format!("bytes={}-", begun.bytes));
            if let Some(etag) = begun.etag {
                request = request.header(IF_RANGE, etag);
            }
        }
        request.call().map_err(|error| ask_failed(uri, &error))
    }
}

/// The built-in authorities, or the owner's.
fn authorities(settings: &NetworkSettings) -> Result<RootCerts, OpenClientError> {
    let Some(path) = &settings.authorities else { return Ok(RootCerts::WebPki) };
    let failed = |error: &dyn Display| OpenClientError::Authorities { path: path.clone(), reason: error.to_string() };
    let text = std::fs::read(path).map_err(|error| failed(&error))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| failed(&error))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(failed(&"there are none in it"));
    }
    Ok(RootCerts::Specific(Arc::new(certificates)))
}

fn next_address(from: &Uri, location: &str) -> Result<Uri, AskError> {
    let to = redirected(from, location).and_then(|to| Some((ServerOrigin::of(&to)?, to)));
    let Some((to_origin, to)) = to else {
        return Err(unusable(format!("{} redirects to what is no address", server(from))));
    };
    match ServerOrigin::of(from) {
        Some(from_origin) if from_origin.is_safer_than(&to_origin) => {
            Err(unusable(format!("{} redirects from https to http", server(from))))
        }
        Some(_) | None => Ok(to),
    }
}

fn answer(uri: &Uri, response: Response<Body>) -> Result<Answer, AskError> {
    let status = response.status();
    if status == StatusCode::OK {
        let total = response.body().content_length();
        return Ok(Answer::Whole(content(uri, total, response)?));
    }
    if status == StatusCode::PARTIAL_CONTENT {
        let range = header(&response, CONTENT_RANGE).and_then(|range| {
            let (span, total) = range.strip_prefix("bytes ")?.split_once('/')?;
            Some((span.split_once('-')?.0.parse().ok()?, total.parse().ok()))
        });
        let (first, total) =
            range.ok_or_else(|| unusable(format!("{} does not say which part it sends", server(uri))))?;
        return Ok(Answer::Rest { first, content: content(uri, total, response)? });
    }
    if status == StatusCode::RANGE_NOT_SATISFIABLE {
        let total = header(&response, CONTENT_RANGE).and_then(|range| range.strip_prefix("bytes */")?.parse().ok());
        return Ok(Answer::NothingMore { total });
    }
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::REQUEST_TIMEOUT {
        // A date is allowed here as well; hob's own pauses serve for it.
        let seconds = header(&response, RETRY_AFTER).and_then(|text| text.trim().parse().ok());
        let reason = format!("{} answered {status}", server(uri));
        return Err(AskError::Passing { reason, retry_after: seconds.map(Duration::from_secs) });
    }
    Err(AskError::Refused { status, server: server(uri) })
}

fn content(uri: &Uri, total: Option<u64>, response: Response<Body>) -> Result<Content, AskError> {
    if let Some(coding) = header(&response, CONTENT_ENCODING)
        && !coding.eq_ignore_ascii_case("identity")
    {
        return Err(unusable(format!("{} packs it as {coding:?}, which it was asked not to", server(uri))));
    }
    // A weak mark stands for "much the same", which is not enough to join two parts.
    let etag = header(&response, ETAG).filter(|etag| !etag.starts_with("W/")).map(str::to_owned);
    let marks_its_end = header(&response, TRANSFER_ENCODING).is_some_and(|coding| coding.contains("chunked"));
    Ok(Content { total, marks_its_end, etag, body: response.into_body() })
}

fn header(response: &Response<Body>, name: HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}

/// The server without the rest of the address, which may carry a permission.
fn server(uri: &Uri) -> String {
    uri.authority().map_or_else(|| "the server".to_owned(), ToString::to_string)
}

fn unusable(reason: String) -> AskError {
    AskError::Unusable { reason }
}

/// Nearly all that can go wrong on the way may go better later; a certificate that is not believed will not.
#[expect(clippy::wildcard_enum_match_arm, reason = "the client's errors may grow; what is new may pass")]
fn ask_failed(uri: &Uri, error: &ureq::Error) -> AskError {
    let server = server(uri);
    match error {
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => unusable(not_believed(&server, error)),
        // What TLS finds wrong in what it reads comes as this.
        ureq::Error::Io(io) if io.kind() == ErrorKind::InvalidData => unusable(not_believed(&server, io)),
        ureq::Error::BadUri(_) | ureq::Error::InvalidProxyUrl => unusable(format!("{server}: {error}")),
        _ => AskError::Passing { reason: format!("{server}: {}", in_words(error)), retry_after: None },
    }
}

fn not_believed(server: &str, error: &dyn Display) -> String {
    format!("{server} is not believed to be who it says ({error}); for authorities of your own set SSL_CERT_FILE")
}

/// Why a body ended before its time.
pub(crate) fn why_lost(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(error) => in_words(error),
        None => error.to_string(),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the client's own words do for the rest")]
fn in_words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => "it could not be reached in time".to_owned(),
        ureq::Error::Timeout(_) => "it fell silent".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::HostNotFound => "no such host, or no way to ask for it".to_owned(),
        other => other.to_string(),
    }
}
