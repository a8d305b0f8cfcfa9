//! The kinds of call that have a baseline each, with the labels under which they are stored and shown.

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallKind {
    /// A stream, up to its first content.
    FirstContent,
    /// A whole answer.
    Total(OutputClass),
    /// A question's tokens.
    CountTokens,
    /// Embeddings, however many.
    Embed,
}

/// How long an answer the request allows, in output tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutputClass {
    UpTo256,
    UpTo1024,
    UpTo4096,
    /// More, or no limit.
    Open,
}

impl OutputClass {
    /// The class of a request's output limit; `None` is no limit.
    pub fn of(limit: Option<u64>) -> Self {
        match limit {
            Some(0..=256) => Self::UpTo256,
            Some(257..=1024) => Self::UpTo1024,
            Some(1025..=4096) => Self::UpTo4096,
            Some(_) | None => Self::Open,
        }
    }
}

impl CallKind {
    pub const ALL: [Self; 7] = [
        Self::FirstContent,
        Self::Total(OutputClass::UpTo256),
        Self::Total(OutputClass::UpTo1024),
        Self::Total(OutputClass::UpTo4096),
        Self::Total(OutputClass::Open),
        Self::CountTokens,
        Self::Embed,
    ];

    /// As files, metrics and people read it; never changes, since baselines are stored under it.
    pub fn label(self) -> &'static str {
        match self {
            Self::FirstContent => "first_content",
            Self::Total(OutputClass::UpTo256) => "total_256",
            Self::Total(OutputClass::UpTo1024) => "total_1024",
            Self::Total(OutputClass::UpTo4096) => "total_4096",
            Self::Total(OutputClass::Open) => "total_open",
            Self::CountTokens => "count_tokens",
            Self::Embed => "embed",
        }
    }

    /// The kind of a whole answer to a request with this output limit.
    pub fn total(limit: Option<u32>) -> Self {
        Self::Total(OutputClass::of(limit.map(u64::from)))
    }

    /// Its place in [`Self::ALL`].
    pub fn index(self) -> usize {
        match self {
            Self::FirstContent => 0,
            Self::Total(OutputClass::UpTo256) => 1,
            Self::Total(OutputClass::UpTo1024) => 2,
            Self::Total(OutputClass::UpTo4096) => 3,
            Self::Total(OutputClass::Open) => 4,
            Self::CountTokens => 5,
            Self::Embed => 6,
        }
    }

    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.label() == label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_stable_and_tell_the_kinds_apart() {
        let labels = CallKind::ALL.map(CallKind::label);
        assert_eq!(
            labels,
            ["first_content", "total_256", "total_1024", "total_4096", "total_open", "count_tokens", "embed"]
        );
        assert_eq!(labels.map(CallKind::from_label), CallKind::ALL.map(Some));
        assert_eq!(CallKind::from_label("total"), None);
    }

    #[test]
    fn limits_fall_into_classes() {
        let classes = [Some(0), Some(256), Some(257), Some(1024), Some(4096), Some(4097), None].map(OutputClass::of);
        use OutputClass::*;
        assert_eq!(classes, [UpTo256, UpTo256, UpTo1024, UpTo1024, UpTo4096, Open, Open]);
    }
}
