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

/// Instructions that make rounded matrices fast, by the names of `/proc/cpuinfo`, slowest first.
const WORTH_KNOWING: [&str; 9] =
    ["avx2", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8", "asimd", "asimddp", "i8mm", "sve"];

/// Which of the instructions that count for speed the processor has.
#[must_use]
pub fn cpu_features() -> Vec<&'static str> {
    features(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
}

/// x86 calls the line `flags`, Arm `Features`.
fn features(cpuinfo: &str) -> Vec<&'static str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("flags") || line.starts_with("Features"));
    let has = |name: &str| line.is_some_and(|line| line.split_whitespace().any(|word| word == name));
    WORTH_KNOWING.into_iter().filter(|name| has(name)).collect()
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
    fn instructions_are_read_from_either_kind_of_processor() {
        let pi = "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU part\t: 0xd08\n";
        assert_eq!(features(pi), ["asimd"]);
        assert_eq!(
            features("model name : avx2\nflags\t\t: fpu avx512f avx2 avx512_vnni\n"),
            ["avx2", "avx512f", "avx512_vnni"]
        );
        assert!(features("").is_empty());
    }

    #[test]
    fn without_a_quota_nothing_is_held_down() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(quota(root.path(), "0::/\n"), None);
        assert_eq!(quota(root.path(), "4:cpu:/old\n"), None);
        assert!(usable_cpus() >= 1);
    }
}
