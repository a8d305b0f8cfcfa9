//! The repository as text and tokens: files below the root, and Rust sources cut into words and punctuation.
//!
//! The tokens leave out comments and the insides of string and character literals, so that a rule on code never fires
//! on prose. Nothing here judges.

use std::{fs, io, path::Path};

/// Directories that hold what was built or fetched, never what was written.
const NOT_OURS: [&str; 6] = ["target", ".git", ".venv", "node_modules", "__pycache__", ".pytest_cache"];

/// Every text file of the repository.
#[derive(Debug, Default)]
pub struct Tree {
    pub files: Vec<File>,
}

#[derive(Debug, Clone)]
pub struct File {
    /// From the root, with `/`.
    pub path: String,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    /// From 1.
    pub line: usize,
}

impl Tree {
    /// Reads all UTF-8 files below `root`; others (images, weights) are passed over.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        tree.walk(root, "")?;
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    pub fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| File { path: (*path).into(), text: (*text).into() }).collect();
        Self { files }
    }

    /// Rust sources.
    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    fn walk(&mut self, directory: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() {
                if !NOT_OURS.contains(&name.as_str()) {
                    self.walk(&entry.path(), &format!("{path}/"))?;
                }
            } else if kind.is_file()
                && let Ok(text) = fs::read_to_string(entry.path())
            {
                self.files.push(File { path, text });
            }
        }
        Ok(())
    }
}

/// Words, `::` and single characters of punctuation; a literal is the token `""`.
pub fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let (mut at, mut line, mut out) = (0, 1, Vec::new());
    while at < chars.len() {
        let rest = &chars[at..];
        let (length, token) = next(rest);
        if let Some(text) = token {
            out.push(Token { text, line });
        }
        line += rest[..length].iter().filter(|&&c| c == '\n').count();
        at += length;
    }
    out
}

/// How many characters the next token or gap takes, and the token.
fn next(rest: &[char]) -> (usize, Option<String>) {
    let second = rest.get(1).copied();
    match rest[0] {
        '/' if second == Some('/') => (position(rest, 0, |c| c == '\n'), None),
        '/' if second == Some('*') => (block_comment(rest), None),
        '"' => (quoted(rest), Some("\"\"".into())),
        '\'' => character_or_lifetime(rest),
        'r' | 'b' | 'c' if literal_prefix(rest).is_some() => {
            (literal_prefix(rest).unwrap_or(rest.len()), Some("\"\"".into()))
        }
        c if c == '_' || c.is_alphanumeric() => {
            let length = position(rest, 1, |c| c != '_' && !c.is_alphanumeric());
            (length, Some(rest[..length].iter().collect()))
        }
        ':' if second == Some(':') => (2, Some("::".into())),
        c if c.is_whitespace() => (1, None),
        c => (1, Some(c.to_string())),
    }
}

fn position(rest: &[char], from: usize, found: impl Fn(char) -> bool) -> usize {
    (from..rest.len()).find(|&at| found(rest[at])).unwrap_or(rest.len())
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at + 1 < rest.len() {
        match (rest[at], rest[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') if depth == 1 => return at + 2,
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a literal that opens with a double quote, escapes heeded.
fn quoted(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a raw, byte or C string, or a byte character, when `rest` opens one.
fn literal_prefix(rest: &[char]) -> Option<usize> {
    let letters = position(rest, 0, |c| !matches!(c, 'r' | 'b' | 'c'));
    let hashes = position(&rest[letters..], 0, |c| c != '#');
    let raw = rest[..letters].contains(&'r');
    match rest.get(letters + hashes) {
        Some('"') if raw && letters <= 2 => {
            let open = letters + hashes + 1;
            let close = (open..rest.len()).find(|&at| {
                rest[at] == '"' && rest[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes
            });
            Some(close.map_or(rest.len(), |at| at + 1 + hashes))
        }
        Some('"') if hashes == 0 && letters == 1 => Some(1 + quoted(&rest[1..])),
        Some('\'') if hashes == 0 && letters == 1 && rest[0] == 'b' => Some(1 + character_or_lifetime(&rest[1..]).0),
        _ => None,
    }
}

fn character_or_lifetime(rest: &[char]) -> (usize, Option<String>) {
    let literal = Some("\"\"".into());
    match (rest.get(1), rest.get(2)) {
        (Some('\\'), _) => (position(rest, 3, |c| c == '\'') + 1, literal),
        (Some(_), Some('\'')) => (3, literal),
        _ => (1, None),
    }
}
