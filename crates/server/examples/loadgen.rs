//! Load on a Wyoming server, and how long it took: N connections send spoken files, in real time as a
//! microphone does or at once, and what comes back is counted and timed.
//!
//! ```sh
//! cargo run --release -p server --example loadgen -- 127.0.0.1:10300 -n 50 --utterances 4 tests/fixtures/audio
//! ```
#![allow(clippy::print_stdout, reason = "a command-line example")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use audio::SAMPLE_RATE_HZ;
use bytes::{Bytes, BytesMut};
use clap::Parser;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use wyoming::{AudioChunk, AudioFormat, AudioStart, Client, ClientError, Event, Transcribe};

/// Puts load on a Wyoming speech-to-text server and prints percentiles.
#[derive(Debug, Parser)]
#[command(name = "loadgen", max_term_width = 100)]
struct Args {
    /// The server.
    #[arg(value_name = "HOST:PORT")]
    server: String,
    /// Spoken files (WAV, FLAC, MP3, Ogg, M4A), or folders of them. Where NAME.txt lies beside
    /// NAME.wav, the transcript is compared with it.
    #[arg(required = true, value_name = "FILE|DIR")]
    audio: Vec<PathBuf>,
    /// Connections at once.
    #[arg(short = 'n', long, default_value_t = 8, value_name = "N")]
    connections: usize,
    /// Utterances of each connection, one after the other.
    #[arg(long, default_value_t = 1, value_name = "N")]
    utterances: usize,
    /// Send audio as fast as the server takes it, instead of as fast as it is spoken.
    #[arg(long)]
    at_once: bool,
    /// Milliseconds of audio in a chunk.
    #[arg(long, default_value_t = 64, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..))]
    chunk: u32,
    /// Milliseconds of silence after what is spoken, before the end of audio: what a client hears while it
    /// makes sure that nothing more is said.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    silence: u32,
    /// Connections start evenly over so many seconds.
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    spread: f64,
    /// Seconds to wait for a connection and for the words after the end of audio.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    timeout: u64,
}

/// A file to send.
#[derive(Debug)]
struct Spoken {
    /// Mono, 16 bits, 16 kHz.
    format: AudioFormat,
    pcm: Bytes,
    words: Option<String>,
}

impl Spoken {
    fn seconds(&self) -> f64 {
        self.pcm.len() as f64 / f64::from(2 * SAMPLE_RATE_HZ)
    }
}

/// How one utterance went.
#[derive(Debug)]
enum Outcome {
    /// Words came; `right` when they are those of the file, or the file has none.
    Words {
        right: bool,
        /// From the end of audio.
        latency: Duration,
    },
    /// An error with this code, or what broke.
    Failed { why: String, latency: Duration },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("loadgen: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let spoken = Arc::new(load(&args.audio, args.silence)?);
    let args = Arc::new(args);
    let began = Instant::now();
    let mut connections = JoinSet::new();
    for number in 0..args.connections {
        let start =
            began + Duration::from_secs_f64(args.spread * number as f64 / args.connections as f64);
        let (args, spoken) = (Arc::clone(&args), Arc::clone(&spoken));
        connections.spawn(async move {
            sleep_until(start).await;
            connection(&args, &spoken, number).await
        });
    }
    let (mut outcomes, mut seconds) = (Vec::new(), 0.0);
    while let Some(joined) = connections.join_next().await {
        for (outcome, sent) in joined? {
            seconds += sent;
            outcomes.push(outcome);
        }
    }
    report(&outcomes, seconds, began.elapsed());
    Ok(())
}

/// Every file with so many milliseconds of silence behind it, decoded and resampled before the first is
/// sent.
fn load(paths: &[PathBuf], silence: u32) -> Result<Vec<Spoken>, Box<dyn Error>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            for entry in std::fs::read_dir(path)? {
                let file = entry?.path();
                let known = |extension: &std::ffi::OsStr| {
                    ["wav", "flac", "mp3", "ogg", "m4a"]
                        .iter()
                        .any(|it| extension == *it)
                };
                if file.extension().is_some_and(known) {
                    files.push(file);
                }
            }
        } else {
            files.push(path.clone());
        }
    }
    files.sort();
    let format = AudioFormat::new(SAMPLE_RATE_HZ, 2, 1).ok_or("no such format")?;
    let mut spoken = Vec::new();
    for file in files {
        let waveform = audio::file::open(&file, Duration::from_secs(3600))
            .map_err(|error| format!("{}: {error}", file.display()))?
            .waveform
            .ok_or_else(|| format!("{}: no audio in it", file.display()))?;
        let mut pcm = BytesMut::with_capacity(2 * waveform.samples().len());
        for sample in waveform.samples() {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "clamped by the cast, as PCM is"
            )]
            let sample = (sample * 32768.0) as i16;
            pcm.extend_from_slice(&sample.to_le_bytes());
        }
        pcm.resize(pcm.len() + bytes_of(silence), 0);
        let words = std::fs::read_to_string(file.with_extension("txt"));
        spoken.push(Spoken {
            format,
            pcm: pcm.freeze(),
            words: words.ok().map(|words| words.trim().to_owned()),
        });
    }
    if spoken.is_empty() {
        return Err("no audio files there".into());
    }
    Ok(spoken)
}

