//! The engine in a process of its own, for `tests/peers`: loads a checkpoint, says so, then transcribes what each line
//! of standard input asks for.
//!
//! ```text
//! → {"audio": ["10s.wav", "10s.wav"], "window": "exact"}
//! ← {"wall_ms": 412.0, "texts": ["…", "…"], "parts_ms": {"mel": 2.1, "encode": 310.0, "decode": 99.0}}
//! ```
//!
//! Several files are one batch. The clock starts when their samples are in memory.
#![allow(clippy::print_stdout, reason = "a command-line example")]

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;
use whisper::{
    Checkpoint, DeviceChoice, Input, Language, Level, LoadOptions, Options, Precision, Whisper,
    Window,
};

const USAGE: &str = "usage: race MODEL_DIR [--precision f32|int8] [--threads N] [--level avx2|…] [--keep-packed true|false] \
    [--beam-size N] [--speech-threshold 0..1]";

/// What was typed.
#[derive(Debug)]
struct Arguments {
    model: PathBuf,
    load: LoadOptions,
    /// Of every utterance, but for its window.
    options: Options,
}

/// One line.
#[derive(Debug, Deserialize)]
struct Request {
    audio: Vec<PathBuf>,
    window: WindowName,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WindowName {
    Auto,
    Exact,
    Dynamic,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments {
        model,
        load,
        options,
    } = arguments()?;
    let start = Instant::now();
    let checkpoint = Checkpoint::open(&model)?;
    let whisper = Whisper::load(&checkpoint, DeviceChoice::Cpu, load)?;
    let level = load.level.unwrap_or_else(Level::best);
    let version = format!(
        "{} {}, kernels {level}",
        env!("CARGO_PKG_VERSION"),
        whisper.info().precision
    );
    println!(
        "{}",
        json!({ "ready": true, "version": version, "load_ms": ms(start.elapsed()) })
    );
    for line in io::stdin().lines() {
        println!(
            "{}",
            transcribe(&whisper, &options, &serde_json::from_str(&line?)?)?
        );
    }
    Ok(())
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().ok_or(USAGE)?.into();
    let mut load = LoadOptions::default();
    let mut options = Options {
        language: Language::Fixed("en".to_owned()),
        ..Options::default()
    };
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        match (flag.as_str(), value.as_str()) {
            ("--precision", "f32") => load.precision = Precision::F32,
            ("--precision", "int8") => load.precision = Precision::Int8,
            ("--keep-packed", keep) => load.keep_packed = keep.parse()?,
            ("--threads", count) => load.threads = count.parse()?,
            ("--level", name) => {
                load.level = Some(Level::named(name).ok_or("this CPU has no such level")?);
            }
            ("--beam-size", count) => options.beam_size = count.parse()?,
            ("--speech-threshold", share) => options.speech_threshold = Some(share.parse()?),
            _ => return Err(USAGE.into()),
        }
    }
    Ok(Arguments {
        model,
        load,
        options,
    })
}

fn transcribe(
    whisper: &Whisper,
    options: &Options,
    request: &Request,
) -> Result<serde_json::Value, Box<dyn Error>> {
    let batch = request
        .audio
        .iter()
        .map(|path| input(path, options, request.window))
        .collect::<Result<Vec<_>, _>>()?;
    let start = Instant::now();
    let results = whisper.transcribe(&batch);
    let wall = start.elapsed();
    let transcripts = results.into_iter().collect::<Result<Vec<_>, _>>()?;
    let texts: Vec<&str> = transcripts.iter().map(|it| it.text.as_str()).collect();
    // Of the first: stages of several overlap.
    let parts = transcripts.first().ok_or("no audio")?.timings;
    Ok(json!({
        "wall_ms": ms(wall),
        "texts": texts,
        "parts_ms": {
            "mel": ms(parts.mel),
            "encode": ms(parts.encode),
            "decode": ms(parts.decode),
        },
    }))
}

fn input(path: &Path, options: &Options, window: WindowName) -> Result<Input, Box<dyn Error>> {
    let waveform = audio::file::open(path, Duration::from_secs(600))?
        .waveform
        .ok_or("no audio in it")?;
    let mut input = Input::new(waveform);
    input.options = options.clone();
    input.options.window = match window {
        WindowName::Auto => Window::Auto,
        WindowName::Exact => Window::Exact,
        WindowName::Dynamic => Window::Dynamic,
    };
    Ok(input)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
