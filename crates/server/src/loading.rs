//! From settings to a model that is warm.

mod told;

use std::sync::Arc;

use audio::Waveform;
use telemetry::chain;
use tokio::time::Instant;
use tracing::warn;
use whisper::{Input, Options, Whisper};

use crate::config::{Config, ModelArgs};
use crate::memory;
use crate::model_store::{self, Report};
use crate::queue::Loaded;
use crate::recognizer::Recognizer;

/// Enough for every code path of a decoder step.
const WARM_UP_TOKENS: usize = 4;

type Load = Result<(Box<dyn Recognizer>, Loaded), String>;

/// Loads the model as the settings say, and takes a first pass over it; for the device's thread.
pub(crate) fn loader(
    config: &Config,
    tell_languages: impl FnOnce(Vec<String>) + Send + 'static,
) -> impl FnOnce() -> Load + Send + 'static {
    let model = config.model.clone();
    let languages = config.languages.clone();
    let options = config.options.clone();
    let (wanted, beams) = (config.max_batch, config.options.beam_size);
    move || {
        let began = Instant::now();
        let whisper = load_with(&model, Report::Log, tell_languages)?;
        told::device(whisper.device());
        told::fused(whisper.fused());
        told::packed(whisper.packed());
        languages
            .check(&whisper.info().languages)
            .map_err(|error| error.to_string())?;
        let places = places(&whisper, wanted, beams)?;
        // The first pass touches every weight and every code path: the first client does not wait
        // for that. A few tokens do: on silence a model may go on to its last one, and try again at
        // every temperature.
        let mut silence = Input::new(silence()?);
        silence.options = Options {
            temperatures: vec![0.0],
            max_new_tokens: Some(WARM_UP_TOKENS),
            // Silence goes the whole way here.
            speech_threshold: None,
            ..options
        };
        for result in whisper.transcribe(&[silence]) {
            result.map_err(|error| format!("the model cannot transcribe: {}", chain(&error)))?;
        }
        let loaded = Loaded {
            info: whisper.info().clone(),
            mel: Arc::clone(whisper.mel_extractor()),
            vocabulary: Some(Arc::clone(whisper.vocabulary())),
            took: began.elapsed(),
            places,
        };
        Ok((Box::new(whisper), loaded))
    }
}

/// How many utterances there is memory for, if fewer than are wanted.
fn places(whisper: &Whisper, wanted: usize, beams: usize) -> Result<Option<usize>, String> {
    let places = whisper
        .places_with_room(wanted, beams)
        .map_err(|error| format!("the device cannot take one utterance: {}", chain(&error)))?;
    if places >= wanted {
        return Ok(None);
    }
    warn!(
        wanted,
        places, "the device has memory for fewer utterances at once than --max-batch"
    );
    Ok(Some(places))
}

/// Loads a model as the settings say.
///
/// # Errors
/// One line that says what is wrong and what to do.
pub fn load(model: &ModelArgs, report: Report) -> Result<Whisper, String> {
    load_with(model, report, |_languages| {})
}

/// As [`load`]; gives the languages away before the weights are read.
fn load_with(
    model: &ModelArgs,
    report: Report,
    tell_languages: impl FnOnce(Vec<String>),
) -> Result<Whisper, String> {
    memory::keep_no_large_blocks();
    let checkpoint =
        model_store::open(&model.model, &model.hub, report).map_err(|error| chain(&error))?;
    tell_languages(checkpoint.languages().map_err(|error| chain(&error))?);
    Whisper::load(&checkpoint, model.device, model.load_options()).map_err(|error| chain(&error))
}

fn silence() -> Result<Waveform, String> {
    Waveform::new(vec![0.0; audio::SAMPLE_RATE_HZ as usize]).ok_or_else(|| "no silence".to_owned())
}
