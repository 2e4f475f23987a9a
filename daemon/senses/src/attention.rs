//! Whether what is said is meant for hob: the one place that decides which samples may go on.
//!
//! Speech counts after a push, after the wake phrase, for a while after an answer, or always where the owner wants it. While
//! hob itself speaks it hears itself, so only a push and the wake phrase count then. While muted nothing gets past here,
//! whatever else is told.

use crate::FRAME_MS;
use crate::segment::Heard;
use serde::{Deserialize, Serialize};

/// What makes hob listen to a microphone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Begin {
    /// A button, over MQTT or the socket.
    #[default]
    Push,
    /// The wake phrase, or a push.
    Wake,
    /// Whatever is said in the room.
    Speech,
}

/// When speech counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionSettings {
    /// What makes hob listen.
    pub begin: Begin,
    /// How long after a push or the wake phrase alone somebody may begin to speak.
    pub open_ms: u64,
    /// How long after an answer speech counts by itself; 0 for never.
    pub follow_up_ms: u64,
    /// The microphone does not hear what hob says: its server of sounds takes that out.
    pub echo_cancelled: bool,
}

/// What is told to it.
#[derive(Debug, Clone, PartialEq)]
pub enum Cue {
    /// Something is said, or goes on, or ends.
    Heard(Heard),
    /// The wake phrase was just heard.
    Woken,
    /// The button was pressed, or let go.
    Push(bool),
    /// Whether the microphone is muted.
    Mute(bool),
    /// Whether hob speaks.
    Speaking(bool),
    /// What was said is answered.
    Answered,
}

/// What gets past.
#[derive(Debug, Clone, PartialEq)]
pub enum Meant {
    /// Something begins that is meant for hob; these are its first samples.
    Began {
        /// Its first samples, at 16 kHz.
        samples: Vec<f32>,
        /// The wake phrase or a push called for it: nothing that merely sounded like speech.
        called: bool,
    },
    /// It goes on.
    More(Vec<f32>),
    /// It may have been all.
    Paused,
    /// It was not.
    Resumed,
    /// It is whole; so much of it was speech.
    Ended {
        /// Without the silence.
        speech_ms: u64,
    },
    /// It was nothing, or may not be used any more.
    Dropped,
}

/// See the module.
#[derive(Debug)]
pub struct Attention {
    settings: AttentionSettings,
    muted: bool,
    speaking: bool,
    /// Until when whatever begins counts, and whether somebody called for it.
    open: Option<(u64, bool)>,
    now: Now,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Now {
    /// Nobody speaks.
    Silence,
    /// Somebody speaks to somebody else, as far as is known.
    Passing,
    /// Somebody speaks to hob.
    Listening {
        /// So many frames have been passed on since they began or called.
        frames: u64,
        /// Called in the midst of it, so many of these were speech: what was said before does not count.
        since_call: Option<u64>,
        /// The phrase or a push called for it.
        called: bool,
    },
}

impl Attention {
    /// One that has heard nothing.
    #[must_use]
    pub fn new(settings: AttentionSettings, muted: bool) -> Self {
        Self { settings, muted, speaking: false, open: None, now: Now::Silence }
    }

    /// Whether it is muted.
    #[must_use]
    pub fn is_muted(&self) -> bool {
        self.muted
    }

    /// Whether somebody speaks to hob.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        matches!(self.now, Now::Listening { .. })
    }

