//! Files that somebody else may have put there: read whole, within a bound, and only where they are files.
//!
//! A named pipe would be waited for without end, and a device has no end: neither is opened.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::FileTypeExt as _,
    path::Path,
};

/// The bytes of a regular file, or of one that a link leads to.
///
/// # Errors
/// It cannot be read, is something else than a file, or has more than `most` bytes.
pub(crate) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let about = fs::metadata(path)?;
    if !about.is_file() {
        return Err(io::Error::other(format!("it is {}, not a file", kind(about.file_type()))));
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    if about.len() > most || File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)? as u64 > most {
        return Err(io::Error::other(format!("it is larger than {most} bytes")));
    }
    Ok(bytes)
}

/// As [`read`], of text.
pub(crate) fn read_text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read(path, most)?).map_err(|_| io::Error::other("it is not UTF-8 text"))
}

/// Whether there is anything of that name, also a link that leads nowhere.
pub(crate) fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn kind(kind: fs::FileType) -> &'static str {
    match () {
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () if kind.is_char_device() || kind.is_block_device() => "a device",
        () => "something else",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_read_and_only_within_the_bound() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        fs::write(&file, "four").expect("written");
        assert_eq!(read(&file, 4).expect("it fits"), b"four");
        let said = |path: &Path| read(path, 3).expect_err("it is refused").to_string();
        assert_eq!(said(&file), "it is larger than 3 bytes");
        assert_eq!(said(dir.path()), "it is a directory, not a file");
        assert_eq!(said(Path::new("/dev/zero")), "it is a device, not a file");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("link", &link).expect("linked");
        assert!(is_there(&link) && !link.exists());
        read(&link, 3).expect_err("it leads to itself");
    }
}
