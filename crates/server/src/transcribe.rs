//! `wyoming-stt transcribe`: audio files to text, without a server.

use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use audio::file::{Damage, DamageKind, Recording};
use clap::ValueEnum;
use serde_json::json;
use telemetry::chain;
use whisper::{Input, Language, Names, Options, Transcript, Whisper};

use crate::config::ModelArgs;
use crate::loading::load;
use crate::model_store::Report;
use crate::{names, subtitles};

/// Longest file: a day.
const LIMIT: Duration = Duration::from_hours(24);
/// Exit code when every file gave a transcript, but not all of a recording could be read (`EX_DATAERR`).
const DAMAGED: u8 = 65;
/// How many damaged places of a recording are shown.
const SHOWN_PLACES: usize = 10;

/// `wyoming-stt transcribe`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// WAV, FLAC, MP3, AAC, Ogg, Opus, M4A, WebM, AIFF, AU or CAF files; `-` reads one from standard input.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// How to print the words.
    #[arg(long, short, value_enum, default_value = "text")]
    pub format: Format,
    /// File with names that speech may contain: one a line, as it is to be written; lines that begin with # are comments.
    #[arg(long, env = "STT_NAMES", value_name = "FILE")]
    pub names: Option<PathBuf>,
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,
}

/// Output formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The words.
    Text,
    /// One object a file, with segments.
    Json,
    /// Subtitles.
    Srt,
    /// Subtitles for browsers.
    Vtt,
}

/// Runs the command. The exit code is 0 when every file gave a transcript of all of its audio, 65 when parts
/// of a recording are damaged or missing, 64 with invalid settings, 69 without a model, and 1 when a file
/// gave no transcript.
pub fn run(args: &Args) -> ExitCode {
    let progress = Progress::new();
    let blocklist = match args.model.blocklist() {
        Ok(blocklist) => blocklist,
        Err(error) => {
            progress.complain(&chain(&error));
            return ExitCode::from(64);
        }
    };
    progress.show("loading the model");
    let whisper = match load(&args.model, Report::to_person()) {
        Ok(whisper) => whisper,
        Err(error) => {
            progress.complain(&error);
            return ExitCode::from(69);
        }
    };
    let expected = match expected(args, &whisper) {
        Ok(expected) => expected,
        Err(error) => {
            progress.complain(&error);
            return ExitCode::from(64);
        }
    };
    let (mut is_failed, mut is_damaged) = (false, false);
    for (index, file) in args.files.iter().enumerate() {
        progress.show(&format!(
            "{} ({} of {})",
            file.display(),
            index + 1,
            args.files.len()
        ));
        let heard = read(file)
            .and_then(|recording| transcribe(&whisper, args, expected.clone(), recording));
        match heard {
            Ok((mut transcript, damage)) => {
                is_damaged |= !damage.is_empty();
                for place in places(&damage) {
                    progress.complain(&format!("{}: {place}", file.display()));
                }
                blocklist.apply(&mut transcript);
                progress.clear();
                let text = shown(args, file, &transcript, &damage);
                // A closed output ends nothing: the exit codes of the others still count.
                write!(std::io::stdout(), "{text}").ok();
            }
            Err(error) => {
                progress.complain(&format!("{}: {error}", file.display()));
                is_failed = true;
            }
        }
    }
    progress.clear();
    match (is_failed, is_damaged) {
        (true, _) => ExitCode::FAILURE,
        (false, true) => ExitCode::from(DAMAGED),
        (false, false) => ExitCode::SUCCESS,
    }
}

/// The names that speech may contain.
fn expected(args: &Args, whisper: &Whisper) -> Result<Option<Arc<Names>>, String> {
    let Some(path) = &args.names else {
        return Ok(None);
    };
    let names = names::of_file(path).map_err(|error| chain(&error))?;
    let names = names.iter().map(String::as_str);
    Ok(Some(Arc::new(Names::new(whisper.vocabulary(), names))))
}

