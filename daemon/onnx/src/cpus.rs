//! How many processors this process may really use.

use std::num::NonZero;
use std::path::Path;

/// Processors that the process may run on, held down by the CPU quota of its control group (`CPUQuota=` in a unit, a
/// container's `--cpus`). At least one.
///
/// More threads than that take turns: each run then waits for the slowest thread of a full house.
#[must_use]
pub fn usable_cpus() -> usize {
    let present = std::thread::available_parallelism().map_or(1, NonZero::get);
    let quota = std::fs::read_to_string("/proc/self/cgroup")
        .ok()
        .and_then(|groups| quota(Path::new("/sys/fs/cgroup"), &groups));
    present.min(quota.unwrap_or(present)).max(1)
}

/// The smallest quota on the way from the process's group to the root, in whole processors, rounded up.
/// `groups` is `/proc/self/cgroup`; only version 2 (`0::/path`) is asked.
fn quota(root: &Path, groups: &str) -> Option<usize> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let folders = Path::new(own).ancestors().map(|folder| root.join(folder));
    folders.filter_map(|folder| whole_cpus(&std::fs::read_to_string(folder.join("cpu.max")).ok()?)).min()
}

/// `cpu.max` is "quota period" in microseconds, or "max period" without a limit.
fn whole_cpus(max: &str) -> Option<usize> {
    let (quota, period) = max.trim().split_once(' ')?;
    let (quota, period): (usize, usize) = (quota.parse().ok()?, period.parse().ok()?);
    (period > 0).then(|| quota.div_ceil(period).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_quota_on_the_way_to_the_root_counts() {
        let root = tempfile::tempdir().unwrap();
        let service = root.path().join("system.slice/hob.service");
        std::fs::create_dir_all(&service).unwrap();
        std::fs::write(service.join("cpu.max"), "max 100000\n").unwrap();
        std::fs::write(root.path().join("system.slice/cpu.max"), "150000 100000\n").unwrap();
        assert_eq!(quota(root.path(), "0::/system.slice/hob.service\n"), Some(2));
        std::fs::write(service.join("cpu.max"), "50000 100000\n").unwrap();
        assert_eq!(quota(root.path(), "0::/system.slice/hob.service\n"), Some(1));
    }

    #[test]
    fn without_a_quota_nothing_is_held_down() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(quota(root.path(), "0::/\n"), None);
        assert_eq!(quota(root.path(), "4:cpu:/old\n"), None);
        assert!(usable_cpus() >= 1);
    }
}
