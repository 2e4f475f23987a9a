//! How hot the processor is.

use std::fmt;
use std::path::Path;

/// A thermal zone and what it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heat {
    /// Degrees Celsius.
    pub celsius: i32,
    /// What the kernel calls the zone.
    pub zone: String,
}

/// `61 °C (cpu-thermal)`
impl fmt::Display for Heat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} °C ({})", self.celsius, self.zone)
    }
}

/// The hottest thermal zone of the processor in `sys/class/thermal` of `root`. Where none is named after it, the hottest
/// of all: small boards have one. Nothing in a container or a virtual machine, mostly.
#[must_use]
pub fn hottest(root: &Path) -> Option<Heat> {
    const OF_THE_PROCESSOR: [&str; 7] = ["cpu", "soc", "pkg", "core", "cluster", "package", "tdie"];
    let entries = std::fs::read_dir(root.join("sys/class/thermal")).ok()?;
    let zones = entries.filter_map(Result::ok).filter_map(|entry| {
        let text = |file: &str| std::fs::read_to_string(entry.path().join(file)).ok();
        let thousandths: i32 = text("temp")?.trim().parse().ok()?;
        // Sensors that are off or broken show what no running board has.
        let celsius = Some(thousandths / 1000).filter(|celsius| (-40..150).contains(celsius))?;
        Some(Heat { celsius, zone: text("type").unwrap_or_default().trim().to_owned() })
    });
    let is_cpu = |zone: &str| OF_THE_PROCESSOR.iter().any(|name| zone.to_lowercase().contains(name));
    zones.max_by_key(|heat| (is_cpu(&heat.zone), heat.celsius))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(zones: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (number, (kind, temp)) in zones.iter().enumerate() {
            let zone = root.path().join(format!("sys/class/thermal/thermal_zone{number}"));
            std::fs::create_dir_all(&zone).unwrap();
            std::fs::write(zone.join("type"), format!("{kind}\n")).unwrap();
            std::fs::write(zone.join("temp"), format!("{temp}\n")).unwrap();
        }
        root
    }

    fn shown(zones: &[(&str, &str)]) -> Option<String> {
        hottest(board(zones).path()).map(|heat| heat.to_string())
    }

    #[test]
    fn the_hottest_zone_of_the_processor_counts_before_any_other() {
        let board = [("battery", "41000"), ("bigcore0-thermal", "71500"), ("soc-thermal", "64000"), ("gpu", "90000")];
        assert_eq!(shown(&board).as_deref(), Some("71 °C (bigcore0-thermal)"));
        assert_eq!(shown(&[("acpitz", "48000"), ("wifi", "52000")]).as_deref(), Some("52 °C (wifi)"));
    }

    #[test]
    fn a_sensor_that_shows_nonsense_is_passed_over() {
        assert_eq!(shown(&[("cpu", "-274000"), ("soc", "200000"), ("x", "warm")]), None);
        assert_eq!(hottest(tempfile::tempdir().unwrap().path()), None);
    }
}
