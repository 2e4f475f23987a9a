//! Which processors this process may really use, and how many threads that is worth.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZero;
use std::path::Path;

/// A core with less than this share of the fastest one's speed is one of the small ones: of Arm's pairings the small have a
/// half and less, the middle ones of three kinds four fifths, and cores of one kind differ by a tenth.
const FAST_SHARE: (u64, u64) = (3, 4);

/// Processors as the kernel describes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpus {
    /// How many are switched on.
    present: usize,
    /// Those that the process may run on, by number.
    allowed: BTreeSet<usize>,
    /// The fast ones of those, where they are of two kinds.
    fast: Option<BTreeSet<usize>>,
    /// How many the control group's quota is worth.
    quota: Option<usize>,
}

/// How many threads work on one operator, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crew {
    /// How many, at least one.
    pub threads: usize,
    /// The processors that they are held to; `None` leaves it to the kernel.
    pub on: Option<BTreeSet<usize>>,
    /// Why so many.
    pub why: CrewReason,
}

/// What a number of threads follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrewReason {
    /// The settings name it.
    Set,
    /// The control group's quota allows no more.
    Quota,
    /// As many as there are fast cores: a run waits for its slowest thread.
    FastCores,
    /// As many as the process may run on.
    Allowed,
}

impl Cpus {
    /// Those of this machine.
    #[must_use]
    pub fn here() -> Self {
        Self::look(Path::new("/"))
    }

    /// Those that `proc` and `sys` in `root` describe: `proc/self/status` and `proc/self/cgroup`, control groups of
    /// version 1 and 2 in `sys/fs/cgroup`, `sys/devices/system/cpu`. What cannot be read limits nothing.
    #[must_use]
    pub fn look(root: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
        let present = list(read("sys/devices/system/cpu/online").trim());
        let status = read("proc/self/status");
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).map(str::trim);
        let allowed = allowed.map(list).filter(|allowed| !allowed.is_empty());
        let counted = || (0..std::thread::available_parallelism().map_or(1, NonZero::get)).collect();
        let allowed = allowed.unwrap_or_else(counted);
        let fast = fast_of(&root.join("sys/devices/system/cpu"), &allowed);
        let quota = quota(&root.join("sys/fs/cgroup"), &read("proc/self/cgroup"));
        Self { present: present.len().max(allowed.len()), allowed, fast, quota }
    }

    /// The threads that a run gets here. More than the quota is worth take turns, and each run then waits for the slowest
    /// thread of a full house; so it does for a thread on a small core, unless `all_cores` are wanted.
    #[must_use]
    pub fn crew(&self, wanted: Option<NonZero<usize>>, all_cores: bool) -> Crew {
        let fast = self.fast.as_ref().filter(|_| !all_cores);
        let (cores, why) = match fast {
            Some(fast) => (fast.len(), CrewReason::FastCores),
            None => (self.allowed.len(), CrewReason::Allowed),
        };
        let (threads, why) = match (wanted, self.quota) {
            (Some(wanted), _) => (wanted.get(), CrewReason::Set),
            (None, Some(quota)) if quota < cores => (quota, CrewReason::Quota),
            (None, _) => (cores, why),
        };
        let threads = threads.max(1);
        // A number that was set may be larger than what is fast.
        let on = fast.filter(|fast| threads <= fast.len()).cloned();
        Crew { threads, on, why }
    }
}

/// `8 cores, 6 allowed, 2 of them fast, a quota of 4`
impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cores", self.present)?;
        if self.allowed.len() < self.present {
            write!(f, ", {} allowed", self.allowed.len())?;
        }
        if let Some(fast) = &self.fast {
            write!(f, ", {} of them fast", fast.len())?;
        }
        self.quota.map_or(Ok(()), |quota| write!(f, ", a quota of {quota}"))
    }
}

/// `2 threads, by the quota of its control group`
impl fmt::Display for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.why {
            CrewReason::Set => "as set",
            CrewReason::Quota => "by the quota of its control group",
            CrewReason::FastCores => "one for each fast core",
            CrewReason::Allowed => "one for each core",
        };
        let threads = if self.threads == 1 { "thread" } else { "threads" };
        write!(f, "{} {threads}, {why}", self.threads)
    }
}

