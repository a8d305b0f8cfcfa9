//! What a token's claims give, and what they do not.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::config::{LoginToken, SigningAlgorithm};

const NOW: i64 = 1_800_000_000;

fn settings(role_claim: &str) -> OidcSettings {
    let roles = [("ops", OperatorRole::Operator), ("coe", OperatorRole::CoeLead), ("sec", OperatorRole::Security)];
    OidcSettings {
        issuer: "https://id.example/".into(),
        audience: "backstop".into(),
        client_id: "backstop".into(),
        scopes: Vec::new(),
        login_token: LoginToken::Id,
        algorithms: SigningAlgorithm::ALL.to_vec(),
        role_claim: role_claim.into(),
        roles: roles.map(|(name, role)| (name.to_owned(), role)).into(),
        name_claim: "email".into(),
        max_stale: Duration::from_secs(3600),
        max_lifetime: Duration::from_secs(3600),
    }
}

/// A sound token's claims with these in their place; `null` takes one out.
fn with(changes: Value) -> Map<String, Value> {
    let mut claims = json!({
        "iss": "https://id.example/", "aud": "backstop", "sub": "u1", "iat": NOW - 10, "exp": NOW + 600,
        "groups": ["ops"], "email": "a@example.com", "jti": "t1",
    });
    for (name, value) in changes.as_object().expect("is an object") {
        claims[name] = value.clone();
    }
    let claims = claims.as_object().expect("is an object").clone();
    claims.into_iter().filter(|(_, value)| !value.is_null()).collect()
}

fn said(changes: Value) -> Result<OperatorRole, Refusal> {
    person(&settings("groups"), &with(changes), NOW).map(|person| person.role)
}

#[test]
fn a_sound_token_gives_its_mapped_role_and_nothing_else_does() {
    use OperatorRole::{CoeLead, Operator, Security};
    assert_eq!(said(json!({})), Ok(Operator));
    assert_eq!(said(json!({"groups": "coe"})), Ok(CoeLead));
    assert_eq!(said(json!({"groups": ["ops", "coe", "x"]})), Ok(CoeLead));
    assert_eq!(said(json!({"groups": ["sec"]})), Ok(Security));
    assert_eq!(said(json!({"groups": ["sec", "ops"]})), Err(Refusal::TwoDuties));
    for none in [json!(null), json!([]), json!(["security", "Ops", " ops", "ops,coe"]), json!(["coe-lead"]), json!(7)] {
        let claims =
            json!({"groups": none, "role": "coe", "roles": ["sec"], "scope": "coe", "realm": {"groups": ["coe"]}});
        assert_eq!(said(claims), Err(Refusal::NoRole), "{none}");
    }
    let nested = |claims| person(&settings("/realm/groups"), &with(claims), NOW).map(|person| person.role);
    assert_eq!(nested(json!({"groups": null, "realm": {"groups": ["coe"]}})), Ok(CoeLead));
    assert_eq!(nested(json!({"/realm/groups": ["coe"]})), Err(Refusal::NoRole));
}

#[test]
fn it_must_be_of_this_issuer_for_this_gateway_and_now() {
    use Refusal::{Audience, Claim, Expired, Issuer, NotYet, TooLong};
    for (changes, why) in [
        (json!({"iss": "https://id.example"}), Issuer),
        (json!({"iss": null}), Issuer),
        (json!({"iss": ["https://id.example/"]}), Issuer),
        (json!({"aud": "backstop-2"}), Audience),
        (json!({"aud": ["a", "b"]}), Audience),
        (json!({"aud": null}), Audience),
        (json!({"exp": NOW - 31}), Expired),
        (json!({"exp": null}), Claim("exp")),
        (json!({"exp": "9999999999"}), Claim("exp")),
        (json!({"exp": 1e300}), Claim("exp")),
        (json!({"iat": null}), Claim("iat")),
        (json!({"iat": NOW + 31, "exp": NOW + 60}), NotYet),
        (json!({"nbf": NOW + 31}), NotYet),
        (json!({"nbf": "0"}), Claim("nbf")),
        (json!({"exp": NOW + 4000}), TooLong),
        (json!({"sub": null}), Claim("sub")),
        (json!({"sub": ""}), Claim("sub")),
        (json!({"sub": "x".repeat(256)}), Claim("sub")),
    ] {
        assert_eq!(said(changes.clone()), Err(why), "{changes}");
    }
    for taken in [
        json!({"aud": ["x", "backstop"]}),
        json!({"exp": NOW - 29}),
        json!({"nbf": NOW + 29}),
        json!({"exp": NOW as f64 + 0.5}),
    ] {
        assert_eq!(said(taken.clone()), Ok(OperatorRole::Operator), "{taken}");
    }
}

#[test]
fn a_session_is_a_persons_login_with_its_role() {
    let of = |changes| person(&settings("groups"), &with(changes), NOW).expect("is sound");
    let first = of(json!({}));
    assert_eq!((first.name.as_deref(), first.subject.as_str()), (Some("a@example.com"), "u1"));
    assert_eq!(of(json!({"exp": NOW + 900})).session, first.session);
    let next = of(json!({"jti": "t2"}));
    assert!(next.session != first.session && next.id == first.id);
    // Tokens of one session at the issuer are one.
    assert_eq!(of(json!({"sid": "s", "jti": "t2"})).session, of(json!({"sid": "s", "jti": "t3"})).session);
    assert_ne!(of(json!({"groups": ["coe"]})).session, first.session);
    assert_ne!(of(json!({"sub": "u2"})).id, first.id);
    assert_eq!(of(json!({"email": null})).name, None);
    assert_ne!(of(json!({"jti": null})).session, of(json!({"jti": null, "iat": NOW - 9})).session);
}
