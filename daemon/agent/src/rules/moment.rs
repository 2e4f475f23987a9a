//! When: times of day, cron, and the sun. The time is always told from outside; here it is only reckoned with.

use chrono::{DateTime, Datelike, NaiveTime, TimeDelta, Utc, Weekday};
use chrono_tz::Tz;
use croner::Cron;
use hob_events::UnixMs;
use serde::Deserialize;
use std::fmt;
use std::str::FromStr;
use sunrise::{Coordinates, SolarDay, SolarEvent};

/// Where the board stands, for times of day and the sun.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "WrittenPlace")]
pub struct Place {
    /// Which time its clocks show.
    pub zone: Tz,
    /// Degrees north and east, where they are told.
    pub position: Option<Coordinates>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenPlace {
    time_zone: Option<String>,
    latitude: Option<f64>,
    longitude: Option<f64>,
}

/// What is no place.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidPlace {
    /// No such zone.
    #[error("'{0}' is no time zone: write one like Europe/Berlin")]
    Zone(String),
    /// Half of a position, or one that is not on earth.
    #[error("a position is a `latitude` from -90 to 90 and a `longitude` from -180 to 180")]
    Position,
}

impl TryFrom<WrittenPlace> for Place {
    type Error = InvalidPlace;

    fn try_from(WrittenPlace { time_zone, latitude, longitude }: WrittenPlace) -> Result<Self, InvalidPlace> {
        let zone = time_zone.map(|zone| Tz::from_str(&zone).map_err(|_| InvalidPlace::Zone(zone)));
        let position = match (latitude, longitude) {
            (None, None) => None,
            (Some(north), Some(east)) => Some(Coordinates::new(north, east).ok_or(InvalidPlace::Position)?),
            (Some(_), None) | (None, Some(_)) => return Err(InvalidPlace::Position),
        };
        Ok(Self { zone: zone.transpose()?.unwrap_or(Tz::UTC), position })
    }
}

impl Default for Place {
    fn default() -> Self {
        Self { zone: Tz::UTC, position: None }
    }
}

impl Place {
    fn local(&self, at: UnixMs) -> Option<DateTime<Tz>> {
        let ms = i64::try_from(at.0).ok()?;
        Some(DateTime::<Utc>::from_timestamp_millis(ms)?.with_timezone(&self.zone))
    }
}

fn unix<Z: chrono::TimeZone>(time: &DateTime<Z>) -> Option<UnixMs> {
    u64::try_from(time.timestamp_millis()).ok().map(UnixMs)
}

/// A part of the day, on some days of the week.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "WrittenWindow")]
pub struct Window {
    from: NaiveTime,
    to: NaiveTime,
    /// The days on which it begins; empty for all.
    days: Vec<Weekday>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenWindow {
    from: String,
    to: String,
    #[serde(default)]
    days: Vec<String>,
}

/// Minutes of a day.
const DAY_MINUTES: i32 = 1_440;

/// What is no time of day or week.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidMoment {
    /// No time of day.
    #[error("'{0}' is no time of day: write 06:30")]
    Time(String),
    /// No day of the week.
    #[error("'{0}' is no day of the week: write mon, tue, wed, thu, fri, sat or sun")]
    Day(String),
    /// Farther from the sun than another day of it.
    #[error("{0} minutes from the sun is another day: at most {DAY_MINUTES}")]
    Minutes(i32),
    /// No cron pattern.
    #[error(
        "'{0}' is no cron pattern: {1} Write minute, hour, day of the month, month and day of the week, as in '30 6 * * 1-5'"
    )]
    Cron(String, String),
}

impl TryFrom<WrittenWindow> for Window {
    type Error = InvalidMoment;

    fn try_from(written: WrittenWindow) -> Result<Self, InvalidMoment> {
        let time =
            |text: &str| NaiveTime::parse_from_str(text, "%H:%M").map_err(|_| InvalidMoment::Time(text.to_owned()));
        let day = |text: String| Weekday::from_str(&text).map_err(|_| InvalidMoment::Day(text));
        let days = written.days.into_iter().map(day).collect::<Result<_, _>>()?;
        Ok(Self { from: time(&written.from)?, to: time(&written.to)?, days })
    }
}

impl Window {
    /// Whether a moment lies in it. One that ends before it begins goes on past midnight.
    pub(crate) fn holds(&self, at: UnixMs, place: &Place) -> bool {
        let Some(now) = place.local(at) else { return false };
        let (time, today) = (now.time(), now.weekday());
        let begins_on = |day: Weekday| self.days.is_empty() || self.days.contains(&day);
        if self.from < self.to {
            return (self.from..self.to).contains(&time) && begins_on(today);
        }
        time >= self.from && begins_on(today) || time < self.to && begins_on(today.pred())
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}–{}", self.from.format("%H:%M"), self.to.format("%H:%M"))?;
        self.days.iter().try_for_each(|day| write!(f, " {day}"))
    }
}

/// A moment that comes again and again.
#[derive(Debug, Clone, PartialEq)]
pub enum Moment {
    /// By a cron pattern of five fields, in local time.
    Cron(Box<Cron>),
    /// By the sun.
    Sun {
        /// Up or down.
        event: SunEvent,
        /// Minutes after it; before it where negative.
        minutes: i32,
    },
}

/// What the sun does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SunEvent {
    /// Its upper rim appears.
    Sunrise,
    /// Its upper rim is gone.
    Sunset,
}

/// As it is written.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum WrittenMoment {
    Cron(String),
    Sun {
        sun: SunEvent,
        #[serde(default)]
        minutes: i32,
    },
}

impl TryFrom<WrittenMoment> for Moment {
    type Error = InvalidMoment;

    fn try_from(written: WrittenMoment) -> Result<Self, InvalidMoment> {
        match written {
            WrittenMoment::Cron(pattern) => match Cron::from_str(&pattern) {
                Ok(cron) => Ok(Self::Cron(Box::new(cron))),
                Err(error) => {
                    Err(InvalidMoment::Cron(pattern, format!("{}.", error.to_string().trim_end_matches('.'))))
                }
            },
            WrittenMoment::Sun { minutes, .. } if minutes.abs() > DAY_MINUTES => Err(InvalidMoment::Minutes(minutes)),
            WrittenMoment::Sun { sun, minutes } => Ok(Self::Sun { event: sun, minutes }),
        }
    }
}

impl Moment {
    /// When it comes next after a moment; nothing where it never does, as the sun in a polar night of more than a year.
    pub(crate) fn after(&self, at: UnixMs, place: &Place) -> Option<UnixMs> {
        let now = place.local(at)?;
        match self {
            Self::Cron(cron) => unix(&cron.find_next_occurrence(&now, false).ok()?),
            Self::Sun { event, minutes } => {
                let position = place.position?;
                let event = match event {
                    SunEvent::Sunrise => SolarEvent::Sunrise,
                    SunEvent::Sunset => SolarEvent::Sunset,
                };
                // What the offset takes over midnight belongs to the day before.
                let days = now.date_naive().pred_opt()?.iter_days().take(368);
                let times = days.filter_map(|day| SolarDay::new(position, day).event_time(event));
                let times = times.filter_map(|time| unix(&(time + TimeDelta::minutes(i64::from(*minutes)))));
                times.into_iter().find(|time| *time > at)
            }
        }
    }

    /// Whether it needs to know where on earth the board stands.
    pub(crate) fn needs_position(&self) -> bool {
        matches!(self, Self::Sun { .. })
    }
}