/// Of so many milliseconds of audio.
fn bytes_of(milliseconds: u32) -> usize {
    2 * (SAMPLE_RATE_HZ / 1000 * milliseconds) as usize
}

/// All utterances of one connection, and the seconds of audio of each. A server closes after an error:
/// the next utterance then connects anew.
async fn connection(args: &Args, spoken: &[Spoken], number: usize) -> Vec<(Outcome, f64)> {
    let limit = Duration::from_secs(args.timeout);
    let mut client = None;
    let mut outcomes = Vec::new();
    for turn in 0..args.utterances {
        let spoken = &spoken[(number * args.utterances + turn) % spoken.len()];
        let mut ended = Instant::now();
        let heard = async {
            let open = match client.as_mut() {
                Some(open) => open,
                None => client.insert(Client::connect_tcp(&args.server, limit).await?),
            };
            send(open, spoken, args).await?;
            // Before it is sent: the words may be there by the time that sending returns.
            ended = Instant::now();
            open.send(Event::AudioStop { timestamp_ms: None }).await?;
            match timeout(limit, open.transcript()).await {
                Ok(transcript) => transcript,
                Err(_elapsed) => Err(ClientError::Timeout { limit }),
            }
        };
        let heard = heard.await;
        let latency = ended.elapsed();
        let outcome = match heard {
            Ok(transcript) => Outcome::Words {
                right: spoken
                    .words
                    .as_ref()
                    .is_none_or(|words| *words == transcript.text.trim()),
                latency,
            },
            Err(error) => {
                client = None;
                let why = match error {
                    ClientError::Server {
                        code: Some(code), ..
                    } => code,
                    other => other.to_string(),
                };
                Outcome::Failed { why, latency }
            }
        };
        outcomes.push((outcome, spoken.seconds()));
    }
    outcomes
}

/// Everything up to the end of audio.
async fn send<S>(client: &mut Client<S>, spoken: &Spoken, args: &Args) -> Result<(), ClientError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite,
{
    let format = spoken.format;
    let timestamp_ms = None;
    client
        .send(Event::Transcribe(Transcribe::default()))
        .await?;
    client
        .send(Event::AudioStart(AudioStart {
            format,
            timestamp_ms,
        }))
        .await?;
    let chunk_bytes = bytes_of(args.chunk);
    let mut due = Instant::now();
    let mut pcm = spoken.pcm.clone();
    while !pcm.is_empty() {
        if !args.at_once {
            // A microphone hands a chunk over when it has been spoken.
            due += Duration::from_millis(u64::from(args.chunk));
            sleep_until(due).await;
        }
        let pcm = pcm.split_to(chunk_bytes.clamp(1, pcm.len()));
        client
            .send(Event::AudioChunk(AudioChunk {
                format,
                timestamp_ms,
                pcm,
            }))
            .await?;
    }
    Ok(())
}

fn report(outcomes: &[Outcome], seconds: f64, took: Duration) {
    let (mut right, mut wrong, mut failures) = (0, 0, BTreeMap::<&str, Vec<Duration>>::new());
    let mut latencies = Vec::new();
    for outcome in outcomes {
        match outcome {
            Outcome::Words {
                right: is_right,
                latency,
            } => {
                latencies.push(*latency);
                if *is_right {
                    right += 1;
                } else {
                    wrong += 1;
                }
            }
            Outcome::Failed { why, latency } => failures.entry(why).or_default().push(*latency),
        }
    }
    println!(
        "{} utterances, {seconds:.0} s of audio in {:.1} s ({:.1} x real time)",
        outcomes.len(),
        took.as_secs_f64(),
        seconds / took.as_secs_f64()
    );
    println!(
        "words as expected {right}, other words {wrong}, failed {}",
        outcomes.len() - right - wrong
    );
    println!(
        "from the end of audio to the words: {}",
        percentiles(latencies)
    );
    for (why, latencies) in failures {
        println!(
            "failed, {why}: {} times; {}",
            latencies.len(),
            percentiles(latencies)
        );
    }
}

/// Nearest-rank percentiles in milliseconds.
fn percentiles(mut latencies: Vec<Duration>) -> String {
    if latencies.is_empty() {
        return "none".to_owned();
    }
    latencies.sort();
    let at = |percent: usize| latencies[(percent * latencies.len()).div_ceil(100).max(1) - 1];
    let shown: Vec<String> = [50, 90, 99, 100]
        .map(|percent| format!("p{percent} {:.1} ms", 1000.0 * at(percent).as_secs_f64()))
        .into();
    shown.join(", ")
}