/// A recording's words, and what is missing of it.
fn transcribe(
    whisper: &Whisper,
    args: &Args,
    expected: Option<Arc<Names>>,
    recording: Recording,
) -> Result<(Transcript, Vec<Damage>), String> {
    let Some(waveform) = recording.waveform else {
        return Ok((Transcript::default(), recording.damage));
    };
    let mut input = Input::new(waveform);
    input.options = Options {
        expected,
        ..args.model.options()
    };
    if args.model.language != "auto" {
        let known = &whisper.info().languages;
        let language = crate::language::resolve(&args.model.language, known)
            .ok_or_else(|| format!("the model knows {} only", known.join(", ")))?;
        input.options.language = Language::Fixed(language);
    }
    input.options.timestamps = matches!(args.format, Format::Srt | Format::Vtt);
    let result = whisper.transcribe(&[input]).pop();
    let transcript = result
        .ok_or_else(|| "no result".to_owned())?
        .map_err(|error| chain(&error))?;
    Ok((transcript, recording.damage))
}

fn read(file: &Path) -> Result<Recording, String> {
    let recording = if file == Path::new("-") {
        audio::file::stream(std::io::stdin().lock(), LIMIT)
    } else {
        audio::file::open(file, LIMIT)
    };
    recording.map_err(|error| chain(&error))
}

/// A line for each damaged place, up to [`SHOWN_PLACES`], and one for the others.
fn places(damage: &[Damage]) -> Vec<String> {
    let mut lines: Vec<String> = damage
        .iter()
        .take(SHOWN_PLACES)
        .map(Damage::to_string)
        .collect();
    match damage.len().saturating_sub(SHOWN_PLACES) {
        0 => {}
        // The list itself is bounded.
        more if damage.len() == Damage::MOST => {
            lines.push(format!("{more} more places or more are damaged"));
        }
        more => lines.push(format!("{more} more places are damaged")),
    }
    lines
}

fn shown(args: &Args, file: &Path, transcript: &Transcript, damage: &[Damage]) -> String {
    match args.format {
        Format::Text => format!("{}\n", transcript.text),
        Format::Json => format!("{}\n", as_json(file, transcript, damage)),
        Format::Srt => subtitles::srt(transcript),
        Format::Vtt => subtitles::vtt(transcript),
    }
}

fn as_json(file: &Path, transcript: &Transcript, damage: &[Damage]) -> serde_json::Value {
    let segments: Vec<serde_json::Value> = transcript
        .segments
        .iter()
        .map(|segment| {
            json!({
                "start": segment.start_s,
                "end": segment.end_s,
                "text": segment.text.trim(),
                "temperature": segment.temperature,
                "avg_logprob": segment.avg_log_prob,
                "compression_ratio": segment.compression_ratio,
                "no_speech_prob": segment.no_speech_prob,
            })
        })
        .collect();
    json!({
        "file": file.display().to_string(),
        "text": transcript.text,
        "language": transcript.language,
        "language_probability": transcript.language_probability,
        "duration": transcript.audio.as_secs_f64(),
        "withheld": {
            "no_speech": transcript.withheld.no_speech,
            "silence": transcript.withheld.silence,
            "hopeless": transcript.withheld.hopeless,
            "prompt": transcript.withheld.prompt,
        },
        "damage": damage.iter().map(|damage| json!({
            "at": damage.at.as_secs_f64(),
            "kind": match damage.kind {
                DamageKind::CutOff => "cut off",
                DamageKind::Lost => "lost",
            },
        })).collect::<Vec<_>>(),
        "segments": segments,
    })
}

/// One line that is rewritten, on a terminal only.
struct Progress {
    terminal: bool,
}

impl Progress {
    fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
        }
    }

    fn show(&self, text: &str) {
        if self.terminal {
            // Progress may be lost.
            write!(std::io::stderr(), "\r\x1b[K{text}…").ok();
        }
    }

    fn clear(&self) {
        if self.terminal {
            write!(std::io::stderr(), "\r\x1b[K").ok();
        }
    }

    fn complain(&self, text: &str) {
        self.clear();
        // Without an output there is no reader; the exit code says it too.
        writeln!(std::io::stderr(), "wyoming-stt: {text}").ok();
    }
}