impl Crew {
    /// What ONNX Runtime calls it: where each thread but the caller's may run, counted from 1. Nothing when that is the
    /// kernel's to decide, or when there are no others.
    pub(crate) fn affinities(&self) -> Option<String> {
        let on: Vec<String> = self.on.as_ref()?.iter().map(|cpu| (cpu + 1).to_string()).collect();
        let each = vec![on.join(","); self.threads.saturating_sub(1)];
        (!each.is_empty()).then(|| each.join(";"))
    }
}

/// A list as the kernel writes it: `0-3,8`. What is no number is passed over.
fn list(text: &str) -> BTreeSet<usize> {
    // No kernel counts further; a range is not to be believed blindly.
    const MOST: usize = 8192;
    let number = |text: &str| text.trim().parse::<usize>().ok().filter(|number| *number < MOST);
    let ranges = text.split(',').filter_map(|range| match range.split_once('-') {
        Some((from, to)) => Some(number(from)?..=number(to)?),
        None => number(range).map(|one| one..=one),
    });
    ranges.flatten().collect()
}

/// The fast ones of some processors, when they are of more than one kind. Arm tells their capacity, others at least the
/// highest frequency.
fn fast_of(folder: &Path, cpus: &BTreeSet<usize>) -> Option<BTreeSet<usize>> {
    let speeds = |file: &str| -> Option<Vec<(usize, u64)>> {
        let speed = |cpu: &usize| {
            let text = std::fs::read_to_string(folder.join(format!("cpu{cpu}")).join(file)).ok()?;
            Some((*cpu, text.trim().parse().ok()?))
        };
        cpus.iter().map(speed).collect()
    };
    let speeds = speeds("cpu_capacity").or_else(|| speeds("cpufreq/cpuinfo_max_freq"))?;
    let fastest = speeds.iter().map(|(_, speed)| *speed).max()?;
    let (share, of) = FAST_SHARE;
    let is_fast = |speed: u64| speed.saturating_mul(of) >= fastest.saturating_mul(share);
    let fast: BTreeSet<usize> = speeds.iter().filter(|(_, speed)| is_fast(*speed)).map(|(cpu, _)| *cpu).collect();
    (fast.len() < cpus.len()).then_some(fast)
}

/// The smallest quota on the way from the process's group to the root, in whole processors, rounded up. `groups` is
/// `/proc/self/cgroup`: `0::/path` of version 2, or `4:cpu,cpuacct:/path` of version 1.
fn quota(root: &Path, groups: &str) -> Option<usize> {
    let unified = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    let unified = unified.and_then(|own| {
        let read = |folder: &Path| -> Option<usize> {
            let max = std::fs::read_to_string(root.join(folder).join("cpu.max")).ok()?;
            let (quota, period) = max.trim().split_once(' ')?;
            whole_cpus(quota, period)
        };
        Path::new(own).ancestors().filter_map(read).min()
    });
    let of_cpu = groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, own) = rest.split_once(":/")?;
        controllers.split(',').any(|controller| controller == "cpu").then_some((controllers, own))
    });
    let own = of_cpu.and_then(|(controllers, own)| {
        let folder = [controllers, "cpu"].into_iter().map(|name| root.join(name)).find(|folder| folder.is_dir())?;
        let read = |group: &Path| -> Option<usize> {
            let text = |file: &str| std::fs::read_to_string(folder.join(group).join(file)).ok();
            whole_cpus(&text("cpu.cfs_quota_us")?, &text("cpu.cfs_period_us")?)
        };
        Path::new(own).ancestors().filter_map(read).min()
    });
    unified.into_iter().chain(own).min()
}

