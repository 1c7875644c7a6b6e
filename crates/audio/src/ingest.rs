//! A client's PCM, chunk by chunk, becomes a [`Waveform`].

use std::time::Duration;

use crate::pcm::PcmReader;
use crate::waveform::{duration_of, in_range, samples_in};
use crate::{PcmFormat, Resampler, Waveform};

/// Growth of the sample buffer. Doubling would hold up to twice the audio; a second at a time
/// keeps hundreds of open streams close to what they hold.
const GROWTH_SAMPLES: usize = 16_000;

/// Bytes that are converted at once, so that what lies between the steps stays small however large
/// a chunk is.
const PIECE_BYTES: usize = 2_048;

/// Each new format costs a new resampler, thousands of times the work of a sample: a client that
/// changes it in every chunk would keep a core busy with a trickle of bytes.
const MAX_FORMAT_CHANGES: u32 = 1_000;

/// Collects one utterance. Each chunk may have its own format.
#[derive(Debug)]
pub struct Ingest {
    limit: Duration,
    limit_samples: usize,
    samples: Vec<f32>,
    source: Option<Source>,
    format_changes: u32,
}

/// The chunks of one format.
#[derive(Debug)]
struct Source {
    reader: PcmReader,
    resampler: Resampler,
    /// Reused from chunk to chunk.
    fresh: Vec<f32>,
}

/// Audio that is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// More than the limit.
    #[error("audio is longer than {limit:?}")]
    TooLong {
        /// The limit in force.
        limit: Duration,
    },
    /// A stream that is not one sound.
    #[error("the audio format changed more than {limit} times")]
    Restless {
        /// The limit in force.
        limit: u32,
    },
}

impl Ingest {
    /// Collects up to `limit` of audio.
    pub fn new(limit: Duration) -> Self {
        Self {
            limit,
            limit_samples: samples_in(limit),
            samples: Vec::new(),
            source: None,
            format_changes: 0,
        }
    }

    /// Takes a chunk; it may end inside a sample.
    ///
    /// # Errors
    /// [`IngestError::TooLong`] when the audio would pass the limit, [`IngestError::Restless`] when
    /// the format changed too often; what was there stays.
    pub fn push(&mut self, format: PcmFormat, bytes: &[u8]) -> Result<(), IngestError> {
        self.check_room(format, bytes.len())?;
        if self
            .source
            .as_ref()
            .is_none_or(|source| source.reader.format() != format)
        {
            self.change_format(format)?;
        }
        for piece in bytes.chunks(PIECE_BYTES) {
            if let Some(source) = &mut self.source {
                source.read(piece);
                append(&mut self.samples, &source.fresh);
            }
        }
        self.check_length()
    }

    /// What is there so far, at 16 kHz; a little behind what was pushed when it is resampled.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// Length of what is there so far.
    pub fn duration(&self) -> Duration {
        duration_of(self.samples.len())
    }

    /// The whole utterance; `None` when no sample came.
    ///
    /// # Errors
    /// [`IngestError::TooLong`] when what the resampler still held passes the limit.
    pub fn finish(mut self) -> Result<Option<Waveform>, IngestError> {
        self.end_source();
        self.check_length()?;
        Ok(Waveform::new(self.samples))
    }

    /// Refuses a chunk by its length, before it is converted.
    fn check_room(&self, format: PcmFormat, bytes: usize) -> Result<(), IngestError> {
        let frames = (bytes / format.frame_bytes()) as u64;
        let samples = frames * u64::from(crate::SAMPLE_RATE_HZ) / u64::from(format.rate_hz());
        let room = self.limit_samples.saturating_sub(self.samples.len()) as u64;
        if samples > room {
            return Err(IngestError::TooLong { limit: self.limit });
        }
        Ok(())
    }

    fn check_length(&self) -> Result<(), IngestError> {
        if self.samples.len() > self.limit_samples {
            return Err(IngestError::TooLong { limit: self.limit });
        }
        Ok(())
    }

    fn change_format(&mut self, format: PcmFormat) -> Result<(), IngestError> {
        if self.format_changes > MAX_FORMAT_CHANGES {
            return Err(IngestError::Restless {
                limit: MAX_FORMAT_CHANGES,
            });
        }
        self.format_changes += 1;
        self.end_source();
        self.source = Some(Source::new(format));
        Ok(())
    }

    fn end_source(&mut self) {
        if let Some(source) = self.source.take() {
            let mut rest = Vec::new();
            source.resampler.finish(&mut rest);
            append(&mut self.samples, &rest);
        }
    }
}

