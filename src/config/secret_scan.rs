//! Finds what looks like a secret in a config file, so that it is refused there and shown nowhere.
//!
//! Secrets live in the vault. This is a net for the common mistake, not a proof that a file has none.

use super::{finding::Findings, path::Path, tree};

/// What looks like a secret in `text`, by what it is.
pub(super) fn find(text: &str) -> Option<&'static str> {
    if has_userinfo(text) {
        return Some("a URL with a user name or password");
    }
    secrets_in(text).next().map(|(_, what)| what)
}

/// `text` with whatever looks like a secret replaced.
pub(super) fn redact(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut from = 0;
    for (range, _) in secrets_in(text) {
        if range.start < from {
            continue;
        }
        clean.push_str(&text[from..range.start]);
        clean.push_str("[redacted]");
        from = range.end;
    }
    clean.push_str(&text[from..]);
    clean
}

/// Reports every value that looks like a secret and takes it out of the tree, so that no later finding can show it.
pub(super) fn refuse(node: &mut tree::Node, path: &Path, findings: &mut Findings<'_>) {
    match &mut node.value {
        tree::Value::Text(text) => {
            if let Some(what) = find(text) {
                node.value = tree::Value::Withheld;
                findings.add(
                    super::Severity::Error,
                    Some(node.place),
                    path,
                    (&format!("this looks like {what}"), HELP),
                );
            }
        }
        tree::Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                refuse(item, &path.index(index), findings);
            }
        }
        tree::Value::Map(entries) => {
            for entry in entries {
                let here = path.key(entry.key.as_str());
                if let Some(what) = find(&entry.key) {
                    entry.value.value = tree::Value::Withheld;
                    let message = format!("this name looks like {what}");
                    findings.add(super::Severity::Error, Some(entry.key_place), &here, (&message, HELP));
                }
                refuse(&mut entry.value, &here, findings);
            }
        }
        _ => {}
    }
}

const HELP: &str =
    "secrets live in the vault, never in this file: `backstop vault set NAME` reads one from standard input";

/// Prefixes that the usual vendors give their keys, and how many characters must follow for it to be one.
const PREFIXES: [(&str, usize, &str); 18] = [
    ("sk-", 16, "an API key"),
    ("gsk_", 16, "a Groq API key"),
    ("xai-", 16, "an xAI API key"),
    ("fw_", 16, "a Fireworks API key"),
    ("tgp_v1_", 16, "a Together API key"),
    ("AIza", 30, "a Google API key"),
    ("AKIA", 16, "an AWS access key"),
    ("hf_", 16, "a Hugging Face token"),
    ("ghp_", 16, "a GitHub token"),
    ("github_pat_", 16, "a GitHub token"),
    ("xoxb-", 16, "a Slack token"),
    ("xoxp-", 16, "a Slack token"),
    ("hvs.", 16, "a HashiCorp Vault token"),
    ("eyJhbGciOi", 16, "a JSON web token"),
    ("hooks.slack.com/services/", 8, "a Slack webhook"),
    ("Bearer ", 12, "an authorization header"),
    ("Basic ", 12, "an authorization header"),
    ("-----BEGIN ", 8, "a private key"),
];

fn secrets_in(text: &str) -> impl Iterator<Item = (std::ops::Range<usize>, &'static str)> {
    let mut found = Vec::new();
    for (prefix, least, what) in PREFIXES {
        for (start, _) in text.match_indices(prefix) {
            let begins_a_word = !text[..start].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_');
            let rest = &text[start + prefix.len()..];
            let length =
                rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-_./+=".contains(c))).unwrap_or(rest.len());
            // A model's or vendor's name may begin like a key, but is made of words: a key has a digit in it.
            let random = rest[..length].contains(|c: char| c.is_ascii_digit()) || what == "a private key";
            if begins_a_word && length >= least && random {
                found.push((start..start + prefix.len() + length, what));
            }
        }
    }
    found.sort_by_key(|(range, _)| range.start);
    found.into_iter()
}

/// Whether `text` is a URL with something before an `@` in its authority.
fn has_userinfo(text: &str) -> bool {
    let Some((_, after)) = text.split_once("://") else { return false };
    let authority = after.split(['/', '?', '#']).next().unwrap_or_default();
    authority.contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_and_names_are_not() {
        assert!(find("sk-proj-abcdefghij0123456789").is_some());
        assert!(find("https://user:pass@api.example.com/v1").is_some());
        assert!(find("https://hooks.slack.com/services/T00/B00/x1y2z3").is_some());
        for fine in
            ["openai/gpt-4o-mini", "sk-chat", "risk-assessment-of-2026-quarters", "https://a.example/@v1", "hf_model"]
        {
            assert_eq!(find(fine), None, "{fine}");
        }
    }

    #[test]
    fn redaction_keeps_the_rest() {
        assert_eq!(redact("bad value `sk-abcdefghij0123456789` here"), "bad value `[redacted]` here");
        assert_eq!(redact("nothing here"), "nothing here");
    }
}
