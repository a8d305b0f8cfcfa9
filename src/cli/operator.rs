//! Who runs the command line, as the operating system knows them.

use std::{fs, os::unix::fs::MetadataExt as _};

use crate::domain::Actor;

/// The user of this process and this machine's name. A user without a name (in a container, say) is known by the number.
pub(super) fn operator() -> Actor {
    let number = || fs::metadata("/proc/self").ok().map(|data| format!("uid {}", data.uid()));
    let name = whoami::username().ok().filter(|name| !name.is_empty()).or_else(number);
    Actor::os_user(name, whoami::hostname().ok().filter(|name| !name.is_empty()))
}
