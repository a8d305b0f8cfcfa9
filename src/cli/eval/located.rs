//! Which suite is meant: one by name, or one in a file or a directory of its own.

use std::path::Path;

use anyhow::{Context as _, bail};
use backstop_eval::suite::Suite;

use super::super::installation::Installation;

/// The suite, and whether a certificate could name it: whether it is among the installation's.
pub(super) struct Located {
    pub(super) suite: Suite,
    pub(super) is_here: bool,
}

/// `named`: a suite's name, its header's path, or a directory that holds one suite.
pub(super) fn located(installation: &Installation, named: &str) -> anyhow::Result<Located> {
    let path = Path::new(named);
    if !named.contains('/') && !named.ends_with(".yaml") {
        return Ok(Located { suite: Suite::find(named, &installation.state.suites())?, is_here: true });
    }
    let header = if path.is_dir() { only_header(path)? } else { path.to_owned() };
    if !header.is_file() {
        bail!("{} is no suite; give a suite's name, its .yaml file, or a directory that holds it", header.display());
    }
    let name = header.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let directory = header.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let suite = Suite::find(name, directory)?;
    let is_here = Suite::identify(name, &installation.state.suites()).is_ok_and(|id| id == *suite.id());
    Ok(Located { suite, is_here })
}

fn only_header(directory: &Path) -> anyhow::Result<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut headers = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", directory.display()))?.path();
        if path.extension().is_some_and(|end| end == "yaml") && path.with_extension("jsonl").is_file() {
            headers.push(path);
        }
    }
    match headers.as_slice() {
        [only] => Ok(only.clone()),
        [] => bail!("{} holds no suite: a NAME.yaml with a NAME.jsonl", directory.display()),
        many => bail!("{} holds {} suites; name the .yaml of one", directory.display(), many.len()),
    }
}