impl Source {
    fn new(format: PcmFormat) -> Self {
        Self {
            reader: PcmReader::new(format),
            resampler: Resampler::new(format.rate_hz()),
            fresh: Vec::new(),
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        self.fresh.clear();
        let (resampler, fresh) = (&mut self.resampler, &mut self.fresh);
        self.reader
            .read(bytes, |sample| resampler.push(sample, fresh));
    }
}

/// Adds samples, made finite and within ±1.
pub(crate) fn append(samples: &mut Vec<f32>, fresh: &[f32]) {
    if samples.capacity() - samples.len() < fresh.len() {
        samples.reserve_exact(fresh.len().max(GROWTH_SAMPLES));
    }
    samples.extend(fresh.iter().map(|&sample| in_range(sample)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn ingested(format: PcmFormat, chunks: &[&[u8]]) -> Option<Waveform> {
        let mut ingest = Ingest::new(LIMIT);
        for chunk in chunks {
            ingest.push(format, chunk).unwrap();
        }
        ingest.finish().unwrap()
    }

    #[test]
    fn no_audio_is_no_waveform() {
        let format = PcmFormat::new(16_000, 2, 1).unwrap();
        assert_eq!(ingested(format, &[]), None);
        assert_eq!(ingested(format, &[&[7]]), None);
    }

    #[test]
    fn audio_beyond_the_limit_is_refused_before_it_is_kept() {
        let format = PcmFormat::new(16_000, 2, 1).unwrap();
        let mut ingest = Ingest::new(Duration::from_secs(1));
        ingest.push(format, &vec![0; 32_000]).unwrap();
        let refused = ingest.push(format, &[0; 2]);
        assert_eq!(
            refused,
            Err(IngestError::TooLong {
                limit: Duration::from_secs(1)
            })
        );
        assert_eq!(ingest.duration(), Duration::from_secs(1));
    }

    #[test]
    fn each_chunk_may_have_its_own_format() {
        let mut ingest = Ingest::new(LIMIT);
        ingest
            .push(PcmFormat::new(48_000, 2, 2).unwrap(), &vec![0; 4 * 48_000])
            .unwrap();
        ingest
            .push(PcmFormat::new(8_000, 1, 1).unwrap(), &vec![128; 8_000])
            .unwrap();
        ingest
            .push(PcmFormat::new(16_000, 4, 1).unwrap(), &vec![0; 4 * 16_000])
            .unwrap();
        let waveform = ingest.finish().unwrap().unwrap();
        assert_eq!(waveform.duration(), Duration::from_secs(3));
    }

    #[test]
    fn a_stream_that_changes_its_format_all_the_time_is_refused() {
        let mut ingest = Ingest::new(LIMIT);
        let formats = [8_000, 48_000].map(|rate| PcmFormat::new(rate, 2, 1).unwrap());
        let refused = formats
            .into_iter()
            .cycle()
            .take(2_000)
            .find_map(|format| ingest.push(format, &[0; 2]).err());
        assert_eq!(refused, Some(IngestError::Restless { limit: 1_000 }));
    }

    #[test]
    fn an_open_stream_holds_little_beyond_its_audio() {
        for (rate, chunk_bytes) in [(16_000, 320), (16_000, 1 << 18), (48_000, 960)] {
            let format = PcmFormat::new(rate, 2, 1).unwrap();
            let mut ingest = Ingest::new(LIMIT);
            while ingest.duration() < LIMIT / 2 {
                ingest.push(format, &vec![1; chunk_bytes]).unwrap();
            }
            let fresh = ingest.source.as_ref().unwrap().fresh.capacity();
            assert!(fresh <= 4_096, "{fresh} samples between the steps");
            assert!(ingest.samples.capacity() <= ingest.samples.len() + GROWTH_SAMPLES);
        }
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_waveform(
            bytes in proptest::collection::vec(any::<u8>(), 0..20_000),
            cuts in proptest::collection::vec(1_usize..3_000, 1..20),
            rate in prop_oneof![Just(16_000_u32), Just(44_100), Just(8_000), Just(24_000), 1_000_u32..100_000],
            width in 1_u8..=4,
            channels in 1_u8..=3,
        ) {
            let format = PcmFormat::new(rate, width, channels).unwrap();
            let whole = ingested(format, &[&bytes]);
            let mut chunks = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, tail) = rest.split_at((*cut).min(rest.len()));
                chunks.push(chunk);
                rest = tail;
            }
            prop_assert_eq!(ingested(format, &chunks), whole);
        }

        #[test]
        fn one_byte_at_a_time_gives_the_same_waveform(
            bytes in proptest::collection::vec(any::<u8>(), 0..5_000),
            width in 1_u8..=4,
            channels in 1_u8..=3,
        ) {
            let format = PcmFormat::new(22_050, width, channels).unwrap();
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(ingested(format, &single), ingested(format, &[&bytes]));
        }

        #[test]
        fn whole_frames_give_the_rounded_ratio_of_samples(
            frames in 0_usize..6_000,
            rate in prop_oneof![Just(16_000_u32), Just(44_100), Just(8_000), Just(48_000), 1_000_u32..384_000],
        ) {
            let format = PcmFormat::new(rate, 2, 1).unwrap();
            let samples = ingested(format, &[&vec![9; 2 * frames]])
                .map_or(0, |waveform| waveform.samples().len());
            let expected = (frames as f64 * 16_000.0 / f64::from(rate)).round();
            prop_assert!((samples as f64 - expected).abs() < 0.5, "{} for {}", samples, expected);
        }
    }
}
