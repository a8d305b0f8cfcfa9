//! The name that somebody probably meant.

/// The candidate nearest to `name`, if any is near enough to be a slip rather than another word.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (likeness(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

/// From 0 to 1: of the whole candidate, or of its beginning up to a dash, since people leave a model's tail out.
fn likeness(name: &str, candidate: &str) -> f64 {
    let beginnings = candidate.match_indices('-').map(|(end, _)| &candidate[..end]);
    beginnings
        .map(|beginning| 0.9 * strsim::normalized_damerau_levenshtein(name, beginning))
        .fold(strsim::normalized_damerau_levenshtein(name, candidate), f64::max)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_or_a_beginning_finds_its_name_and_another_word_does_not() {
        let names = ["smollm2-135m-instruct", "qwen3-0.6b"];
        assert_eq!(nearest("smolm2-135m-instruct", names), Some("smollm2-135m-instruct"));
        assert_eq!(nearest("smollm2", names), Some("smollm2-135m-instruct"));
        assert_eq!(nearest("smolm2", names), Some("smollm2-135m-instruct"));
        assert_eq!(nearest("gpt-4o", names), None);
    }
}