/// Microseconds of every so many; `max`, or -1, without a limit.
fn whole_cpus(quota: &str, period: &str) -> Option<usize> {
    let (quota, period): (usize, usize) = (quota.trim().parse().ok()?, period.trim().parse().ok()?);
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
    use proptest::prelude::*;

    /// A machine of files.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new(files: &[(&str, &str)]) -> Self {
            let machine = Self(tempfile::tempdir().unwrap());
            files.iter().for_each(|(path, text)| machine.write(path, text));
            machine
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }

        fn cores(self, file: &str, speeds: &[u64]) -> Self {
            for (cpu, speed) in speeds.iter().enumerate() {
                self.write(&format!("sys/devices/system/cpu/cpu{cpu}/{file}"), &format!("{speed}\n"));
            }
            self
        }

        fn told(&self) -> String {
            let cpus = Cpus::look(self.0.path());
            let crew = cpus.crew(None, false);
            format!("{cpus}: {crew}; {}", crew.affinities().unwrap_or_default())
        }
    }

    const STATUS: &str = "Name:\thob\nCpus_allowed_list:\t0-7\nMems_allowed_list:\t0\n";
    const ONLINE: (&str, &str) = ("sys/devices/system/cpu/online", "0-7\n");

    fn eight() -> Machine {
        Machine::new(&[("proc/self/status", STATUS), ONLINE, ("proc/self/cgroup", "0::/system.slice/hob.service\n")])
    }

    #[test]
    fn all_cores_of_one_kind_are_used() {
        insta::assert_snapshot!(eight().told(), @"8 cores: 8 threads, one for each core; ");
        let turbo =
            eight().cores("cpufreq/cpuinfo_max_freq", &[5_600, 5_600, 5_800, 5_800, 5_500, 5_500, 5_500, 5_500]);
        insta::assert_snapshot!(turbo.told(), @"8 cores: 8 threads, one for each core; ");
    }

    #[test]
    fn of_two_kinds_the_fast_ones_are_used_and_the_threads_held_to_them() {
        let rk3588 = eight().cores("cpu_capacity", &[530, 530, 530, 530, 1024, 1024, 1024, 1024]);
        insta::assert_snapshot!(rk3588.told(), @"8 cores, 4 of them fast: 4 threads, one for each fast core; 5,6,7,8;5,6,7,8;5,6,7,8");
        let by_clock =
            eight().cores("cpufreq/cpuinfo_max_freq", &[1_800, 1_800, 1_800, 1_800, 1_800, 1_800, 2_800, 2_800]);
        insta::assert_snapshot!(by_clock.told(), @"8 cores, 2 of them fast: 2 threads, one for each fast core; 7,8");
        let cpus = Cpus::look(by_clock.0.path());
        let all = Crew { threads: 8, on: None, why: CrewReason::Allowed };
        assert_eq!(cpus.crew(None, true), all);
        let set = cpus.crew(NonZero::new(4), false);
        assert_eq!((set.threads, set.on, set.why), (4, None, CrewReason::Set), "four do not fit on two");
    }

    #[test]
    fn the_tightest_quota_on_the_way_to_the_root_counts() {
        let machine = eight();
        machine.write("sys/fs/cgroup/system.slice/hob.service/cpu.max", "max 100000\n");
        machine.write("sys/fs/cgroup/system.slice/cpu.max", "150000 100000\n");
        insta::assert_snapshot!(machine.told(), @"8 cores, a quota of 2: 2 threads, by the quota of its control group; ");
        machine.write("sys/fs/cgroup/system.slice/hob.service/cpu.max", "50000 100000\n");
        insta::assert_snapshot!(machine.told(), @"8 cores, a quota of 1: 1 thread, by the quota of its control group; ");
    }

    #[test]
    fn a_quota_of_the_first_version_counts_too() {
        let machine = eight();
        machine.write("proc/self/cgroup", "11:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n");
        machine.write("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "-1\n");
        machine.write("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
        insta::assert_snapshot!(machine.told(), @"8 cores: 8 threads, one for each core; ");
        machine.write("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "250000\n");
        insta::assert_snapshot!(machine.told(), @"8 cores, a quota of 3: 3 threads, by the quota of its control group; ");
    }

    #[test]
    fn a_process_that_may_not_run_everywhere_counts_where_it_may() {
        let machine = eight().cores("cpu_capacity", &[1024, 1024, 400, 400, 400, 400, 400, 400]);
        machine.write("proc/self/status", "Cpus_allowed_list:\t1,4-5\n");
        insta::assert_snapshot!(machine.told(), @"8 cores, 3 allowed, 1 of them fast: 1 thread, one for each fast core; ");
    }

    #[test]
    fn what_cannot_be_read_limits_nothing() {
        let present = std::thread::available_parallelism().unwrap().get();
        let nothing = Cpus::look(Machine::new(&[]).0.path());
        assert_eq!(nothing.crew(None, false).threads, present);
        assert!(Cpus::here().crew(None, false).threads >= 1);
    }

    proptest! {
        #[test]
        fn any_list_is_read(text in "[0-9,\\- x]{0,24}") {
            prop_assert!(list(&text).len() <= 8192);
        }
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
}
