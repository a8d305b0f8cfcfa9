//! The rules, each a function from the tree to what breaks it.
//!
//! Pure: a rule sees only the text it is given.

use std::fmt;

use super::source::{File, Token, Tree, tokens};

/// The rooms of `src/`, the lowest first; a room uses only rooms before it.
const ROOMS: [&str; 20] = [
    "domain", "clock", "config", "observe", "store", "dialect", "vault", "audit", "ledger", "limit", "route", "vendor",
    "relay", "release", "alert", "api", "admin", "app", "cli", "main",
];

/// The packages by directory and crate name, the lowest first.
const PACKAGES: [(&str, &str); 3] = [("models/", "backstop_models"), ("eval/", "backstop_eval"), ("src/", "backstop")];

const CEILING: usize = 400;

/// Lines a function may have, from its `fn` to its closing brace.
const FUNCTION_CEILING: usize = 80;

/// Files that may pass the ceiling, and why.
const LONG: [(&str, &str); 0] = [];

const VAGUE: [&str; 6] = ["helpers", "helper", "common", "utils", "types", "misc"];

/// Where `unsafe` may stand.
const KERNELS: [&str; 2] = ["models/src/kernel/", "models/src/kernel.rs"];

pub type Rule = fn(&Tree) -> Vec<Violation>;

#[derive(Debug, PartialEq, Eq)]
pub struct Violation {
    pub path: String,
    pub line: usize,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}:{}: {}", self.path, self.line, self.what)
    }
}

/// A room mentions a room after it, by `crate::`, by `super::`, or through a glob that hides which.
pub fn upward_edges(tree: &Tree) -> Vec<Violation> {
    let mut out = Vec::new();
    for file in tree.rust().filter(|file| file.path.starts_with("src/") && file.path != "src/lib.rs") {
        let module = module_path(&file.path);
        let Some(here) = rank(&module[0]) else {
            out.push(violation(file, 1, format!("`{}` is no room; rooms: {}", module[0], ROOMS.join(" "))));
            continue;
        };
        for (target, line) in mentions(&tokens(&file.text), &module) {
            match rank(&target) {
                Some(there) if there <= here => {}
                Some(_) => {
                    out.push(violation(file, line, format!("room `{}` uses `{target}`, a later room", module[0])))
                }
                None => out.push(violation(file, line, format!("`crate::{target}` names no room"))),
            }
        }
    }
    out
}

/// A package mentions one that stands on it. The manifests keep that too; this also catches a new edge in them.
pub fn upward_packages(tree: &Tree) -> Vec<Violation> {
    let mut out = Vec::new();
    for (here, (directory, _)) in PACKAGES.iter().enumerate() {
        let above: Vec<&str> = PACKAGES[here + 1..].iter().map(|(_, name)| *name).collect();
        for file in tree.files.iter().filter(|file| file.path.starts_with(directory)) {
            if file.path.ends_with(".rs") {
                let stray = tokens(&file.text).into_iter().filter(|token| above.contains(&token.text.as_str()));
                out.extend(
                    stray.map(|token| violation(file, token.line, format!("uses the package `{}`", token.text))),
                );
            } else if file.path == format!("{directory}Cargo.toml") {
                let depends = |line: &str| above.iter().any(|name| is_dependency(line, &name.replace('_', "-")));
                let lines = file.text.lines().enumerate().filter(|(_, line)| depends(line));
                out.extend(lines.map(|(at, line)| violation(file, at + 1, format!("depends upward: {line}"))));
            }
        }
    }
    out
}

pub fn long_files(tree: &Tree) -> Vec<Violation> {
    let listed = |path: &str| LONG.iter().any(|(long, _)| *long == path);
    let mut out = Vec::new();
    for file in tree.rust() {
        let lines = file.text.lines().count();
        if lines > CEILING && !listed(&file.path) {
            out.push(violation(file, lines, format!("{lines} lines, more than {CEILING}: it holds two ideas")));
        } else if lines <= CEILING && listed(&file.path) {
            out.push(violation(file, 1, "listed as long, and is not: take it off the list".into()));
        }
    }
    out
}

pub fn long_functions(tree: &Tree) -> Vec<Violation> {
    let mut out = Vec::new();
    for file in tree.rust() {
        let tokens = tokens(&file.text);
        for at in 0..tokens.len().saturating_sub(1) {
            let name = &tokens[at + 1].text;
            // `fn(…)` is a type, not a function.
            if tokens[at].text != "fn" || name == "(" {
                continue;
            }
            let lines = body_end(&tokens[at..]).map_or(0, |end| end + 1 - tokens[at].line);
            if lines > FUNCTION_CEILING {
                let what = format!("`{name}` has {lines} lines, more than {FUNCTION_CEILING}");
                out.push(violation(file, tokens[at].line, what));
            }
        }
    }
    out
}

pub fn missing_headers(tree: &Tree) -> Vec<Violation> {
    let without = tree.rust().filter(|file| !file.text.starts_with("//!"));
    without.map(|file| violation(file, 1, "does not open with `//!`".into())).collect()
}

pub fn vague_names(tree: &Tree) -> Vec<Violation> {
    let mut out = Vec::new();
    for file in tree.rust() {
        let words: Vec<&str> = file.path.trim_end_matches(".rs").split('/').collect();
        if words.last() == Some(&"mod") {
            out.push(violation(file, 1, "`mod.rs`: write foo.rs beside foo/".into()));
        }
        for word in words.iter().filter(|word| VAGUE.contains(word)) {
            out.push(violation(file, 1, format!("`{word}` says nothing of what is in it")));
        }
    }
    out
}

