//! Where a call came from: the connection's other end, or what proxies of ours say was at theirs. Pure.
//!
//! Proxies append, so the list is read from its end, over the proxies that are trusted, to the first address that is not:
//! what stands before it was written by the caller and counts for nothing.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use reqwest::header::HeaderMap;

/// The most hops that are looked at.
const MOST_HOPS: usize = 64;

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// What it is counted under.
    pub address: IpAddr,
    /// Whether that is the caller's own. Where proxies contradict each other or write what cannot be read, it is only the nearest hop that
    /// is believed, and stands for no network of the caller's.
    pub is_known: bool,
}

/// Where the caller is. `trusted`: whose `X-Forwarded-For` and `Forwarded` are believed. A request that has both, saying
/// different things, has one that a caller wrote and a proxy let through: then neither is.
pub fn origin(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Origin {
    let peer = peer.to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let at_peer = |is_known| Origin { address: peer, is_known };
    if trusted.is_empty() || !is_trusted(peer) {
        return at_peer(true);
    }
    let walked = |hops: Vec<Option<IpAddr>>| {
        let mut nearest = at_peer(true);
        for hop in hops {
            // What cannot be read was not written by a proxy that should be believed.
            let Some(address) = hop else { return Origin { is_known: false, ..nearest } };
            nearest.address = address;
            if !is_trusted(address) {
                break;
            }
        }
        nearest
    };
    let by_list = hops(headers, "x-forwarded-for", address_in).map(walked);
    let by_standard = hops(headers, "forwarded", forwarded_for).map(walked);
    match (by_list, by_standard) {
        (Some(one), Some(other)) if one != other => at_peer(false),
        (Some(origin), _) | (None, Some(origin)) => origin,
        (None, None) => at_peer(true),
    }
}

/// What counts as one address: an IPv4 address, or the /64 that a provider gives to one customer.
pub fn network_of(address: IpAddr) -> IpNet {
    let address = address.to_canonical();
    let bits = if address.is_ipv4() { 32 } else { 64 };
    IpNet::new(address, bits).map_or_else(|_| IpNet::from(address), |network| network.trunc())
}

/// From the last hop to the first; `None`: the header is not there.
fn hops(headers: &HeaderMap, name: &str, read: fn(&str) -> Option<IpAddr>) -> Option<Vec<Option<IpAddr>>> {
    let lines: Vec<&str> = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("unreadable")).collect();
    if lines.is_empty() {
        return None;
    }
    Some(lines.iter().rev().flat_map(|line| line.rsplit(',')).take(MOST_HOPS).map(read).collect())
}

/// `for=` of one hop of a `Forwarded` header (RFC 7239).
fn forwarded_for(hop: &str) -> Option<IpAddr> {
    let mut pairs = hop.split(';').filter_map(|pair| pair.split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    address_in(node.trim().trim_matches('"'))
}

/// `192.0.2.7`, `192.0.2.7:4711`, `2001:db8::7`, `[2001:db8::7]`, `[2001:db8::7]:4711`.
fn address_in(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::HeaderValue;

    use super::*;
    use crate::config::parse_network;

    fn from(peer: &str, headers: &[(&'static str, &str)]) -> String {
        origin_of(peer, headers).address.to_string()
    }

    fn is_known(peer: &str, headers: &[(&'static str, &str)]) -> bool {
        origin_of(peer, headers).is_known
    }

    fn origin_of(peer: &str, headers: &[(&'static str, &str)]) -> Origin {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|text| parse_network(text).expect("is a network"));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).expect("is a value"));
        }
        origin(peer.parse().expect("is an address"), &map, &trusted)
    }

    #[test]
    fn only_proxies_of_ours_are_believed() {
        let spoofed = [("x-forwarded-for", "1.2.3.4"), ("forwarded", "for=1.2.3.4")];
        assert_eq!(from("192.0.2.9", &spoofed), "192.0.2.9");
        assert_eq!(from("10.0.0.1", &[("x-forwarded-for", "192.0.2.9")]), "192.0.2.9");
        assert_eq!(from("::ffff:10.0.0.1", &[("x-forwarded-for", "::ffff:192.0.2.9")]), "192.0.2.9");
        assert_eq!(from("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn what_the_caller_wrote_before_the_proxies_counts_for_nothing() {
        assert_eq!(from("10.0.0.1", &[("x-forwarded-for", "1.2.3.4, 192.0.2.9, 10.0.0.7")]), "192.0.2.9");
        let lines = [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-for", "192.0.2.9"), ("x-forwarded-for", "10.1.1.1")];
        assert_eq!(from("10.0.0.1", &lines), "192.0.2.9");
        assert_eq!(from("10.0.0.1", &[("x-forwarded-for", "1.2.3.4, nonsense, 10.0.0.7")]), "10.0.0.7");
        assert_eq!(from("10.0.0.1", &[("x-forwarded-for", "nonsense")]), "10.0.0.1");
    }

    #[test]
    fn both_headers_are_read_and_a_contradiction_is_not_believed() {
        let standard = r#"for=1.2.3.4, FOR="[2001:db8::7]:4711";proto=https, for=10.0.0.7;by=10.0.0.1"#;
        assert_eq!(from("10.0.0.1", &[("forwarded", standard)]), "2001:db8::7");
        assert_eq!(from("fd00::1", &[("forwarded", "for=192.0.2.9:80")]), "192.0.2.9");
        let both = [("forwarded", "for=192.0.2.9"), ("x-forwarded-for", "192.0.2.9")];
        assert_eq!(from("10.0.0.1", &both), "192.0.2.9");
        let differ = [("forwarded", "for=1.2.3.4"), ("x-forwarded-for", "192.0.2.9")];
        assert_eq!(from("10.0.0.1", &differ), "10.0.0.1");
        assert_eq!(from("10.0.0.1", &[("forwarded", "for=unknown")]), "10.0.0.1");
        assert!(is_known("10.0.0.1", &both) && is_known("10.0.0.1", &[]) && is_known("192.0.2.9", &differ));
        assert!(!is_known("10.0.0.1", &differ) && !is_known("10.0.0.1", &[("forwarded", "for=unknown")]));
        assert!(!is_known("10.0.0.1", &[("x-forwarded-for", "nonsense, 10.0.0.7")]));
    }

    #[test]
    fn a_customers_64_is_one_address() {
        let network = |text: &str| network_of(text.parse().expect("is an address")).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!((network("192.0.2.9"), network("::ffff:192.0.2.9")), ("192.0.2.9/32".into(), "192.0.2.9/32".into()));
    }

    proptest! {
        #[test]
        fn no_header_breaks_it(value in "[ -~]{0,200}") {
            let headers = [("x-forwarded-for", value.as_str()), ("forwarded", value.as_str())];
            from("10.0.0.1", &headers);
        }
    }
}