    /// Takes up what is told at a moment, in milliseconds of a clock that never goes back, and says what gets past.
    pub fn cue(&mut self, at_ms: u64, cue: Cue) -> Option<Meant> {
        match cue {
            Cue::Mute(muted) => {
                self.muted = muted;
                self.open = None;
                self.drop_it()
            }
            Cue::Heard(_) | Cue::Woken | Cue::Push(_) | Cue::Speaking(_) | Cue::Answered if self.muted => {
                if let Cue::Speaking(speaking) = cue {
                    self.speaking = speaking;
                }
                None
            }
            Cue::Heard(heard) => self.heard(at_ms, heard),
            Cue::Woken | Cue::Push(true) => self.called(at_ms, cue == Cue::Woken),
            Cue::Push(false) => self.let_go(),
            Cue::Speaking(speaking) => {
                self.speaking = speaking;
                // What nobody called for would go on with hob's own words.
                let uncalled = matches!(self.now, Now::Listening { called: false, .. });
                if speaking && uncalled && !self.settings.echo_cancelled {
                    let dropped = self.drop_it();
                    self.now = Now::Passing;
                    return dropped;
                }
                None
            }
            Cue::Answered => {
                if self.settings.follow_up_ms > 0 {
                    self.open(at_ms, at_ms + self.settings.follow_up_ms, false);
                }
                None
            }
        }
    }

    fn heard(&mut self, at_ms: u64, heard: Heard) -> Option<Meant> {
        match (heard, self.now) {
            (Heard::Began(samples), _) => match self.counts(at_ms) {
                Some(called) => {
                    self.now = Now::Listening { frames: 1, since_call: None, called };
                    Some(Meant::Began { samples, called })
                }
                None => {
                    self.now = Now::Passing;
                    None
                }
            },
            (Heard::More { samples, spoken }, Now::Listening { frames, since_call, called }) => {
                let since_call = since_call.map(|speech| speech + u64::from(spoken));
                self.now = Now::Listening { frames: frames + 1, since_call, called };
                Some(if frames == 0 { Meant::Began { samples, called: true } } else { Meant::More(samples) })
            }
            (Heard::Paused, Now::Listening { frames, .. }) => (frames > 0).then_some(Meant::Paused),
            (Heard::Resumed, Now::Listening { frames, .. }) => (frames > 0).then_some(Meant::Resumed),
            (Heard::Ended { speech_ms }, Now::Listening { frames, since_call, .. }) => {
                self.now = Now::Silence;
                if frames == 0 {
                    return None;
                }
                let after_call_ms = since_call.map(|speech| speech * FRAME_MS);
                if after_call_ms.is_some_and(|ms| ms < LEAST_AFTER_CALL_MS) {
                    // The phrase and a pause: what is wanted follows.
                    return Some(Meant::Dropped);
                }
                self.open = None;
                Some(Meant::Ended { speech_ms: after_call_ms.unwrap_or(speech_ms) })
            }
            (Heard::Dropped, Now::Listening { frames, .. }) => {
                self.now = Now::Silence;
                (frames > 0).then_some(Meant::Dropped)
            }
            (Heard::More { .. } | Heard::Paused | Heard::Resumed, Now::Silence | Now::Passing) => None,
            (Heard::Ended { .. } | Heard::Dropped, Now::Silence | Now::Passing) => {
                self.now = Now::Silence;
                None
            }
        }
    }

    /// Whether what begins now is meant for hob, and if so, whether somebody called for it.
    fn counts(&self, at_ms: u64) -> Option<bool> {
        let open = self.open.filter(|(until, _)| at_ms <= *until).map(|(_, called)| called);
        let deafened = self.speaking && !self.settings.echo_cancelled;
        match open {
            Some(true) => Some(true),
            Some(false) if !deafened => Some(false),
            Some(false) | None => (self.settings.begin == Begin::Speech && !deafened).then_some(false),
        }
    }

    /// Somebody called. What they say from here on is meant for hob; what they said so far was the phrase, or for others.
    fn called(&mut self, at_ms: u64, by_phrase: bool) -> Option<Meant> {
        let was = self.now;
        self.open(at_ms, at_ms + self.settings.open_ms, true);
        let from_here = Now::Listening { frames: 0, since_call: Some(0), called: true };
        match was {
            Now::Silence => None,
            // Who presses the button in the midst of a sentence began it for hob already.
            Now::Listening { frames, since_call, .. } if !by_phrase || frames == 0 => {
                self.now = Now::Listening { frames, since_call, called: true };
                None
            }
            Now::Listening { .. } => {
                self.now = from_here;
                Some(Meant::Dropped)
            }
            Now::Passing => {
                self.now = from_here;
                None
            }
        }
    }

