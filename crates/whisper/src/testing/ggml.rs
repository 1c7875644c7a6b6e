//! The same small checkpoints as one file of whisper.cpp's.

use half::f16;

use super::{BYTES, SOURCE_POSITIONS, TARGET_POSITIONS, TinyCheckpoint, openai, weights};

/// How matrices are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ggml {
    /// As they are.
    F32,
    /// In half precision.
    F16,
    /// Blocks of a scale and 32 signed bytes.
    Q8_0,
}

impl TinyCheckpoint {
    /// The bytes of a file as whisper.cpp's converter writes it. The languages must be the first ones of OpenAI's.
    pub fn ggml(&self, kind: Ggml) -> Vec<u8> {
        const MAGIC: usize = 0x6767_6d6c;
        const BINS: usize = 201;
        let head = [
            MAGIC,
            self.vocab_size(),
            SOURCE_POSITIONS,
            self.d_model,
            self.heads,
            self.encoder_layers,
            TARGET_POSITIONS,
            self.d_model,
            self.heads,
            self.decoder_layers,
            self.n_mels,
            kind.file_type(),
            self.n_mels,
            BINS,
        ];
        let mut bytes: Vec<u8> = head.into_iter().flat_map(number).collect();
        bytes.resize(bytes.len() + self.n_mels * BINS * size_of::<f32>(), 0);
        bytes.extend(number(BYTES));
        for byte in 0..=u8::MAX {
            bytes.extend(number(1));
            bytes.push(byte);
        }
        for (name, shape) in self.shapes() {
            let values = weights(self.seed, &name, shape.iter().product());
            bytes.extend(tensor(&openai::name_of(&name), &shape, &values, kind));
        }
        bytes
    }
}

impl Ggml {
    /// With the version of the blocks in its thousands.
    fn file_type(self) -> usize {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q8_0 => 2007,
        }
    }

    fn tensor_type(self) -> usize {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q8_0 => 8,
        }
    }

    fn bytes(self, values: &[f32]) -> Vec<u8> {
        let halves = |value: &f32| f16::from_f32(*value).to_le_bytes();
        match self {
            Self::F32 => values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
            Self::F16 => values.iter().flat_map(halves).collect(),
            Self::Q8_0 => values.chunks(32).flat_map(q8_0).collect(),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "within −127..=127")]
fn q8_0(block: &[f32]) -> Vec<u8> {
    let largest = block
        .iter()
        .fold(0.0_f32, |max, value| max.max(value.abs()));
    let scale = f16::from_f32(largest / 127.0);
    let round = |value: &f32| ((value / scale.to_f32()).round() as i8).cast_unsigned();
    let mut bytes = scale.to_le_bytes().to_vec();
    if largest == 0.0 {
        bytes.extend(block.iter().map(|_| 0));
    } else {
        bytes.extend(block.iter().map(round));
    }
    bytes
}

/// Vectors, convolutions and positions are never in blocks; biases of convolutions are columns.
fn tensor(name: &str, shape: &[usize], values: &[f32], kind: Ggml) -> Vec<u8> {
    let is_matrix = shape.len() == 2 && !name.ends_with("positional_embedding");
    let kind = if is_matrix { kind } else { Ggml::F32 };
    let mut shape = shape.to_vec();
    if name.contains("conv") && name.ends_with("bias") {
        shape.push(1);
    }
    let head = [shape.len(), name.len(), kind.tensor_type()];
    let numbers = head.into_iter().chain(shape.into_iter().rev());
    let mut bytes: Vec<u8> = numbers.flat_map(number).collect();
    bytes.extend(name.as_bytes());
    bytes.extend(kind.bytes(values));
    bytes
}

fn number(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
}