pub fn allowed_lints(tree: &Tree) -> Vec<Violation> {
    token_windows(tree, |window| {
        let texts: Vec<&str> = window.iter().map(|token| token.text.as_str()).collect();
        matches!(texts[..], ["#", "[", "allow", ..] | ["#", "!", "[", "allow"])
            .then_some("`allow`: use `expect` with a reason")
    })
}

pub fn stray_unsafe(tree: &Tree) -> Vec<Violation> {
    let mut out = token_windows(tree, |window| (window[0].text == "unsafe").then_some("`unsafe` outside the kernels"));
    out.retain(|violation| !KERNELS.iter().any(|kernel| violation.path.starts_with(kernel)));
    out
}

/// Clients know their registries; a host in the repository would bind a user to ours.
pub fn registry_hosts(tree: &Tree) -> Vec<Violation> {
    // In two halves, so that this file does not break its own rule.
    let halves = [
        ("registry.npm", "js.org"),
        ("npm", "js.com"),
        ("registry.yarn", "pkg.com"),
        ("py", "pi.org"),
        ("python", "hosted.org"),
        ("index.crates", ".io"),
        ("static.crates", ".io"),
        ("crates.io/", "api"),
        ("deb.deb", "ian.org"),
    ];
    let hosts: Vec<String> = halves.iter().map(|(a, b)| format!("{a}{b}")).collect();
    let mut out = Vec::new();
    for file in &tree.files {
        for (at, line) in file.text.lines().enumerate() {
            for host in hosts.iter().filter(|host| line.contains(host.as_str())) {
                out.push(violation(file, at + 1, format!("names the registry host `{host}`")));
            }
        }
    }
    out
}

fn violation(file: &File, line: usize, what: String) -> Violation {
    Violation { path: file.path.clone(), line, what }
}

fn rank(room: &str) -> Option<usize> {
    ROOMS.iter().position(|name| *name == room)
}

fn is_dependency(line: &str, name: &str) -> bool {
    line.trim().strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '.', '=']))
}

/// `src/config/settings.rs` is `[config, settings]`.
fn module_path(path: &str) -> Vec<String> {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    inner.split('/').map(str::to_owned).collect()
}

/// The rooms that `tokens`, found in `module`, mention, each with its line.
fn mentions(tokens: &[Token], module: &[String]) -> Vec<(String, usize)> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut out = Vec::new();
    // Inline modules that are open, each with the brace depth it closes at: `super` counts from them.
    let (mut inline, mut depth): (Vec<usize>, usize) = (Vec::new(), 0);
    for at in 0..tokens.len() {
        match text(at) {
            "{" => {
                if at >= 2 && text(at - 2) == "mod" {
                    inline.push(depth);
                }
                depth += 1;
            }
            "}" => {
                depth = depth.saturating_sub(1);
                if inline.last() == Some(&depth) {
                    inline.pop();
                }
            }
            "crate" if text(at + 1) == "::" => out.extend(heads(tokens, at + 2)),
            "super" if text(at + 1) == "::" && (at < 2 || text(at - 2) != "super") => {
                let mut up = 1;
                while text(at + 2 * up) == "super" && text(at + 2 * up + 1) == "::" {
                    up += 1;
                }
                if up == module.len() + inline.len() {
                    out.extend(heads(tokens, at + 2 * up));
                }
            }
            _ => {}
        }
    }
    out
}

/// The first names of a path or of each path in a `{…}` group that starts at `at`.
fn heads(tokens: &[Token], at: usize) -> Vec<(String, usize)> {
    let Some(first) = tokens.get(at) else { return Vec::new() };
    if first.text != "{" {
        return vec![(first.text.clone(), first.line)];
    }
    let (mut out, mut depth, mut fresh) = (Vec::new(), 0, false);
    for token in &tokens[at..] {
        match token.text.as_str() {
            "{" => {
                depth += 1;
                fresh = depth == 1;
            }
            "}" => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            "," => fresh = depth == 1,
            _ if fresh => {
                out.push((token.text.clone(), token.line));
                fresh = false;
            }
            _ => {}
        }
    }
    out
}

/// The line of the brace that closes the body of the function that `tokens` start with; `None`: it has no body.
fn body_end(tokens: &[Token]) -> Option<usize> {
    // Braces inside parentheses or brackets (a const generic, say) are not the body.
    let (mut nested, mut depth) = (0_i32, 0);
    for token in tokens {
        match token.text.as_str() {
            "(" | "[" => nested += 1,
            ")" | "]" => nested -= 1,
            ";" if nested == 0 && depth == 0 => return None,
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if depth == 0 {
                    return Some(token.line);
                }
            }
            _ => {}
        }
    }
    None
}

fn token_windows(tree: &Tree, judge: impl Fn(&[Token]) -> Option<&'static str>) -> Vec<Violation> {
    let mut out = Vec::new();
    for file in tree.rust() {
        let tokens = tokens(&file.text);
        for at in 0..tokens.len() {
            if let Some(what) = judge(&tokens[at..tokens.len().min(at + 4)]) {
                out.push(violation(file, tokens[at].line, what.into()));
            }
        }
    }
    out
}
