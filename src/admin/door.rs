//! Who comes in, and how often: a known operator, whose role has the right that the operation needs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::{
    extract::ConnectInfo,
    http::{HeaderMap, StatusCode, request::Parts},
};

use super::{Admin, asked::Operator, oidc::Oidc, refused::Refused};
use crate::{
    clock,
    config::{Doors, Limits},
    domain::{Actor, KeyId, Money, Right},
    limit::{Ask, Entered, Limited, Refusal, Subject, origin},
    store::AdminTokenRow,
};

/// What an address may send, whoever is there.
const DOORS: Doors = Doors {
    per_ip: Limits { requests_per_minute: Some(1200), concurrency: Some(64), ..Limits::NONE },
    failed_auth_per_minute: 30,
    connections_per_ip: 64,
    most_addresses: 1 << 12,
};
/// What one operator may.
const PER_OPERATOR: Limits = Limits { requests_per_minute: Some(600), ..Limits::NONE };

/// Lets a request in by its address; its place is free again when this is dropped.
pub(super) fn address(admin: &Admin, parts: &Parts) -> Result<(IpAddr, Entered), Refused> {
    let is_known = |token| admin.tokens.knows(token) || admin.oidc.knows(token);
    enter(admin, parts, || presented(&parts.headers).is_some_and(is_known))
}

/// As [`address`], where something else than a token says whether whoever comes is known.
pub(super) fn enter(
    admin: &Admin,
    parts: &Parts,
    is_known: impl FnOnce() -> bool,
) -> Result<(IpAddr, Entered), Refused> {
    let from = caller(admin, parts);
    let entered = admin.limiter.enter(&DOORS, from, is_known).map_err(|refusal| too_many(&refusal))?;
    Ok((from, entered))
}

/// The operator, by the token that the request carries. The token is never part of an error.
pub(super) async fn operator(admin: &Admin, parts: &Parts, from: IpAddr) -> Result<Operator, Refused> {
    if let (Some(token), Some(oidc)) = (presented(&parts.headers), &admin.settings().oidc)
        && Oidc::takes(token)
    {
        let operator = admin.oidc.operator(oidc, token, from).await;
        return operator.inspect_err(|refused| {
            if refused.status == StatusCode::UNAUTHORIZED {
                admin.limiter.turned_away(&DOORS, from);
            }
        });
    }
    let known = match presented(&parts.headers) {
        None => Err(
            "no token; send `Authorization: Bearer bs-adm-…`, which `backstop admin token issue` prints, or log in with \
             `backstop login`",
        ),
        Some(token) => {
            let row = admin.tokens.find(token).await;
            row.ok_or("this token is not valid here (any more); `backstop admin token issue --role ROLE` makes one")
        }
    };
    let row = known.map_err(|why| {
        admin.limiter.turned_away(&DOORS, from);
        Refused::unauthenticated(why)
    })?;
    Ok(holder(row, from))
}

/// Whoever holds this token.
pub(super) fn holder(row: AdminTokenRow, from: IpAddr) -> Operator {
    let actor = Actor::admin_token(&row.id, row.role, row.name.as_deref(), from.to_string());
    Operator { id: row.id, role: row.role, actor }
}

pub(super) fn may(operator: &Operator, right: Right) -> Result<(), Refused> {
    if operator.role.may(right) {
        return Ok(());
    }
    let least = right.least();
    Err(Refused::forbidden(format!("this needs the role {least}, and this token's is {}", operator.role)))
}

/// Counts the request for its operator.
pub(super) fn count(admin: &Admin, operator: &Operator) -> Result<(), Refused> {
    let limited = Limited { subject: Subject::Key(KeyId::new(&operator.id)), limits: PER_OPERATOR };
    let ask = Ask { at_unix_ms: clock::unix_ms(), requests: 1, ..Ask::default() };
    let permit = admin.limiter.admit(vec![limited], ask).map_err(|refusal| too_many(&refusal))?;
    permit.settle(0, Money::ZERO);
    Ok(())
}

pub(super) fn turned_away(admin: &Admin, from: IpAddr) {
    admin.limiter.turned_away(&DOORS, from);
}

fn too_many(refusal: &Refusal) -> Refused {
    Refused::too_many(refusal.to_string(), refusal.retry_after)
}

fn caller(admin: &Admin, parts: &Parts) -> IpAddr {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    // The listener always says who connected; without it, all would share one address.
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip());
    origin(peer, &parts.headers, &admin.settings().trusted_proxies).address
}

fn presented(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get("authorization")?.to_str().ok()?.trim().split_once(' ')?;
    Some(token.trim()).filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}
