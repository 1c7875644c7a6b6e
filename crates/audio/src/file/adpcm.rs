//! ADPCM: half a byte a sample, as Microsoft, and the IMA in two layouts, write it.

use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_ADPCM_IMA_QT, CODEC_ID_ADPCM_IMA_WAV, CODEC_ID_ADPCM_MS,
};
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};

use super::FileError;
use super::track::Undecodable;

/// A decoder of whole blocks.
pub(super) struct Adpcm {
    layout: Layout,
    pub(super) rate_hz: u32,
    pub(super) channels: usize,
    block_frames: usize,
    /// For Apple's layout, whose blocks do not say the lower bits of where they begin.
    ima: Vec<Ima>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Microsoft,
    ImaWav,
    ImaApple,
}

impl Adpcm {
    /// Whether a codec is one of these.
    pub(super) fn has(codec: AudioCodecId) -> bool {
        [
            CODEC_ID_ADPCM_MS,
            CODEC_ID_ADPCM_IMA_WAV,
            CODEC_ID_ADPCM_IMA_QT,
        ]
        .contains(&codec)
    }

    pub(super) fn new(parameters: &AudioCodecParameters) -> Result<Self, FileError> {
        let channels = parameters
            .channels
            .as_ref()
            .map_or(0, symphonia::core::audio::Channels::count);
        let layout = match parameters.codec {
            CODEC_ID_ADPCM_MS => Layout::Microsoft,
            CODEC_ID_ADPCM_IMA_WAV => Layout::ImaWav,
            _ => Layout::ImaApple,
        };
        // Microsoft's has one or two; nothing writes more in any of them.
        if !(1..=2).contains(&channels) {
            return Err(FileError::UnknownCodec {
                codec: "ADPCM with more than two channels",
            });
        }
        Ok(Self {
            layout,
            rate_hz: parameters.sample_rate.unwrap_or(0),
            channels,
            block_frames: parameters
                .frames_per_block
                .and_then(|frames| usize::try_from(frames).ok())
                .unwrap_or(0),
            ima: vec![Ima::default(); channels],
        })
    }

    /// Decodes whole blocks, in place of what `samples` has.
    pub(super) fn decode(
        &mut self,
        packet: &[u8],
        samples: &mut Vec<f32>,
    ) -> Result<(), Undecodable> {
        samples.clear();
        let block_bytes = self.block_bytes().ok_or(Undecodable)?;
        let frame_samples = self.block_frames * self.channels;
        for block in packet.chunks_exact(block_bytes) {
            let begin = samples.len();
            samples.resize(begin + frame_samples, 0.0);
            let out = samples.get_mut(begin..).unwrap_or_default();
            match self.layout {
                Layout::Microsoft => microsoft(block, self.channels, out),
                Layout::ImaWav => ima_wav(block, self.channels, out),
                Layout::ImaApple => ima_apple(block, &mut self.ima, out),
            }
            .ok_or(Undecodable)?;
        }
        Ok(())
    }

    fn block_bytes(&self) -> Option<usize> {
        let (head_bytes, head_frames) = match self.layout {
            Layout::Microsoft => (7, 2),
            Layout::ImaWav => (4, 1),
            Layout::ImaApple => (2, 0),
        };
        let coded = self.block_frames.checked_sub(head_frames)? * self.channels;
        let bytes = head_bytes * self.channels + coded.div_ceil(2);
        (self.block_frames > 0).then_some(bytes)
    }
}

/// A sample of 16 bits as a float.
fn float(sample: i32) -> f32 {
    sample as f32 / 32_768.0
}

fn clamped(sample: i64) -> i32 {
    let sample = sample.clamp(i64::from(i16::MIN), i64::from(i16::MAX));
    i32::try_from(sample).unwrap_or(0)
}

fn short(block: &[u8], at: usize) -> Option<i32> {
    let bytes = block.get(at..at + 2)?.try_into().ok()?;
    Some(i32::from(i16::from_le_bytes(bytes)))
}

/// What a channel of Microsoft's is at.
struct Microsoft {
    coefficients: (i64, i64),
    step: i64,
    last: i32,
    before: i32,
}

impl Microsoft {
    const COEFFICIENTS: [(i64, i64); 7] = [
        (256, 0),
        (512, -256),
        (0, 0),
        (192, 64),
        (240, 0),
        (460, -208),
        (392, -232),
    ];
    const STEPS: [i64; 16] = [
        230, 230, 230, 230, 307, 409, 512, 614, 768, 614, 512, 409, 307, 230, 230, 230,
    ];
    /// No sound needs a larger step; damaged bytes would let it grow without end.
    const LARGEST_STEP: i64 = 1 << 24;

    fn sample(&mut self, half: u8) -> f32 {
        let signed = i64::from(half) - if half & 8 == 0 { 0 } else { 16 };
        let (one, two) = self.coefficients;
        let predicted = (i64::from(self.last) * one + i64::from(self.before) * two) / 256;
        let sample = clamped(predicted + signed * self.step);
        self.before = std::mem::replace(&mut self.last, sample);
        let factor = Self::STEPS.get(usize::from(half)).copied().unwrap_or(0);
        self.step = (factor * self.step / 256).clamp(16, Self::LARGEST_STEP);
        float(sample)
    }
}

