//! How much memory this process may use: the machine's, or less where a control group says so.

use std::fs;
use std::path::Path;

/// What local models may use together unless the config says otherwise: three quarters of the machine's memory, or of the control
/// group's limit where that is lower. The rest is for calls, the ledger and the page cache.
pub fn default_memory() -> u64 {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| machine_total(&text));
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    // A system that says nothing bounds nothing.
    match machine.into_iter().chain(group_limit(&groups, read)).min() {
        Some(bytes) => bytes / 4 * 3,
        None => u64::MAX,
    }
}

fn machine_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// The lowest limit of the process's control groups and all above them, of either version.
fn group_limit(groups: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let mut lowest = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // Inside a container the path may be the host's, and only the root is to be seen.
        for group in Path::new(path.trim_start_matches('/')).ancestors() {
            let limit = read(&Path::new(root).join(group).join(file)).and_then(|text| text.trim().parse::<u64>().ok());
            lowest = lowest.into_iter().chain(limit).min();
        }
    }
    lowest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_limit_counts() {
        assert_eq!(machine_total("MemTotal:       24684176 kB\nMemFree: 1 kB\n"), Some(24_684_176 << 10));
        let files = |known: &'static [(&str, &str)]| {
            move |path: &Path| {
                known.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| (*text).to_owned())
            }
        };
        let second = files(&[
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/memory.max", "4096\n"),
            ("/sys/fs/cgroup/memory.max", "8192\n"),
        ]);
        assert_eq!(group_limit("0::/a/b\n", second), Some(4096));
        let first = files(&[
            ("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "9223372036854771712\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1024\n"),
        ]);
        assert_eq!(group_limit("5:devices:/x\n4:memory:/x\n0::/\n", first), Some(1024));
        assert_eq!(group_limit("0::/\n", files(&[])), None);
    }
}
