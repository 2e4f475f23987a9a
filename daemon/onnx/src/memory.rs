//! How much memory this process may still take.

use std::path::Path;

/// Bytes that are free for this process: what the machine can give without swapping, held down by the limits of its
/// control group of either version (`MemoryMax=` in a unit, a container's `--memory`). `None` where the system does not tell.
#[must_use]
pub fn usable_memory() -> Option<u64> {
    let machine = available(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let root = Path::new("/sys/fs/cgroup");
    let limits = [room(root, &groups), room_of_version_1(&root.join("memory"), &groups)];
    Some(limits.into_iter().flatten().fold(machine, u64::min))
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The least room on the way from the process's group to the root; `groups` is `/proc/self/cgroup` (version 2). Above
/// `memory.high` a group is held back to a crawl, so that counts as a limit too. Pages of files count as used and can be
/// taken back, so they are room, unless they are files in memory.
fn room(root: &Path, groups: &str) -> Option<u64> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let number = |folder: &Path, file: &str| -> Option<u64> {
        std::fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
    };
    let cached = |folder: &Path| -> Option<u64> {
        let stat = std::fs::read_to_string(folder.join("memory.stat")).ok()?;
        let of = |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        Some(of("file ")?.saturating_sub(of("shmem ").unwrap_or(0)))
    };
    let left = |folder: &Path| {
        let limit = ["memory.max", "memory.high"].into_iter().filter_map(|file| number(folder, file)).min()?;
        let used = number(folder, "memory.current")?.saturating_sub(cached(folder).unwrap_or(0));
        Some(limit.saturating_sub(used))
    };
    Path::new(own).ancestors().filter_map(|folder| left(&root.join(folder))).min()
}

/// The same of version 1, whose groups for memory stand in a tree of their own: `N:memory:/path`.
fn room_of_version_1(root: &Path, groups: &str) -> Option<u64> {
    let own = groups.lines().find_map(|line| line.split_once(":memory:/")).map(|(_, own)| own)?;
    let number = |folder: &Path, file: &str| -> Option<u64> {
        std::fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
    };
    let left = |folder: &Path| {
        let limit = number(folder, "memory.limit_in_bytes")?;
        let stat = std::fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let of = |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        let files = of("total_cache ").unwrap_or(0).saturating_sub(of("total_shmem ").unwrap_or(0));
        Some(limit.saturating_sub(number(folder, "memory.usage_in_bytes")?.saturating_sub(files)))
    };
    // A group without a limit says so with a number that no machine has.
    Path::new(own).ancestors().filter_map(|folder| left(&root.join(folder))).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_group_on_the_way_to_the_root_counts() {
        let root = tempfile::tempdir().unwrap();
        let service = root.path().join("system.slice/hob.service");
        std::fs::create_dir_all(&service).unwrap();
        let write = |folder: &Path, max: &str, current: &str, file: &str| {
            std::fs::write(folder.join("memory.max"), max).unwrap();
            std::fs::write(folder.join("memory.current"), current).unwrap();
            std::fs::write(folder.join("memory.stat"), format!("anon 5\nfile {file}\nshmem 0\n")).unwrap();
        };
        write(&service, "max\n", "700\n", "0");
        write(&root.path().join("system.slice"), "2000\n", "1500\n", "300");
        let groups = "0::/system.slice/hob.service\n";
        assert_eq!(room(root.path(), groups), Some(800), "files that are cached can go");
        write(&service, "1000\n", "900\n", "100");
        assert_eq!(room(root.path(), groups), Some(200));
        std::fs::write(service.join("memory.high"), "950\n").unwrap();
        std::fs::write(service.join("memory.stat"), "file 100\nshmem 60\n").unwrap();
        assert_eq!(room(root.path(), groups), Some(90), "held back above, and what lies in memory stays");
        assert_eq!(room(root.path(), "0::/\n"), None);
    }

    #[test]
    fn a_limit_of_version_1_counts_as_well() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("docker/hob");
        std::fs::create_dir_all(&group).unwrap();
        let write = |folder: &Path, limit: &str| {
            std::fs::write(folder.join("memory.limit_in_bytes"), limit).unwrap();
            std::fs::write(folder.join("memory.usage_in_bytes"), "900\n").unwrap();
            std::fs::write(folder.join("memory.stat"), "cache 1\ntotal_cache 300\ntotal_shmem 100\n").unwrap();
        };
        write(&root.path().join("docker"), "9223372036854771712\n");
        write(&group, "1000\n");
        let groups = "4:memory:/docker/hob\n0::/\n";
        assert_eq!(room_of_version_1(root.path(), groups), Some(300));
        assert_eq!(room_of_version_1(root.path(), "0::/\n"), None);
    }

    #[test]
    fn the_machine_tells_in_kibibytes() {
        assert_eq!(available("MemTotal:  100 kB\nMemAvailable:    42 kB\n"), Some(42 * 1024));
        assert_eq!(available("MemTotal: 100 kB\n"), None);
        assert!(usable_memory().is_some());
    }
}
