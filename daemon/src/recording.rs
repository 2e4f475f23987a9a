//! Recordings of messages, for trying rules on: a JSON object in each line, as `mosquitto_sub -F %j` writes them, or by hand.

use chrono::DateTime;
use hob_events::UnixMs;
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A message of a recording, or time that passes in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Where it stands in the file.
    pub line: usize,
    /// When.
    pub at: UnixMs,
    /// What was said; nothing where only time passes.
    pub said: Option<Said>,
    /// The rules that have to act, from the moment before to this one; none where nothing is expected of it.
    pub expect: Option<Vec<String>>,
}

/// A message of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: String,
    /// Whether the broker had kept it from before.
    pub retained: bool,
}

/// Nobody records for so long, and a rule that goes by the clock would act millions of times.
const YEAR_MS: u64 = 366 * 86_400_000;

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadRecordingError {
    /// The file.
    #[error("{path}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A line of it.
    #[error("{path}, line {line}: {reason}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// A line, as it is written. Mosquitto's own names are `tst` and `retain`.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(alias = "tst")]
    at: Option<String>,
    after_ms: Option<u64>,
    topic: Option<String>,
    payload: Option<Value>,
    #[serde(default, alias = "retain")]
    retained: Value,
    expect: Option<Vec<String>>,
}

/// Reads a recording. Lines without a time come a second after the one before; time never goes back.
///
/// # Errors
/// [`ReadRecordingError`], with the line.
pub fn read_recording(path: &Path) -> Result<Vec<Recorded>, ReadRecordingError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ReadRecordingError::File { path: path.to_owned(), source })?;
    // A recording that says no time begins in a year that rules can reckon with.
    const BEGIN: UnixMs = UnixMs(1_767_225_600_000);
    let mut at = BEGIN;
    let mut moments: Vec<Recorded> = Vec::new();
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty() && !text.starts_with('#')) {
        let moment = read_line(line, text, at).map_err(|reason| ReadRecordingError::Line {
            path: path.to_owned(),
            line,
            reason,
        })?;
        if moments.first().is_some_and(|first| first.at.since(BEGIN) < 86_400_000 && moment.at.since(at) > YEAR_MS) {
            let reason = "the lines before it have no time: give the first one a time too".to_owned();
            return Err(ReadRecordingError::Line { path: path.to_owned(), line, reason });
        }
        at = moment.at;
        moments.push(moment);
    }
    Ok(moments)
}

fn read_line(line: usize, text: &str, before: UnixMs) -> Result<Recorded, String> {
    const STEP_MS: u64 = 1_000;
    let Line { at, after_ms, topic, payload, retained, expect } =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    let at = match (at, after_ms) {
        (Some(at), None) => time(&at)?,
        (None, Some(ms)) => before.plus_ms(ms),
        (None, None) => before.plus_ms(STEP_MS),
        (Some(_), Some(_)) => return Err("a line has `at` or `after_ms`, not both".to_owned()),
    };
    let retained = retained.as_bool().unwrap_or(retained.as_u64() == Some(1));
    let said = topic.map(|topic| {
        let payload = payload.unwrap_or_default();
        // Mosquitto writes nothing as `null`.
        let empty = || if payload.is_null() { String::new() } else { payload.to_string() };
        let payload = payload.as_str().map_or_else(empty, str::to_owned);
        Said { topic, payload, retained }
    });
    Ok(Recorded { line, at: at.max(before), said, expect })
}

/// `2026-11-27T20:15:00Z`, with or without fractions, and offsets as Mosquitto writes them (`+0100`).
fn time(text: &str) -> Result<UnixMs, String> {
    // Mosquitto 2.0 writes both a `Z` and the offset that the time has.
    let known = ["%Y-%m-%dT%H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%dT%H:%M:%S%.fZ%z"];
    let parsed = DateTime::parse_from_rfc3339(text)
        .or_else(|error| known.iter().find_map(|form| DateTime::parse_from_str(text, form).ok()).ok_or(error));
    let time = parsed.map_err(|_| format!("'{text}' is no time: write one like 2026-11-27T20:15:00Z"))?;
    u64::try_from(time.timestamp_millis()).map(UnixMs).map_err(|_| format!("'{text}' was before 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Recorded>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read_recording(file.path())
            .map_err(|error| error.to_string().replace(&*file.path().to_string_lossy(), "<file>"))
    }

    #[test]
    fn what_mosquitto_writes_and_what_people_write_is_read() {
        let moments = read(
            r##"{"tst":"2026-11-27T21:15:00.250000Z+0100","topic":"z/leak","qos":0,"retain":1,"payloadlen":3,"payload":"wet"}
# a comment

{"topic": "z/t", "payload": {"t": 21}, "expect": []}
{"after_ms": 60000, "expect": ["dead"]}
{"at": "2020-01-01T00:00:00Z", "topic": "z/old", "payload": 1}"##,
        )
        .unwrap();
        let told: Vec<(usize, u64, Option<String>)> = moments
            .iter()
            .map(|moment| (moment.line, moment.at.0, moment.said.as_ref().map(|said| said.payload.clone())))
            .collect();
        let begin = 1_795_810_500_250;
        assert_eq!(
            told,
            [
                (1, begin, Some("wet".to_owned())),
                (4, begin + 1_000, Some("{\"t\":21}".to_owned())),
                (5, begin + 61_000, None),
                (6, begin + 61_000, Some("1".to_owned())),
            ]
        );
        assert!(moments[0].said.as_ref().unwrap().retained && moments[2].expect.is_some());
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_line() {
        assert_eq!(
            read("\n{\"at\": \"yesterday\"}").unwrap_err(),
            "<file>, line 2: 'yesterday' is no time: write one like 2026-11-27T20:15:00Z"
        );
        assert_eq!(
            read("{\"topic\": \"a\"}\n{\"at\": \"2030-01-01T00:00:00Z\"}").unwrap_err(),
            "<file>, line 2: the lines before it have no time: give the first one a time too"
        );
        assert!(read("{").unwrap_err().starts_with("<file>, line 1: "));
    }
}