/// Heads of the channels, number by number, then a byte for two samples, one channel after the other.
fn microsoft(block: &[u8], channels: usize, out: &mut [f32]) -> Option<()> {
    let mut states = Vec::with_capacity(channels);
    for channel in 0..channels {
        let predictor = usize::from(*block.get(channel)?);
        states.push(Microsoft {
            coefficients: *Microsoft::COEFFICIENTS.get(predictor)?,
            step: i64::from(short(block, channels + 2 * channel)?),
            last: short(block, 3 * channels + 2 * channel)?,
            before: short(block, 5 * channels + 2 * channel)?,
        });
    }
    let (head, coded) = out.split_at_mut_checked(2 * channels)?;
    for (channel, state) in states.iter().enumerate() {
        *head.get_mut(channel)? = float(state.before);
        *head.get_mut(channels + channel)? = float(state.last);
    }
    let bytes = block.get(7 * channels..)?;
    for (place, sample) in coded.iter_mut().enumerate() {
        let byte = *bytes.get(place / 2)?;
        let half = if place % 2 == 0 { byte >> 4 } else { byte & 15 };
        *sample = states.get_mut(place % channels)?.sample(half);
    }
    Some(())
}

/// What a channel of the IMA's is at.
#[derive(Clone, Copy, Debug, Default)]
struct Ima {
    last: i32,
    index: usize,
}

impl Ima {
    const INDEXES: [i8; 8] = [-1, -1, -1, -1, 2, 4, 6, 8];
    const STEPS: [i32; 89] = [
        7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60,
        66, 73, 80, 88, 97, 107, 118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371,
        408, 449, 494, 544, 598, 658, 724, 796, 876, 963, 1060, 1166, 1282, 1411, 1552, 1707, 1878,
        2066, 2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894, 6484, 7132, 7845,
        8630, 9493, 10442, 11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623, 27086,
        29794, 32767,
    ];

    fn sample(&mut self, half: u8) -> f32 {
        let step = Self::STEPS.get(self.index).copied().unwrap_or(0);
        let mut difference = step >> 3;
        for (bit, part) in [(4, step), (2, step >> 1), (1, step >> 2)] {
            difference += if half & bit == 0 { 0 } else { part };
        }
        let sign = if half & 8 == 0 { 1 } else { -1 };
        self.last = clamped(i64::from(self.last + sign * difference));
        let change = Self::INDEXES
            .get(usize::from(half & 7))
            .copied()
            .unwrap_or(0);
        self.index = self
            .index
            .saturating_add_signed(isize::from(change))
            .min(Self::STEPS.len() - 1);
        float(self.last)
    }
}

/// A head of four bytes a channel, then eight samples of a channel in four bytes, the channels in turn.
fn ima_wav(block: &[u8], channels: usize, out: &mut [f32]) -> Option<()> {
    let mut states = Vec::with_capacity(channels);
    for channel in 0..channels {
        let last = short(block, 4 * channel)?;
        let index = usize::from(*block.get(4 * channel + 2)?).min(Ima::STEPS.len() - 1);
        *out.get_mut(channel)? = float(last);
        states.push(Ima { last, index });
    }
    let bytes = block.get(4 * channels..)?;
    for frame in 0..(out.len() / channels).saturating_sub(1) {
        for (channel, state) in states.iter_mut().enumerate() {
            let byte = *bytes.get(frame / 8 * 4 * channels + 4 * channel + frame % 8 / 2)?;
            let half = if frame % 2 == 0 { byte & 15 } else { byte >> 4 };
            *out.get_mut((frame + 1) * channels + channel)? = state.sample(half);
        }
    }
    Some(())
}

/// 34 bytes a channel, one after the other: a head of two with the upper nine bits of the sample before and the index,
/// then 64 samples.
fn ima_apple(block: &[u8], states: &mut [Ima], out: &mut [f32]) -> Option<()> {
    const BYTES: usize = 34;
    let channels = states.len();
    for (channel, state) in states.iter_mut().enumerate() {
        let own = block.get(BYTES * channel..BYTES * (channel + 1))?;
        let head = i16::from_be_bytes([*own.first()?, *own.get(1)?]);
        let last = i32::from(head & !0x7F);
        let index = usize::from(head.to_be_bytes()[1] & 0x7F).min(Ima::STEPS.len() - 1);
        // Where the block before ended near enough, it knows the lower bits.
        if state.index != index || (state.last - last).abs() > 0x7F {
            *state = Ima { last, index };
        }
        for frame in 0..out.len() / channels {
            let byte = *own.get(2 + frame / 2)?;
            let half = if frame % 2 == 0 { byte & 15 } else { byte >> 4 };
            *out.get_mut(frame * channels + channel)? = state.sample(half);
        }
    }
    Some(())
}
