//! A pace that a hot board can keep: rests between runs.
//!
//! ONNX Runtime settles its threads when a session is opened, so a hot processor cannot be given fewer of them later. It
//! is given time instead: what rests as long as it works makes half the heat. The kernel's own throttling comes later and
//! slows down everything on the board; this slows down the model alone.

use hob_onnx::{Heat, hottest};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Temperatures of a processor change over seconds; reading them costs a few small files.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// It has to cool down by so much before it is run at full speed again, so that the pace does not change at every look.
const MARGIN_CELSIUS: i32 = 5;

/// So far above the limit, three quarters of the time are rests.
const MUCH_CELSIUS: i32 = 10;

/// The pace of one model.
#[derive(Debug)]
pub(crate) struct Pace {
    /// From here on it is hot; `None` never looks.
    limit: Option<i32>,
    root: PathBuf,
    looked: Option<Instant>,
    level: Level,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Cool,
    Hot,
    VeryHot,
}

impl Pace {
    /// Watches the zones in `sys/class/thermal` of `root`.
    pub(crate) fn new(limit: Option<i32>, root: impl Into<PathBuf>) -> Self {
        Self { limit, root: root.into(), looked: None, level: Level::Cool }
    }

    /// How long to rest after a run that took `ran` and ended `now`.
    pub(crate) fn rest(&mut self, ran: Duration, now: Instant) -> Duration {
        let Some(limit) = self.limit else { return Duration::ZERO };
        if self.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= LOOK_EVERY) {
            self.looked = Some(now);
            self.look(limit);
        }
        match self.level {
            Level::Cool => Duration::ZERO,
            Level::Hot => ran,
            Level::VeryHot => ran.saturating_mul(3),
        }
    }

    fn look(&mut self, limit: i32) {
        let heat = hottest(&self.root);
        let level = level(self.level, limit, heat.as_ref());
        if let Some(heat) = heat.filter(|_| level != self.level) {
            match level {
                Level::Cool => tracing::info!(%heat, "the board has cooled down: the model runs at full speed"),
                Level::Hot => tracing::warn!(%heat, limit, "the board is hot: the model rests half of the time"),
                Level::VeryHot => tracing::warn!(%heat, limit, "the board is very hot: the model mostly rests"),
            }
        }
        self.level = level;
    }
}

fn level(before: Level, limit: i32, heat: Option<&Heat>) -> Level {
    // A sensor that has gone says nothing about heat.
    let Some(celsius) = heat.map(|heat| heat.celsius) else { return Level::Cool };
    let above = celsius.saturating_sub(limit);
    match before {
        _ if above >= MUCH_CELSIUS => Level::VeryHot,
        Level::VeryHot if above >= MUCH_CELSIUS - MARGIN_CELSIUS => Level::VeryHot,
        Level::Cool if above < 0 => Level::Cool,
        Level::Hot | Level::VeryHot if above < -MARGIN_CELSIUS => Level::Cool,
        Level::Cool | Level::Hot | Level::VeryHot => Level::Hot,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Board {
        root: tempfile::TempDir,
        pace: Pace,
        now: Instant,
    }

    impl Board {
        fn new(limit: Option<i32>) -> Self {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir_all(root.path().join("sys/class/thermal/thermal_zone0")).unwrap();
            fs::write(root.path().join("sys/class/thermal/thermal_zone0/type"), "cpu-thermal\n").unwrap();
            let pace = Pace::new(limit, root.path());
            Self { root, pace, now: Instant::now() }
        }

        /// The rest after a step of 100 ms, in milliseconds, at a temperature and after the next look.
        fn rest_at(&mut self, celsius: i32) -> u128 {
            let temp = self.root.path().join("sys/class/thermal/thermal_zone0/temp");
            fs::write(temp, format!("{celsius}000\n")).unwrap();
            self.now += LOOK_EVERY;
            self.pace.rest(Duration::from_millis(100), self.now).as_millis()
        }
    }

    #[test]
    fn a_hot_board_rests_as_long_as_it_works_until_it_has_cooled_down() {
        let mut board = Board::new(Some(80));
        let rests = [79, 80, 76, 75, 74, 79, 80].map(|celsius| board.rest_at(celsius));
        assert_eq!(rests, [0, 100, 100, 100, 0, 0, 100]);
    }

    #[test]
    fn a_very_hot_board_mostly_rests() {
        let mut board = Board::new(Some(80));
        let rests = [95, 86, 85, 84, 90, 60].map(|celsius| board.rest_at(celsius));
        assert_eq!(rests, [300, 300, 300, 100, 300, 0]);
    }

    #[test]
    fn the_temperature_is_not_read_at_every_step() {
        let mut board = Board::new(Some(80));
        assert_eq!(board.rest_at(90), 300);
        fs::remove_dir_all(board.root.path().join("sys")).unwrap();
        let soon = board.now + LOOK_EVERY / 2;
        assert_eq!(board.pace.rest(Duration::from_millis(100), soon).as_millis(), 300);
        let later = board.now + LOOK_EVERY;
        assert_eq!(board.pace.rest(Duration::from_millis(100), later).as_millis(), 0, "the sensor has gone");
    }

    #[test]
    fn without_a_limit_nothing_rests() {
        assert_eq!(Board::new(None).rest_at(120), 0);
    }
}
