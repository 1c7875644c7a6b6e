//! Decoded packets on their way to one [`Waveform`].

use std::ops::Range;
use std::time::Duration;

use super::decoder::{Decoder, Sound};
use super::track::{Packet, Part, Track};
use super::{Damage, DamageKind, FileError, Recording};
use crate::ingest::append;
use crate::waveform::{duration_of, in_range, samples_in};
use crate::{PcmFormat, Resampler, Waveform, mix};

/// Takes a container's parts and puts a recording together.
pub(super) struct Assembly {
    mixer: Mixer,
    /// The track that is being decoded; `None` where it cannot be.
    track: Option<Playing>,
    damage: Vec<Damage>,
}

/// A track, and which of its frames belong to the recording.
struct Playing {
    decoder: Decoder,
    clock: Clock,
}

/// Counts a track's frames.
#[derive(Debug)]
struct Clock {
    skip: u64,
    /// Frames at the end of the next packet that are no sound.
    padding: u64,
    /// Frames decoded so far, those to skip included.
    decoded: u64,
    /// The track's own time, in frames, when `decoded` was 0; `None` when packets are missing.
    start: Option<i128>,
    /// Where the recording ends, in frames as `decoded` counts them.
    end: Option<u64>,
}

/// Samples of any rate and any number of channels to one channel at 16 kHz.
struct Mixer {
    limit: Duration,
    samples: Vec<f32>,
    /// The rate of the samples so far.
    resampler: Option<(u32, Resampler)>,
    /// Reused from packet to packet.
    fresh: Vec<f32>,
}

impl Assembly {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            mixer: Mixer {
                limit,
                samples: Vec::new(),
                resampler: None,
                fresh: Vec::new(),
            },
            track: None,
            damage: Vec::new(),
        }
    }

    pub(super) fn take(&mut self, part: Part) -> Result<(), FileError> {
        match part {
            Part::Track(track) => return self.begin(&track),
            Part::Packet(packet) => return self.decode(&packet),
            Part::Position(position) => self.clock(|clock| clock.set(position)),
            Part::Last(position) => self.clock(|clock| clock.end_at(position)),
            Part::Padding(frames) => self.clock(|clock| clock.padding = frames),
            Part::Fault(kind) => {
                self.clock(|clock| clock.start = None);
                self.damaged(kind);
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Recording, FileError> {
        self.mixer.end_rate();
        self.mixer.check_length()?;
        match Waveform::new(self.mixer.samples) {
            None if !self.damage.is_empty() => Err(FileError::Damaged),
            waveform => Ok(Recording {
                waveform,
                damage: self.damage,
            }),
        }
    }

    fn begin(&mut self, track: &Track) -> Result<(), FileError> {
        self.track = None;
        match Decoder::new(&track.parameters) {
            Ok(decoder) => {
                let clock = Clock {
                    skip: track.skip,
                    padding: 0,
                    decoded: 0,
                    start: Some(0),
                    end: track.frames,
                };
                self.track = Some(Playing { decoder, clock });
            }
            Err(error) if self.mixer.samples.is_empty() => return Err(error),
            // A later part of a chain; the words of the earlier ones are worth having.
            Err(_) => self.damaged(DamageKind::Lost),
        }
        Ok(())
    }

    fn decode(&mut self, packet: &Packet) -> Result<(), FileError> {
        let Some(Playing { decoder, clock }) = &mut self.track else {
            return Ok(());
        };
        if let Ok(sound) = decoder.decode(packet) {
            let kept = clock.kept(sound.frames());
            return self.mixer.push(&sound, kept);
        }
        clock.start = None;
        self.damaged(DamageKind::Lost);
        Ok(())
    }

    fn clock(&mut self, change: impl FnOnce(&mut Clock)) {
        if let Some(playing) = &mut self.track {
            change(&mut playing.clock);
        }
    }

    /// Notes damage at this place; several faults at one place are one.
    fn damaged(&mut self, kind: DamageKind) {
        let at = self.mixer.duration();
        match self.damage.last_mut() {
            Some(last) if last.at == at => last.kind = kind,
            _ => {
                self.damage.truncate(Damage::MOST - 1);
                self.damage.push(Damage { at, kind });
            }
        }
    }
}

impl Clock {
    /// Counts `frames` more, and says which of them belong to the recording.
    fn kept(&mut self, frames: usize) -> Range<usize> {
        let within = |place: u64| {
            let place = place.saturating_sub(self.decoded);
            usize::try_from(place).unwrap_or(usize::MAX).min(frames)
        };
        let first = within(self.skip);
        let padding = usize::try_from(std::mem::take(&mut self.padding)).unwrap_or(usize::MAX);
        let end = self
            .end
            .map_or(frames, within)
            .min(frames.saturating_sub(padding));
        self.decoded += frames as u64;
        first..end.max(first)
    }

    /// The track's own time is `position` here.
    fn set(&mut self, position: u64) {
        self.start = Some(i128::from(position) - i128::from(self.decoded));
    }

    /// Sets the end to a position of the track's own time, where that is known.
    fn end_at(&mut self, position: u64) {
        let end = self.start.map(|start| i128::from(position) - start);
        self.end = end.and_then(|end| u64::try_from(end).ok());
    }
}

impl Mixer {
    /// Takes the frames `kept` of a decoded packet.
    fn push(&mut self, sound: &Sound<'_>, kept: Range<usize>) -> Result<(), FileError> {
        let (rate_hz, channels) = (sound.rate_hz, sound.channels);
        if !PcmFormat::RATES_HZ.contains(&rate_hz)
            || !(1..=usize::from(PcmFormat::MAX_CHANNELS)).contains(&channels)
        {
            return Err(FileError::Format { rate_hz, channels });
        }
        let is_same = |(rate, _): &(u32, Resampler)| *rate == rate_hz;
        if !self.resampler.as_ref().is_some_and(is_same) {
            self.end_rate();
            self.resampler = Some((rate_hz, Resampler::new(rate_hz)));
        }
        if let Some((_, resampler)) = &mut self.resampler {
            let frames = sound.samples.chunks_exact(channels);
            for frame in frames.skip(kept.start).take(kept.len()) {
                // Made finite first: one NaN would spread over the resampler's whole block.
                let sample = mix::to_mono(frame.iter().map(|&sample| in_range(sample)));
                resampler.push(sample, &mut self.fresh);
            }
        }
        append(&mut self.samples, &self.fresh);
        self.fresh.clear();
        self.check_length()
    }

    /// Hands on what the resampler still holds.
    fn end_rate(&mut self) {
        if let Some((_, resampler)) = self.resampler.take() {
            resampler.finish(&mut self.fresh);
            append(&mut self.samples, &self.fresh);
            self.fresh.clear();
        }
    }

    /// How much there is, with what the resampler still holds.
    fn duration(&self) -> Duration {
        let held = self
            .resampler
            .as_ref()
            .map_or(0, |(_, resampler)| resampler.held());
        duration_of(self.samples.len() + held)
    }

    fn check_length(&self) -> Result<(), FileError> {
        if self.samples.len() > samples_in(self.limit) {
            return Err(FileError::TooLong { limit: self.limit });
        }
        Ok(())
    }
}
