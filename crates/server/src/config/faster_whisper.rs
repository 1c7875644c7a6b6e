//! Flags of wyoming-faster-whisper that this program has no flag of its own for, so that its command line can stay as it is.
//!
//! Source: `get_parser` of wyoming-faster-whisper 3.8.1. A flag whose meaning is void here is accepted and logged; one whose
//! effect would be missed is refused with what to use instead. Flags that both have are in the other files.

use clap::Args;
use clap::builder::BoolishValueParser;

use super::ConfigError;

/// Flags that are accepted for a command line of wyoming-faster-whisper.
#[derive(Clone, Debug, Default, Args)]
pub struct FasterWhisperArgs {
    #[arg(long, hide = true, value_parser = BoolishValueParser::new())]
    vad_filter: bool,
    #[arg(long, hide = true)]
    vad_threshold: Option<f32>,
    #[arg(long, hide = true)]
    vad_min_speech_ms: Option<u32>,
    #[arg(long, hide = true)]
    vad_min_silence_ms: Option<u32>,
    #[arg(long, hide = true, num_args = 0..)]
    vad_clip: Option<Vec<String>>,
    #[arg(long, hide = true)]
    vad_clip_threshold: Option<f32>,
    #[arg(long, hide = true)]
    vad_clip_pad_ms: Option<u32>,
    #[arg(long, hide = true)]
    stt_library: Option<String>,
    #[arg(long, hide = true, value_parser = BoolishValueParser::new())]
    sherpa_streaming: bool,
    #[arg(long, hide = true, hide_env_values = true)]
    hass_token: Option<String>,
    #[arg(long, hide = true)]
    hass_api: Option<String>,
    #[arg(long, hide = true)]
    hass_refresh_seconds: Option<f32>,
    #[arg(long, hide = true)]
    hass_prompt_max_tokens: Option<u32>,
    #[arg(long, hide = true)]
    hass_prompt_timeout: Option<f32>,
}

impl FasterWhisperArgs {
    /// What the log should say about flags that are accepted and do nothing.
    ///
    /// # Errors
    /// [`ConfigError::Refused`] for a flag whose effect would be missed.
    pub(super) fn check(&self) -> Result<Vec<&'static str>, ConfigError> {
        for (given, flag, instead) in self.refusals() {
            if given {
                return Err(ConfigError::Refused { flag, instead });
            }
        }
        let detects_speech = self.vad_filter
            || self.vad_threshold.is_some()
            || self.vad_min_speech_ms.is_some()
            || self.vad_min_silence_ms.is_some()
            || self.vad_clip.is_some()
            || self.vad_clip_threshold.is_some()
            || self.vad_clip_pad_ms.is_some();
        let notes = [
            (
                detects_speech,
                "the --vad-* flags have no effect: speech is always detected here; --speech-threshold sets how sure the detector must be",
            ),
            (
                self.hass_api.is_some()
                    || self.hass_refresh_seconds.is_some()
                    || self.hass_prompt_max_tokens.is_some()
                    || self.hass_prompt_timeout.is_some(),
                "the --hass-* flags have no effect: --home-assistant and --home-assistant-token-file read names of a Home Assistant",
            ),
        ];
        Ok(notes
            .into_iter()
            .filter_map(|(given, note)| given.then_some(note))
            .collect())
    }

    fn refusals(&self) -> [(bool, &'static str, &'static str); 3] {
        let other_library = self
            .stt_library
            .as_deref()
            .is_some_and(|library| !matches!(library, "auto" | "faster-whisper"));
        [
            (
                other_library,
                "--stt-library",
                "this server runs Whisper only: leave the flag out, or give a Whisper model with --model",
            ),
            (
                self.sherpa_streaming,
                "--sherpa-streaming",
                "this server runs Whisper only, which gives its words when the audio has ended: leave the flag out",
            ),
            (
                self.hass_token.is_some(),
                "--hass-token",
                "leave the flag out: every user of the machine can read a command line. Put the token into a file for --home-assistant-token-file, and give the address with --home-assistant",
            ),
        ]
    }
}
