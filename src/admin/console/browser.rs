//! What a browser says of where a request comes from, and the cookies that it is given. Pure.
//!
//! A form is taken only from a page of ours: browsers say so in `Sec-Fetch-Site` and `Origin`, which no script of another site can
//! change. One that says neither is refused.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::ConnectInfo,
    http::{HeaderMap, header, request::Parts},
};
use ipnet::IpNet;
use sha2::{Digest as _, Sha256};

use super::sessions::Digest;

/// How a cookie is called; over TLS with `__Host-` before it, which no other host can set.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cookie {
    Session,
    /// Of a login at the identity provider that is under way.
    Login,
}

/// How the browser reached us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) is_https: bool,
    /// Name and port.
    pub(super) host: String,
}

impl Cookie {
    fn name(self) -> &'static str {
        match self {
            Self::Session => "backstop_console",
            Self::Login => "backstop_console_login",
        }
    }

    /// Its value, in what the browser sent. One that only this host can have set comes first.
    pub(super) fn read(self, headers: &HeaderMap) -> Option<&str> {
        let sent = || {
            let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
            lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='))
        };
        let is_host = |name: &str| name.strip_prefix("__Host-") == Some(self.name());
        let found = sent().find(|(name, _)| is_host(name)).or_else(|| sent().find(|(name, _)| *name == self.name()));
        found.map(|(_, value)| value).filter(|value| !value.is_empty() && value.len() <= 128)
    }

    /// The header that sets it. `Lax` where a link on the identity provider's page brings the browser back here.
    pub(super) fn set(self, place: &Place, value: &str) -> String {
        match self {
            Self::Session => self.header(place, value, "SameSite=Strict"),
            Self::Login => self.header(place, value, "SameSite=Lax; Max-Age=600"),
        }
    }

    /// The header that takes it back.
    pub(super) fn clear(self, place: &Place) -> String {
        self.header(place, "", "SameSite=Strict; Max-Age=0")
    }

    fn header(self, place: &Place, value: &str, more: &str) -> String {
        let name = self.name();
        match place.is_https {
            true => format!("__Host-{name}={value}; Path=/; Secure; HttpOnly; {more}"),
            false => format!("{name}={value}; Path=/console; HttpOnly; {more}"),
        }
    }
}

impl Place {
    /// `None`: the request names no host that could be one. A proxy that is trusted says whether it was reached over TLS, and so does the
    /// `Origin` that a browser sends with a form from here.
    pub(super) fn of(parts: &Parts, trusted: &[IpNet]) -> Option<Self> {
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.or_else(|| parts.uri.authority().map(|authority| authority.as_str()))?;
        let is_part =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
        if host.is_empty() || host.len() > 255 || !host.bytes().all(is_part) {
            return None;
        }
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip().to_canonical());
        let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
        let forwarded = parts.headers.get("x-forwarded-proto").and_then(|proto| proto.to_str().ok());
        let forwarded = forwarded.and_then(|all| all.rsplit(',').next()).map(str::trim);
        let by_proxy = peer.is_some_and(is_trusted) && forwarded.is_some_and(|one| one.eq_ignore_ascii_case("https"));
        let by_browser = origin(&parts.headers) == Some(&format!("https://{host}"));
        Some(Self { is_https: by_proxy || by_browser, host: host.to_owned() })
    }

    pub(super) fn url(&self, path: &str) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.host)
    }

    /// Whether a page of ours sent this form.
    pub(super) fn is_sender(&self, headers: &HeaderMap) -> bool {
        let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
        let origin = origin(headers).map(|origin| {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            host.is_some_and(|host| host.eq_ignore_ascii_case(&self.host))
        });
        match (site, origin) {
            (None, None) => false,
            (site, origin) => site.is_none_or(|site| site == b"same-origin") && origin.unwrap_or(true),
        }
    }
}

/// How a session is found: by the digest of its cookie.
pub(super) fn digest(cookie: &str) -> Digest {
    Sha256::digest(cookie).into()
}

