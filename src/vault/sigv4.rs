//! AWS Signature Version 4 of one request. Pure: the time comes in.
//!
//! Our own because the crate for it (aws-sigv4) brings four crates of AWS's runtime and a second `http` at least, for five
//! rounds of HMAC. Only what a JSON service and one object in S3 need: no query, no chunked or unsigned payload
//! (docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).

use std::borrow::Cow;

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Url;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Whose request it is.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    pub access_key_id: &'a str,
    pub secret_access_key: &'a str,
    /// Of temporary credentials; goes along as `x-amz-security-token`.
    pub session_token: Option<&'a str>,
}

/// What a signature is good for.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    pub region: &'a str,
    pub service: &'a str,
}

/// What is signed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub method: &'a str,
    /// As it is sent, percent-encoded.
    pub path: &'a str,
    pub paths: Paths,
    /// Names in lower case; `host` is among them, those that the signature itself adds are not.
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}

/// How a path stands in what is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paths {
    /// Encoded once more than it is sent, as every service but S3 wants it.
    Twice,
    /// As it is sent.
    AsSent,
}

/// Credentials as a secret of the vault has them: a JSON object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys<'a> {
    #[serde(borrow)]
    access_key_id: Cow<'a, str>,
    #[serde(borrow)]
    secret_access_key: Cow<'a, str>,
    /// Of temporary ones.
    #[serde(borrow)]
    pub session_token: Option<Cow<'a, str>>,
}

impl<'a> Keys<'a> {
    /// `None`: this is no such object. The parser's own words could quote the secret.
    pub fn read(secret: &'a str) -> Option<Self> {
        serde_json::from_str(secret.trim()).ok()
    }

    pub fn credentials(&self) -> Credentials<'_> {
        Credentials {
            access_key_id: &self.access_key_id,
            secret_access_key: &self.secret_access_key,
            session_token: self.session_token.as_deref(),
        }
    }
}

/// `host` as HTTP sends it for this URL.
pub fn host(url: &Url) -> String {
    match (url.host_str().unwrap_or_default(), url.port()) {
        (host, None) => host.to_owned(),
        (host, Some(port)) => format!("{host}:{port}"),
    }
}

/// What goes along with a signed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// `x-amz-date`.
    pub date: String,
    pub authorization: String,
}

/// Signs `request`; `now` in seconds since 1970-01-01 UTC. Good for five minutes either way.
pub fn sign(request: Request<'_>, by: Credentials<'_>, scope: Scope<'_>, now: i64) -> Signed {
    let date = timestamp(now);
    let day = &date[..8];
    let mut headers: Vec<(&str, &str)> = request.headers.to_vec();
    headers.push(("x-amz-date", &date));
    headers.extend(by.session_token.map(|token| ("x-amz-security-token", token)));
    headers.sort_unstable();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");

    let path = match request.paths {
        Paths::Twice => escape(request.path, "/"),
        Paths::AsSent => request.path.to_owned(),
    };
    let mut canonical = format!("{}\n{path}\n\n", request.method);
    for (name, value) in &headers {
        canonical.push_str(&format!("{name}:{}\n", value.trim()));
    }
    canonical.push_str(&format!("\n{names}\n{}", hex::encode(Sha256::digest(request.body))));

    let within = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let to_sign = format!("{ALGORITHM}\n{date}\n{within}\n{}", hex::encode(Sha256::digest(canonical)));
    let secret = zeroize::Zeroizing::new(format!("AWS4{}", by.secret_access_key));
    let key = [day, scope.region, scope.service, "aws4_request"]
        .iter()
        .fold(zeroize::Zeroizing::new(secret.as_bytes().to_vec()), |key, part| {
            zeroize::Zeroizing::new(hmac(&key, part.as_bytes()).to_vec())
        });
    let signature = hex::encode(hmac(&key, to_sign.as_bytes()));
    let authorization =
        format!("{ALGORITHM} Credential={}/{within}, SignedHeaders={names}, Signature={signature}", by.access_key_id);
    Signed { date, authorization }
}