    fn open(&mut self, at_ms: u64, until: u64, called: bool) {
        let open = self.open.filter(|(before, _)| at_ms <= *before);
        let later = open.is_none_or(|(before, by_call)| (called && !by_call) || (called == by_call && until > before));
        if later {
            self.open = Some((until, called));
        }
    }

    /// The button was let go: what was said is all.
    fn let_go(&mut self) -> Option<Meant> {
        self.open = None;
        let Now::Listening { frames, since_call, .. } = self.now else { return None };
        self.now = Now::Passing;
        (frames > 0).then_some(Meant::Ended { speech_ms: since_call.unwrap_or(frames) * FRAME_MS })
    }

    fn drop_it(&mut self) -> Option<Meant> {
        match std::mem::replace(&mut self.now, Now::Silence) {
            Now::Listening { frames, .. } if frames > 0 => Some(Meant::Dropped),
            Now::Listening { .. } | Now::Silence | Now::Passing => None,
        }
    }
}

/// After the wake phrase in the same breath, less speech than this is only its echo.
const LEAST_AFTER_CALL_MS: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn settings(begin: Begin) -> AttentionSettings {
        AttentionSettings { begin, open_ms: 5_000, follow_up_ms: 6_000, echo_cancelled: false }
    }

    /// What gets past of a script: `b` somebody begins, `m` goes on, `n` pauses, `e` ends, `x` was too short, `w` the phrase, `p` and `q`
    /// the button, `s` and `t` hob begins and ends to speak, `a` an answer, `M` and `U` muted and not, `.` a second passes.
    fn past(begin: Begin, script: &str) -> String {
        let mut attention = Attention::new(settings(begin), false);
        let (mut at, mut told) = (0, String::new());
        for letter in script.chars() {
            at += 32;
            let cue = match letter {
                'b' => Cue::Heard(Heard::Began(vec![0.0])),
                'm' | 'n' => Cue::Heard(Heard::More { samples: vec![0.0], spoken: letter == 'm' }),
                'e' => Cue::Heard(Heard::Ended { speech_ms: 900 }),
                '~' => Cue::Heard(Heard::Paused),
                'x' => Cue::Heard(Heard::Dropped),
                'w' => Cue::Woken,
                'p' | 'q' => Cue::Push(letter == 'p'),
                's' | 't' => Cue::Speaking(letter == 's'),
                'M' | 'U' => Cue::Mute(letter == 'M'),
                'a' => Cue::Answered,
                _ => {
                    at += 1_000;
                    continue;
                }
            };
            told.push_str(&match attention.cue(at, cue) {
                None => String::new(),
                Some(Meant::Began { called: true, .. }) => "{".to_owned(),
                Some(Meant::Began { called: false, .. }) => "[".to_owned(),
                Some(Meant::More(_)) => "+".to_owned(),
                Some(Meant::Paused) => "~".to_owned(),
                Some(Meant::Resumed) => "!".to_owned(),
                Some(Meant::Ended { speech_ms }) => format!("]{speech_ms} "),
                Some(Meant::Dropped) => "x ".to_owned(),
            });
        }
        told
    }

    const LONG: &str = "mmmmmmmmmmmm";

    #[test]
    fn speech_counts_where_the_owner_wants_all_of_it_and_else_after_a_push_or_the_phrase() {
        assert_eq!(past(Begin::Speech, &format!("b{LONG}e")), "[++++++++++++]900 ");
        assert_eq!(past(Begin::Push, "bmmex"), "");
        assert_eq!(past(Begin::Push, &format!("p.b{LONG}e.b{LONG}e")), "{++++++++++++]900 ");
        assert_eq!(past(Begin::Push, &format!("p.......b{LONG}e")), "", "nobody began in time");
        assert_eq!(past(Begin::Wake, &format!("b{LONG}e")), "");
    }

    #[test]
    fn the_phrase_is_cut_off_and_what_follows_in_the_same_breath_or_after_a_pause_counts() {
        assert_eq!(past(Begin::Wake, &format!("bmmmmw{LONG}e")), "{+++++++++++]384 ");
        assert_eq!(past(Begin::Wake, &format!("bmmmmwmme.b{LONG}e")), "{+x {++++++++++++]900 ");
        let pause = "n".repeat(17);
        let waited = past(Begin::Wake, &format!("bmmmmw{pause}e.b{LONG}e"));
        assert_eq!(waited, format!("{{{}x {{++++++++++++]900 ", "+".repeat(16)), "silence is no command");
        assert_eq!(past(Begin::Wake, &format!("bmmmmwe.b{LONG}e")), "{++++++++++++]900 ");
    }

    #[test]
    fn the_button_ends_what_is_said_and_an_answer_opens_for_the_next() {
        assert_eq!(past(Begin::Push, "pbmmqmme"), "{++]96 ");
        assert_eq!(past(Begin::Push, &format!("a.b{LONG}e")), "[++++++++++++]900 ");
        assert_eq!(past(Begin::Push, &format!("a........b{LONG}e")), "");
        assert_eq!(past(Begin::Push, &format!("p.......a.b{LONG}e")), "[++++++++++++]900 ", "the push is over");
    }

    #[test]
    fn while_hob_speaks_only_a_call_counts() {
        assert_eq!(past(Begin::Speech, "sbmmet"), "");
        assert_eq!(past(Begin::Speech, &format!("asb{LONG}e")), "");
        assert_eq!(past(Begin::Speech, "bmmsmmet"), "[++x ", "it would go on with hob's own words");
        assert_eq!(past(Begin::Push, "pbmsmmmmmmmmmmet"), "{+++++++++++]900 ");
        assert_eq!(past(Begin::Speech, &format!("sbmmw{LONG}et")), "{+++++++++++]384 ");
    }

    #[test]
    fn muting_drops_what_is_said_and_lets_nothing_begin() {
        assert_eq!(past(Begin::Speech, &format!("bmmMmme b{LONG}e")), "[++x ");
        assert_eq!(past(Begin::Speech, &format!("Mpb{LONG}ewbmmU.mmeb{LONG}e")), "[++++++++++++]900 ");
    }

    proptest! {
        /// Whatever is told in whatever order: nothing gets past while muted, and what ends or goes on has begun.
        #[test]
        fn no_sample_gets_past_while_muted(script in "[bmnex~wpqstMUa.]{0,60}", begin in 0..3) {
            let begin = [Begin::Push, Begin::Wake, Begin::Speech][usize::try_from(begin).unwrap()];
            let mut attention = Attention::new(settings(begin), false);
            let (mut at, mut muted, mut open) = (0, false, false);
            for letter in script.chars() {
                at += if letter == '.' { 1_000 } else { 32 };
                let cue = match letter {
                    'b' => Cue::Heard(Heard::Began(vec![0.0])),
                    'm' | 'n' => Cue::Heard(Heard::More { samples: vec![0.0], spoken: letter == 'm' }),
                    'e' => Cue::Heard(Heard::Ended { speech_ms: 900 }),
                    '~' => Cue::Heard(Heard::Paused),
                    'x' => Cue::Heard(Heard::Dropped),
                    'w' => Cue::Woken,
                    'p' | 'q' => Cue::Push(letter == 'p'),
                    's' | 't' => Cue::Speaking(letter == 's'),
                    'M' | 'U' => { muted = letter == 'M'; Cue::Mute(muted) }
                    'a' => Cue::Answered,
                    _ => continue,
                };
                match attention.cue(at, cue) {
                    None => {}
                    // What begins takes the place of what had begun and never ended.
                    Some(Meant::Began { .. }) => { prop_assert!(!muted); open = true; }
                    Some(Meant::More(_) | Meant::Paused | Meant::Resumed) => prop_assert!(!muted && open),
                    Some(Meant::Ended { .. }) => { prop_assert!(!muted && open); open = false; }
                    Some(Meant::Dropped) => { prop_assert!(open); open = false; }
                }
            }
        }
    }
}