fn origin(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or("unreadable"))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue, Request};

    use super::*;

    fn parts(headers: &[(&'static str, &str)]) -> Parts {
        let mut request = Request::new(());
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("is a value");
            request.headers_mut().append(HeaderName::from_static(name), value);
        }
        let peer = SocketAddr::from(([10, 0, 0, 1], 4711));
        request.extensions_mut().insert(ConnectInfo(peer));
        request.into_parts().0
    }

    fn place(host: &str, is_https: bool) -> Place {
        Place { is_https, host: host.to_owned() }
    }

    #[test]
    fn a_form_is_taken_from_our_own_pages_alone() {
        let here = place("gw.internal:8081", false);
        for (headers, is_ours) in [
            (vec![("origin", "http://gw.internal:8081")], true),
            (vec![("origin", "https://gw.internal:8081")], true),
            (vec![("sec-fetch-site", "same-origin")], true),
            (vec![("sec-fetch-site", "same-origin"), ("origin", "http://gw.internal:8081")], true),
            (vec![("sec-fetch-site", "same-origin"), ("origin", "http://evil.example")], false),
            (vec![("sec-fetch-site", "cross-site"), ("origin", "http://gw.internal:8081")], false),
            (vec![("sec-fetch-site", "same-site")], false),
            (vec![("sec-fetch-site", "none")], false),
            (vec![("origin", "http://gw.internal:8082")], false),
            (vec![("origin", "http://gw.internal:8081.evil.example")], false),
            (vec![("origin", "null")], false),
            (vec![], false),
        ] {
            assert_eq!(here.is_sender(&parts(&headers).headers), is_ours, "{headers:?}");
        }
    }

    #[test]
    fn tls_is_believed_of_a_trusted_proxy_and_of_the_browser_itself() {
        let trusted = ["10.0.0.0/8".parse::<IpNet>().expect("is a network")];
        let host = ("host", "gw.internal");
        let proxied = parts(&[host, ("x-forwarded-proto", "https")]);
        assert_eq!(Place::of(&proxied, &trusted), Some(place("gw.internal", true)));
        assert_eq!(Place::of(&proxied, &[]), Some(place("gw.internal", false)));
        let written_by_the_caller = parts(&[host, ("x-forwarded-proto", "https, http")]);
        assert_eq!(Place::of(&written_by_the_caller, &trusted), Some(place("gw.internal", false)));
        assert_eq!(
            Place::of(&parts(&[host, ("origin", "https://gw.internal")]), &[]),
            Some(place("gw.internal", true))
        );
        assert_eq!(Place::of(&parts(&[host, ("origin", "https://other")]), &[]), Some(place("gw.internal", false)));
        assert_eq!(Place::of(&parts(&[("host", "gw.internal/x?")]), &[]), None);
        assert_eq!(Place::of(&parts(&[]), &[]), None);
    }

    #[test]
    fn cookies_are_for_this_host_and_no_script() {
        let (plain, safe) = (place("gw", false), place("gw", true));
        assert_eq!(Cookie::Session.set(&plain, "v"), "backstop_console=v; Path=/console; HttpOnly; SameSite=Strict");
        assert_eq!(
            Cookie::Session.set(&safe, "v"),
            "__Host-backstop_console=v; Path=/; Secure; HttpOnly; SameSite=Strict"
        );
        let login = Cookie::Login.set(&safe, "v");
        assert_eq!(login, "__Host-backstop_console_login=v; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600");
        let sent =
            parts(&[("cookie", "a=b; backstop_console=planted; __Host-backstop_console=ours"), ("cookie", "c=d")]);
        assert_eq!(Cookie::Session.read(&sent.headers), Some("ours"));
        assert_eq!(Cookie::Login.read(&sent.headers), None);
        assert_eq!(Cookie::Session.read(&parts(&[("cookie", "backstop_console=")]).headers), None);
    }
}
