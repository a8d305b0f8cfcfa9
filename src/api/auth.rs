//! Who calls, and from where: an address that may come in, and a client key from `Authorization: Bearer` or `x-api-key` that
//! may be used from there.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::{
    extract::ConnectInfo,
    http::{HeaderMap, request::Parts},
};

use super::{Api, refused::Refused};
use crate::{
    config::Settings,
    dialect::{Problem, ProblemKind},
    domain::RouteId,
    limit::{Entered, Origin, origin},
    vault::Client,
};

/// A caller whose key is valid where it comes from.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) client: Client,
    pub(super) from: IpAddr,
    /// Its place at the door, as long as it is answered.
    pub(super) entered: Entered,
}

impl Caller {
    /// Whether its key may ask for that route.
    pub(super) fn may_ask(&self, route: &RouteId) -> bool {
        let routes = &self.client.may.routes;
        routes.is_empty() || routes.contains(route)
    }
}

/// Lets a caller in, before anything of its body is read. The presented key is never part of an error.
pub(super) async fn enter(api: &Api, settings: &Settings, parts: &Parts) -> Result<Caller, Refused> {
    let (presented, Origin { address: from, is_known }) = (presented(&parts.headers), caller(settings, parts));
    let begins_like_a_key = || presented.is_some_and(|key| api.keys.knows(key));
    let entered = api.relay.limiter.enter(&settings.doors, from, begins_like_a_key).map_err(Refused::limited)?;
    let client = match presented {
        None => Err("no API key; send `Authorization: Bearer sk-bs-…` (or `x-api-key` on /v1/messages)"),
        Some(presented) => api
            .keys
            .find(presented)
            .await
            .ok_or("this API key is not valid here; a key is issued with `backstop keys issue --tenant NAME`"),
    };
    let client = client.map_err(|message| {
        api.relay.limiter.turned_away(&settings.doors, from);
        let problem = Problem::new(ProblemKind::Authentication, message);
        Refused::of("authentication", Problem { code: Some("invalid_api_key".to_owned()), ..problem })
    })?;
    let networks = &client.may.networks;
    let is_within = || is_known && networks.iter().any(|network| network.contains(&from));
    if !networks.is_empty() && !is_within() {
        let message = match is_known {
            true => format!("this API key may not be used from {from}"),
            false => {
                "this API key may only be used from its networks, and where this request comes from is not known: its \
                      `Forwarded` and `X-Forwarded-For` disagree or cannot be read"
                    .to_owned()
            }
        };
        let problem = Problem::new(ProblemKind::Permission, message);
        return Err(Refused::of("network", Problem { code: Some("ip_not_authorized".to_owned()), ..problem }));
    }
    Ok(Caller { client, from, entered })
}

/// Where the request came from, by the connection and by what trusted proxies say.
fn caller(settings: &Settings, parts: &Parts) -> Origin {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    // The listener always says who connected; without it, all callers would share one address.
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip());
    origin(peer, &parts.headers, &settings.trusted_proxies)
}

fn presented(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let bearer = text("authorization").and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer.or_else(|| text("x-api-key")).filter(|key| !key.is_empty())
}
