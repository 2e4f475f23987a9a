//! Addresses: where a hub keeps a file, and which host a token is meant for.

use crate::names::{RelativePath, Repository, Revision};
use std::fmt;
use std::str::FromStr;
use ureq::http::Uri;
use ureq::http::uri::Scheme;

/// An address that cannot be a hub's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address:?} cannot be a hub: {reason}; it looks like https://host or http://host:port/path")]
pub struct WrongHubAddress {
    /// What was given.
    pub address: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// The base address of a hub, from which models are fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubAddress {
    /// Without a slash at its end.
    base: String,
    origin: ServerOrigin,
}

/// Who answers: a token goes to the origin it is meant for and to no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerOrigin {
    tls: bool,
    host: String,
    port: u16,
}

impl ServerOrigin {
    /// The origin of an absolute address over HTTP or HTTPS.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let tls = uri.scheme() == Some(&Scheme::HTTPS);
        if !tls && uri.scheme() != Some(&Scheme::HTTP) {
            return None;
        }
        let host = uri.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
        Some(Self { tls, host, port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }) })
    }

    /// Whether what is said to it can be overheard on the way.
    pub(crate) fn is_overheard(&self) -> bool {
        let here = matches!(self.host.as_str(), "localhost" | "127.0.0.1" | "[::1]");
        !self.tls && !here
    }

    /// Whether this origin keeps secrets on the way and `other` does not.
    pub(crate) fn is_safer_than(&self, other: &Self) -> bool {
        self.tls && !other.tls
    }
}

impl HubAddress {
    pub(crate) fn origin(&self) -> &ServerOrigin {
        &self.origin
    }

    /// Whether both name the same server: what is meant for one may be told to the other.
    #[must_use]
    pub fn is_same_server(&self, other: &Self) -> bool {
        self.origin == other.origin
    }

    /// Where the hub keeps a file.
    pub(crate) fn file(&self, repository: &Repository, revision: &Revision, path: &RelativePath) -> String {
        format!("{}/{repository}/resolve/{revision}/{path}", self.base)
    }
}

impl FromStr for HubAddress {
    type Err = WrongHubAddress;

    fn from_str(address: &str) -> Result<Self, WrongHubAddress> {
        let wrong = |reason| WrongHubAddress { address: without_user(address), reason };
        let uri: Uri = address.parse().map_err(|_| wrong("it is no address"))?;
        let origin = ServerOrigin::of(&uri).ok_or_else(|| wrong("it needs http:// or https:// and a host"))?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(wrong("a name or password does not belong into it, use --token-file"));
        }
        if uri.query().is_some() || address.contains('#') {
            return Err(wrong("it goes on after a '?' or '#'"));
        }
        Ok(Self { base: address.trim_end_matches('/').to_owned(), origin })
    }
}

/// What stands before an `@` may be a password, and is not repeated.
fn without_user(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((_, after)) => format!("…@{after}"),
        None => address.to_owned(),
    }
}

impl fmt::Display for HubAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

/// Where a redirect from `from` leads: `location` may be whole, begin at the host, or count from where we are.
pub(crate) fn redirected(from: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next().unwrap_or_default();
    let scheme = from.scheme_str()?;
    let authority = from.authority()?;
    let whole = if location.contains("://") && !location.starts_with(['/', '?', '.']) {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{}{location}", from.path())
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    whole.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    fn hub(address: &str) -> HubAddress {
        address.parse().unwrap()
    }

    #[test]
    fn a_file_lies_at_repository_revision_and_path() {
        let path = "onnx/embed_tokens.onnx".parse().unwrap();
        let address = hub("http://mirror:8080/hub/").file(&"a/b".parse().unwrap(), &"main".parse().unwrap(), &path);
        assert_snapshot!(address, @"http://mirror:8080/hub/a/b/resolve/main/onnx/embed_tokens.onnx");
    }

    #[test]
    fn what_is_no_hub_is_refused_without_repeating_a_password() {
        let refused = |address: &str| address.parse::<HubAddress>().unwrap_err().to_string();
        assert_snapshot!(refused("mirror/hub"), @r#""mirror/hub" cannot be a hub: it is no address; it looks like https://host or http://host:port/path"#);
        assert_snapshot!(refused("https://me:secret@mirror"), @r#""…@mirror" cannot be a hub: a name or password does not belong into it, use --token-file; it looks like https://host or http://host:port/path"#);
        assert!(refused("ftp://mirror").contains("it needs http"));
        assert!(refused("https://mirror/?x").contains("'?'"));
    }

    #[test]
    fn servers_differ_by_host_port_and_secrecy() {
        assert!(hub("https://A.example").is_same_server(&hub("https://a.example:443/sub")));
        for other in ["http://a.example:443", "https://a.example:8443", "https://a.example.org"] {
            assert!(!hub("https://a.example").is_same_server(&hub(other)), "{other}");
        }
        assert!(hub("http://mirror").origin().is_overheard() && !hub("http://127.0.0.1:1").origin().is_overheard());
    }

    #[test]
    fn a_redirect_counts_from_where_it_was_met() {
        let from: Uri = "https://a.example/x/y?q=1".parse().unwrap();
        let to = |location| redirected(&from, location).unwrap().to_string();
        assert_eq!(to("https://b.example/z?s=a://b"), "https://b.example/z?s=a://b");
        assert_eq!(to("//b.example/z"), "https://b.example/z");
        assert_eq!(to("/z#part"), "https://a.example/z");
        assert_eq!(to("z"), "https://a.example/x/z");
        assert_eq!(to("?q=2"), "https://a.example/x/y?q=2");
        assert!(redirected(&from, "http://[").is_none());
    }
}