/// Percent-encodes all but letters, digits, `-`, `.`, `_`, `~` and what is in `kept`.
pub fn escape(text: &str, kept: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        let char = char::from(byte);
        if char.is_ascii_alphanumeric() || "-._~".contains(char) || (byte.is_ascii() && kept.contains(char)) {
            out.push(char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// `20150830T123600Z`.
fn timestamp(now: i64) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp(now).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let (date, time) = (at.date(), at.time());
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2015-08-30T12:36:00Z, the time of AWS's test suite.
    const NOW: i64 = 1_440_938_160;
    const BY: Credentials<'_> = Credentials {
        access_key_id: "AKIDEXAMPLE",
        secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        session_token: None,
    };
    const SCOPE: Scope<'_> = Scope { region: "us-east-1", service: "service" };
    const HOST: [(&str, &str); 1] = [("host", "example.amazonaws.com")];

    fn signature(signed: &Signed) -> &str {
        signed.authorization.rsplit_once("Signature=").expect("it has one").1
    }

    /// The vectors of AWS's own test suite: `post-vanilla`, `get-vanilla`, `post-header-value-case`, `get-vanilla-with-session-token`.
    #[test]
    fn awss_test_vectors_hold() {
        let request = Request { method: "POST", path: "/", paths: Paths::Twice, headers: &HOST, body: b"" };
        let signed = sign(request, BY, SCOPE, NOW);
        assert_eq!(
            signed,
            Signed {
                date: "20150830T123600Z".into(),
                authorization: "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                                SignedHeaders=host;x-amz-date, \
                                Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
                    .into(),
            }
        );
        let get = Request { method: "GET", ..request };
        assert_eq!(
            signature(&sign(get, BY, SCOPE, NOW)),
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
        let cased = [("my-header1", "VALUE1"), ("host", "example.amazonaws.com")];
        assert_eq!(
            signature(&sign(Request { headers: &cased, ..request }, BY, SCOPE, NOW)),
            "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"
        );
        let token = Some("6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267");
        assert_eq!(
            signature(&sign(get, Credentials { session_token: token, ..BY }, SCOPE, NOW)),
            "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"
        );
    }

    #[test]
    fn the_body_the_region_and_the_minute_are_signed() {
        let request = Request { method: "POST", path: "/", paths: Paths::Twice, headers: &HOST, body: b"{}" };
        let first = sign(request, BY, SCOPE, NOW);
        for other in [
            sign(Request { body: b"{ }", ..request }, BY, SCOPE, NOW),
            sign(request, BY, Scope { region: "us-east-2", ..SCOPE }, NOW),
            sign(request, BY, SCOPE, NOW + 60),
        ] {
            assert_ne!(signature(&first), signature(&other));
        }
    }

    /// The published example of S3 (docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html, "PUT Object").
    #[test]
    fn s3s_published_example_holds() {
        let body = b"Welcome to Amazon S3.";
        let digest = hex::encode(Sha256::digest(body));
        let headers = [
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            ("host", "examplebucket.s3.amazonaws.com"),
            ("x-amz-content-sha256", digest.as_str()),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ];
        let request =
            Request { method: "PUT", path: "/test%24file.text", paths: Paths::AsSent, headers: &headers, body };
        let by = Credentials {
            access_key_id: "AKIAIOSFODNN7EXAMPLE",
            secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            session_token: None,
        };
        // 2013-05-24T00:00:00Z.
        let signed = sign(request, by, Scope { region: "us-east-1", service: "s3" }, 1_369_353_600);
        assert_eq!(signature(&signed), "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
    }

    /// A model's ARN or version is one segment of the path, and encoded twice where it is signed.
    #[test]
    fn paths_are_escaped_as_aws_escapes_them() {
        let model = "arn:aws:bedrock:us-east-1:1:inference-profile/us.a-v1:0";
        let sent = escape(model, "");
        assert_eq!(sent, "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.a-v1%3A0");
        assert_eq!(
            escape(&format!("/model/{sent}/converse"), "/"),
            "/model/arn%253Aaws%253Abedrock%253Aus-east-1%253A1%253Ainference-profile%252Fus.a-v1%253A0/converse"
        );
        assert_eq!(escape("a b/é~", "/"), "a%20b/%C3%A9~");
    }
}
