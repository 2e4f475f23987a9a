//! What is said, cut out of what is heard: begins with speech, ends with silence, and never goes on for ever.

use crate::FRAME_MS;
use serde::Deserialize;
use std::collections::VecDeque;

/// What counts as something said.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SegmentSettings {
    /// A frame that sounds like speech at least so much begins something, or goes on with it.
    pub speech: f32,
    /// One that is quieter is none, whatever it sounds like: decibels below full scale.
    pub least_dbfs: f32,
    /// So much has to be speech before it counts.
    pub begin_ms: u64,
    /// So much silence ends it.
    pub hangover_ms: u64,
    /// So much from before it began belongs to it.
    pub lead_ms: u64,
    /// What has less speech in it is dropped.
    pub least_ms: u64,
    /// What is longer is cut at its quietest place of late.
    pub longest_ms: u64,
}

impl Default for SegmentSettings {
    fn default() -> Self {
        Self {
            speech: 0.5,
            least_dbfs: -50.0,
            begin_ms: 96,
            hangover_ms: 640,
            lead_ms: 320,
            least_ms: 256,
            longest_ms: 29_600,
        }
    }
}

/// What comes of a frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// Somebody has begun to speak: these samples are the first of it.
    Began(Vec<f32>),
    /// They go on.
    More {
        /// The next samples.
        samples: Vec<f32>,
        /// Whether they are speech, and not a pause.
        spoken: bool,
    },
    /// They pause: this may have been all.
    Paused,
    /// It was not.
    Resumed,
    /// They have come to an end; `speech_ms` of it was speech.
    Ended {
        /// Without the silence.
        speech_ms: u64,
    },
    /// It was too short to have been anything.
    Dropped,
}

/// Cuts one stream of frames.
#[derive(Debug)]
pub struct Segmenter {
    settings: SegmentSettings,
    /// Frames from before it begins.
    lead: VecDeque<Vec<f32>>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nobody speaks; so many frames of speech in a row have been heard.
    Silence { speech: u64 },
    /// Somebody does.
    Speech { frames: u64, speech: u64, silence: u64 },
}

impl Segmenter {
    /// One that has heard nothing.
    #[must_use]
    pub fn new(settings: SegmentSettings) -> Self {
        Self { settings, lead: VecDeque::new(), state: State::Silence { speech: 0 } }
    }

    /// Whether somebody speaks.
    #[must_use]
    pub fn is_speech(&self) -> bool {
        matches!(self.state, State::Speech { .. })
    }

    /// Takes the next frame, and how much it sounds like speech.
    pub fn push(&mut self, frame: &[f32], speech: f32) -> Vec<Heard> {
        let spoken = speech >= self.settings.speech && dbfs(frame) >= self.settings.least_dbfs;
        match &mut self.state {
            State::Silence { speech: run } => {
                *run = if spoken { *run + 1 } else { 0 };
                let run = *run;
                self.lead.push_back(frame.to_vec());
                if run < frames(self.settings.begin_ms) {
                    let most = usize::try_from(frames(self.settings.lead_ms) + run).unwrap_or(usize::MAX);
                    self.lead.drain(..self.lead.len().saturating_sub(most));
                    return Vec::new();
                }
                let first: Vec<f32> = self.lead.drain(..).flatten().collect();
                self.state = State::Speech { frames: run, speech: run, silence: 0 };
                vec![Heard::Began(first)]
            }
            State::Speech { frames: all, speech, silence } => {
                *all += 1;
                let resumed = spoken && *silence >= frames(PAUSE_MS);
                if spoken {
                    *speech += 1;
                    *silence = 0;
                } else {
                    *silence += 1;
                }
                let (all, speech, silence) = (*all, *speech, *silence);
                let mut heard = if resumed { vec![Heard::Resumed] } else { Vec::new() };
                heard.push(Heard::More { samples: frame.to_vec(), spoken });
                if silence == frames(PAUSE_MS) {
                    heard.push(Heard::Paused);
                }
                let over = silence >= frames(self.settings.hangover_ms) || self.is_to_be_cut(all, silence);
                if over {
                    let speech_ms = speech * FRAME_MS;
                    heard.push(if speech_ms < self.settings.least_ms {
                        Heard::Dropped
                    } else {
                        Heard::Ended { speech_ms }
                    });
                    self.state = State::Silence { speech: 0 };
                }
                heard
            }
        }
    }

    /// The stream has come to an end, or the microphone was muted.
    pub fn end(&mut self) -> Option<Heard> {
        self.lead.clear();
        match std::mem::replace(&mut self.state, State::Silence { speech: 0 }) {
            State::Silence { .. } => None,
            State::Speech { speech, .. } if speech * FRAME_MS < self.settings.least_ms => Some(Heard::Dropped),
            State::Speech { speech, .. } => Some(Heard::Ended { speech_ms: speech * FRAME_MS }),
        }
    }

