//! A client's PCM, chunk by chunk, becomes a [`Waveform`].

use std::time::Duration;

use crate::pcm::PcmReader;
use crate::waveform::{duration_of, in_range, samples_in};
use crate::{PcmFormat, Resampler, Waveform};

/// Growth of the sample buffer. Doubling would hold up to twice the audio; a second at a time
/// keeps hundreds of open streams close to what they hold.
const GROWTH_SAMPLES: usize = 16_000;

/// Collects one utterance. Each chunk may have its own format.
#[derive(Debug)]
pub struct Ingest {
    limit: Duration,
    limit_samples: usize,
    samples: Vec<f32>,
    source: Option<Source>,
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
}

impl Ingest {
    /// Collects up to `limit` of audio.
    pub fn new(limit: Duration) -> Self {
        Self {
            limit,
            limit_samples: samples_in(limit),
            samples: Vec::new(),
            source: None,
        }
    }

    /// Takes a chunk; it may end inside a sample.
    ///
    /// # Errors
    /// [`IngestError::TooLong`] when the audio would pass the limit; what was there stays.
    pub fn push(&mut self, format: PcmFormat, bytes: &[u8]) -> Result<(), IngestError> {
        self.check_room(format, bytes.len())?;
        if self
            .source
            .as_ref()
            .is_none_or(|source| source.reader.format() != format)
        {
            self.end_source();
            self.source = Some(Source::new(format));
        }
        if let Some(source) = &mut self.source {
            source.read(bytes);
            append(&mut self.samples, &source.fresh);
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

fn append(samples: &mut Vec<f32>, fresh: &[f32]) {
    if samples.capacity() - samples.len() < fresh.len() {
        samples.reserve_exact(fresh.len().max(GROWTH_SAMPLES));
    }
    samples.extend(fresh.iter().map(|&sample| in_range(sample)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

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
        ingest.push(format, &[0; 32_000]).unwrap();
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
            .push(PcmFormat::new(48_000, 2, 2).unwrap(), &[0; 4 * 48_000])
            .unwrap();
        ingest
            .push(PcmFormat::new(8_000, 1, 1).unwrap(), &[128; 8_000])
            .unwrap();
        ingest
            .push(PcmFormat::new(16_000, 4, 1).unwrap(), &[0; 4 * 16_000])
            .unwrap();
        let waveform = ingest.finish().unwrap().unwrap();
        assert_eq!(waveform.duration(), Duration::from_secs(3));
    }

    #[test]
    fn an_open_stream_holds_little_beyond_its_audio() {
        let format = PcmFormat::new(16_000, 2, 1).unwrap();
        let mut ingest = Ingest::new(LIMIT);
        for _ in 0..999 {
            ingest.push(format, &[0; 320]).unwrap();
        }
        assert!(ingest.samples.capacity() <= ingest.samples.len() + GROWTH_SAMPLES);
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_waveform(
            bytes in proptest::collection::vec(any::<u8>(), 0..20_000),
            cuts in proptest::collection::vec(1_usize..3_000, 1..20),
            rate in prop_oneof![Just(16_000_u32), Just(44_100), Just(8_000), Just(24_000)],
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
    }
}
