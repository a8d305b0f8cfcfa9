//! An error with its causes, for a log or a person who sees one line.

use std::error::Error;

/// The error and its causes in one line; a cause that its effect already quotes is not said twice.
pub fn chain(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !said.contains(&text) {
            said = format!("{said}: {text}");
        }
        cause = error.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{what}")]
    struct Failed {
        what: &'static str,
        source: io::Error,
    }

    #[test]
    fn causes_follow_unless_they_were_quoted() {
        let of = |what| chain(&Failed { what, source: io::Error::other("no room") });
        assert_eq!(of("the file is not written"), "the file is not written: no room");
        assert_eq!(of("the file is not written (no room)"), "the file is not written (no room)");
    }
}
