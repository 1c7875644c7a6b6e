//! Word errors over a folder of spoken clips.
//!
//! `accuracy DIR [MODEL_DIR] [--level avx2|…]`: DIR holds `NAME.wav` or `NAME.flac`, each with its words in `NAME.txt`.
//! Without a model folder the demo model is measured, without a level the best kernels of this CPU. Every precision of the CPU is, and compared with f32: by its words,
//! and by its logits where it is told the words that f32 says.
#![allow(clippy::print_stdout, reason = "a command-line example")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::Device;
use whisper::{
    Checkpoint, DeviceChoice, Input, Level, LoadOptions, MelExtractor, Model, Precision, Whisper,
    Window,
};

const USAGE: &str = "usage: accuracy DIR [MODEL_DIR] [--level avx2|…]";

/// Clips whose logits are compared.
const COMPARED: usize = 40;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut folders, mut level) = (Vec::new(), Level::best());
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--level" {
            let name = arguments.next().ok_or(USAGE)?;
            let known = name.to_str().and_then(Level::named);
            level = known.ok_or("this CPU has no such level")?;
        } else {
            folders.push(PathBuf::from(argument));
        }
    }
    println!("kernels: {level}");
    let mut arguments = folders.into_iter();
    let clips = arguments.next().ok_or(USAGE)?;
    let checkpoint = match arguments.next() {
        Some(directory) => Checkpoint::open(&directory)?,
        None => Checkpoint::demo()?,
    };
    let load = |precision| {
        let options = LoadOptions {
            precision,
            level: Some(level),
            ..LoadOptions::default()
        };
        Whisper::load(&checkpoint, DeviceChoice::Cpu, options)
    };
    let (exact, int8) = (load(Precision::F32)?, load(Precision::Int8)?);
    for (window, timestamps) in [
        (Window::Exact, false),
        (Window::Dynamic, false),
        (Window::Exact, true),
    ] {
        let expected = measure(&exact, &clips, window, timestamps)?;
        let found = measure(&int8, &clips, window, timestamps)?;
        let pairs = expected.iter().zip(&found);
        let same = pairs.clone().filter(|(a, b)| a == b).count();
        for (expected, found) in pairs.filter(|(a, b)| a != b) {
            println!("f32: {expected} | int8: {found}");
        }
        println!("int8 says what f32 says in {same} of {}", expected.len());
    }
    let error = logits_error(&checkpoint, level, &exact, &clips)?;
    println!("int8 moves logits by {error:.4} of their spread (root mean squares)");
    Ok(())
}

/// Root mean square of what int8 moves logits by, over that of their distance from their mean.
fn logits_error(
    checkpoint: &Checkpoint,
    level: Level,
    exact: &Whisper,
    clips: &Path,
) -> Result<f64, Box<dyn Error>> {
    let load = |precision| Model::load_as(checkpoint, &Device::Cpu, precision, level);
    let models = [load(Precision::F32)?, load(Precision::Int8)?];
    let extractor = MelExtractor::new(models[0].config().num_mel_bins);
    let (mut moved, mut spread) = (0.0, 0.0);
    for path in spoken(clips)?.iter().take(COMPARED) {
        let waveform = audio::file::open(path, Duration::from_secs(30))?
            .waveform
            .ok_or("empty clip")?;
        let mel = extractor
            .stream_of(waveform.samples())
            .window(models[0].window_frames())?;
        let said = exact.transcribe(&[Input::new(waveform)]).remove(0)?;
        let mut tokens: Vec<u32> = checkpoint
            .generation()
            .decoder_start_token_id
            .into_iter()
            .collect();
        tokens.extend(said.segments.iter().flat_map(|segment| &segment.tokens));
        let asked: Vec<usize> = (0..tokens.len()).collect();
        let [expected, found] = models.each_ref().map(|model| {
            let mut state = model.start(&model.encode_each(&[&mel])?, 1)?;
            model.prefill(&mut state, 0, &tokens, &asked)
        });
        for (expected, found) in expected?.iter().zip(&found?) {
            let mean = expected.iter().sum::<f32>() / expected.len() as f32;
            for (expected, found) in expected.iter().zip(found) {
                moved += f64::from(found - expected).powi(2);
                spread += f64::from(expected - mean).powi(2);
            }
        }
    }
    Ok((moved / spread).sqrt())
}

fn measure(
    whisper: &Whisper,
    clips: &Path,
    window: Window,
    timestamps: bool,
) -> Result<Vec<String>, Box<dyn Error>> {
    let (mut errors, mut words, mut exact) = (0, 0, 0);
    let mut texts = Vec::new();
    let mut spent = Duration::ZERO;
    for path in spoken(clips)? {
        let expected = std::fs::read_to_string(path.with_extension("txt"))?;
        let waveform = audio::file::open(&path, Duration::from_secs(600))?
            .waveform
            .ok_or("empty clip")?;
        let mut input = Input::new(waveform);
        input.options.window = window;
        input.options.timestamps = timestamps;
        let start = Instant::now();
        let mut results = whisper.transcribe(&[input]);
        spent += start.elapsed();
        let heard = results.pop().ok_or("no result")??.text;
        let wrong = whisper::testing::word_errors(&expected, &heard);
        if wrong > 0 {
            println!("{}: {} | {heard}", path.display(), expected.trim());
        }
        errors += wrong;
        words += expected.split_whitespace().count();
        exact += usize::from(expected.trim() == heard);
        texts.push(heard);
    }
    let count = u32::try_from(texts.len())?;
    println!(
        "{}, {window:?}, timestamps {timestamps}: {count} clips, {:.1} % word errors, {exact} exact, {:.0} ms a clip",
        whisper.info().precision,
        100.0 * f64::from(u32::try_from(errors)?) / f64::from(u32::try_from(words)?),
        spent.as_secs_f64() * 1e3 / f64::from(count),
    );
    Ok(texts)
}

fn spoken(directory: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let there = std::fs::read_dir(directory)
        .map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut paths: Vec<PathBuf> = there
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "wav" || e == "flac"))
        .collect();
    if paths.is_empty() {
        return Err(format!("{} holds no .wav and no .flac", directory.display()).into());
    }
    paths.sort();
    Ok(paths)
}
