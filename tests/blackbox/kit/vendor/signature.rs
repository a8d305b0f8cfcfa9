//! Whether a request carries the AWS signature that the shared secret makes of it: computed anew, from what arrived.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::Seen;

/// What is wrong with the signature of a call of Bedrock; `None`: nothing.
pub fn fault(seen: &Seen, access_key_id: &str, secret: &str, region: &str) -> Option<String> {
    // A path is encoded once more than it was sent.
    let path = seen.path.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    let signed = ["content-type", "host", "x-amz-date"];
    wrong(seen, (access_key_id, secret), (region, "bedrock"), (&path.collect::<String>(), &signed))
}

/// The same of a call of S3, whose path is signed as it was sent, and whose body is named by its digest.
pub fn s3_fault(seen: &Seen, access_key_id: &str, secret: &str, region: &str) -> Option<String> {
    if seen.header("x-amz-content-sha256") != Some(hex::encode(Sha256::digest(&seen.body)).as_str()) {
        return Some("x-amz-content-sha256 is not the body's".into());
    }
    let signed = ["host", "x-amz-content-sha256", "x-amz-date"];
    wrong(seen, (access_key_id, secret), (region, "s3"), (&seen.path, &signed))
}

fn wrong(
    seen: &Seen,
    (access_key_id, secret): (&str, &str),
    (region, service): (&str, &str),
    (path, signed): (&str, &[&str]),
) -> Option<String> {
    let header = |name: &str| seen.header(name).unwrap_or_default();
    let Some(authorization) = header("authorization").strip_prefix("AWS4-HMAC-SHA256 ") else {
        return Some("there is no signature".into());
    };
    let part = |name: &str| authorization.split(", ").find_map(|part| part.strip_prefix(name)).unwrap_or_default();
    let (credential, names, signature) = (part("Credential="), part("SignedHeaders="), part("Signature="));
    let date = header("x-amz-date");
    let scope = format!("{}/{region}/{service}/aws4_request", date.get(..8).unwrap_or_default());
    if credential != format!("{access_key_id}/{scope}") {
        return Some(format!("the scope is {credential}"));
    }
    for needed in signed {
        if !names.split(';').any(|name| name == *needed) {
            return Some(format!("{needed} is not signed"));
        }
    }
    // Anything of AWS's own that travels must be signed.
    let unsigned =
        seen.headers.iter().find(|(name, _)| name.starts_with("x-amz-") && !names.split(';').any(|n| n == name));
    if let Some((name, _)) = unsigned {
        return Some(format!("{name} is not signed"));
    }
    let headers: String = names.split(';').map(|name| format!("{name}:{}\n", header(name))).collect();
    let body = hex::encode(Sha256::digest(&seen.body));
    let canonical = format!("{}\n{path}\n\n{headers}\n{names}\n{body}", seen.method);
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in scope.split('/') {
        key = hmac(&key, part.as_bytes());
    }
    let expected = hex::encode(hmac(&key, to_sign.as_bytes()));
    (expected != signature).then(|| format!("the signature should be {expected}, not {signature}"))
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}