    /// In the last tenth of its time a breath is enough; then it ends wherever it is.
    fn is_to_be_cut(&self, all: u64, silence: u64) -> bool {
        const BREATH_MS: u64 = 96;
        let longest = frames(self.settings.longest_ms);
        all >= longest || all >= longest - longest / 10 && silence >= frames(BREATH_MS)
    }
}

/// So much silence is a pause: longer than between the words of a sentence mostly, shorter than what ends it.
const PAUSE_MS: u64 = 224;

/// How many frames last so long.
fn frames(ms: u64) -> u64 {
    ms.div_ceil(FRAME_MS).max(1)
}

/// The power of a frame in decibels of full scale; silence is far below any.
#[must_use]
pub fn dbfs(frame: &[f32]) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "a frame has some hundred samples")]
    let mean = frame.iter().map(|sample| sample * sample).sum::<f32>() / frame.len().max(1) as f32;
    10.0 * mean.max(1e-12).log10()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FRAME;
    use proptest::prelude::*;

    /// What is heard of frames that are speech or not, a letter for each: `s` speech, `.` silence, `t` a loud tone that is
    /// none, `q` speech too quiet to be meant.
    fn heard(script: &str, settings: SegmentSettings) -> String {
        let mut segmenter = Segmenter::new(settings);
        let mut told = String::new();
        let frame = |letter: char| match letter {
            's' => (vec![0.1; FRAME], 0.9),
            't' => (vec![0.5; FRAME], 0.1),
            'q' => (vec![0.0005; FRAME], 0.9),
            _ => (vec![0.0; FRAME], 0.0),
        };
        let mut tell = |heard: Heard| match heard {
            Heard::Began(samples) => told.push_str(&format!("[{}", samples.len() / FRAME)),
            Heard::More { .. } => told.push('+'),
            Heard::Paused => told.push('~'),
            Heard::Resumed => told.push('!'),
            Heard::Ended { speech_ms } => told.push_str(&format!("]{speech_ms} ")),
            Heard::Dropped => told.push_str("x "),
        };
        for letter in script.chars() {
            let (samples, speech) = frame(letter);
            segmenter.push(&samples, speech).into_iter().for_each(&mut tell);
        }
        segmenter.end().into_iter().for_each(&mut tell);
        told
    }

    fn short() -> SegmentSettings {
        SegmentSettings {
            begin_ms: 64,
            hangover_ms: 96,
            lead_ms: 64,
            least_ms: 96,
            longest_ms: 640,
            ..SegmentSettings::default()
        }
    }

    #[test]
    fn it_begins_with_speech_and_what_was_just_before_and_ends_with_silence() {
        assert_eq!(heard(".....ssss....", short()), "[4+++++]128 ");
        assert_eq!(heard("ss.s.s...", short()), "[2+++++++]128 ");
    }

    #[test]
    fn a_click_a_tone_and_a_whisper_begin_nothing() {
        assert_eq!(heard("..s..s..tttttt..qqqqqqq..", short()), "");
        assert_eq!(heard("..ss.....", short()), "[4+++x ");
    }

    #[test]
    fn what_does_not_end_is_cut_at_a_breath_or_at_its_longest() {
        assert_eq!(heard(&"s".repeat(45), short()), "[2++++++++++++++++++]640 [2++++++++++++++++++]640 [2+++]160 ");
        let breath = "s".repeat(18) + "..." + &"s".repeat(6) + "....";
        assert_eq!(
            heard(&breath, SegmentSettings { hangover_ms: 320, ..short() }),
            "[2++++++++++++++++++]576 [3++++++++]192 "
        );
    }

    proptest! {
        /// Every frame that belongs to something said is told once, in order, and nothing is said longer than it may be.
        #[test]
        fn nothing_is_told_twice_or_too_long(script in "[s.tq]{0,200}") {
            let mut segmenter = Segmenter::new(short());
            let (mut told, mut open) = (Vec::new(), None);
            for (place, letter) in script.chars().enumerate() {
                let (level, speech) = if letter == 's' { (0.1, 0.9) } else { (0.0, 0.0) };
                let mut frame = [level; FRAME];
                // Which one it is.
                frame[0] = place as f32 * 1e-3;
                for heard in segmenter.push(&frame, speech) {
                    match heard {
                        Heard::Began(samples) => { prop_assert!(open.is_none()); open = Some(samples.len()); told.extend(samples); }
                        Heard::More { samples, .. } => { *open.as_mut().unwrap() += samples.len(); told.extend(samples); }
                        Heard::Paused | Heard::Resumed => prop_assert!(open.is_some()),
                        Heard::Ended { .. } | Heard::Dropped => {
                            let frames = open.take().unwrap() / FRAME;
                            prop_assert!(frames as u64 <= frames_of(short().longest_ms) + frames_of(short().lead_ms));
                        }
                    }
                }
            }
            let places: Vec<f32> = told.chunks(FRAME).map(|frame| frame[0]).collect();
            prop_assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", places);
        }
    }

    fn frames_of(ms: u64) -> u64 {
        frames(ms)
    }
}
