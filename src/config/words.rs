//! The words of findings: what was written, cut to a readable length, and the name that was probably meant.

/// `text`, on one line and no longer than 60 characters.
pub(super) fn cut(text: &str) -> String {
    cut_at(text, 60)
}

/// `text`, on one line and no longer than `most` characters.
pub(super) fn cut_at(text: &str, most: usize) -> String {
    let mut short: String = text.chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(most).is_some() {
        short.push('…');
    }
    short
}

/// `` `a`, `b` or `c` ``
pub(super) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{}`", cut(name))).collect();
    match names.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

/// The name in `known` that `written` was probably meant to be.
pub(super) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The distance costs the product of both lengths; no name of ours is longer.
    if written.len() > 128 {
        return None;
    }
    let plain = |name: &str| name.to_lowercase().replace(['-', ' '], "_");
    let written = plain(written);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&written, &plain(name)), name))
        .filter(|(distance, name)| *distance <= (name.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `did you mean …?` where a name is near, else the names that exist.
pub(super) fn meant_or_known<'a>(written: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(written, known.clone()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("expected {}", one_of(known)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let known = ["openai", "anthropic", "own-vllm"];
        assert_eq!(nearest("opnai", known), Some("openai"));
        assert_eq!(nearest("own_vllm", known), Some("own-vllm"));
        assert_eq!(nearest("Anthropic", known), Some("anthropic"));
        assert_eq!(nearest("bedrock", known), None);
        assert_eq!(nearest(&"x".repeat(1_000_000), known), None);
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(cut("a\nb"), "a b");
        assert_eq!(cut(&"é".repeat(100)).chars().count(), 61);
    }
}
