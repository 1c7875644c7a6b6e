//! The same small checkpoints as `torch.save` writes them, with the names of transformers or of OpenAI.

use std::{collections::BTreeMap, fs, io, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::Crc;
use serde_json::json;

use super::{
    BYTES, Precision, SOURCE_POSITIONS, TARGET_POSITIONS, TinyCheckpoint, openai, weights,
};

/// Which of PyTorch's two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PyTorch {
    /// A zip archive, since PyTorch 1.6.
    Zip,
    /// Pickles and weights one behind the other.
    Legacy,
}

/// A tensor to be written.
struct Tensor {
    name: String,
    shape: Vec<usize>,
    /// In the order of the file: column by column where `is_transposed`.
    values: Vec<f32>,
    is_transposed: bool,
}

impl TinyCheckpoint {
    /// Writes transformers' small files, and the weights as `pytorch_model.bin`, or as shards and their index. Matrices
    /// of feed-forward layers are views of transposed ones.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_pytorch(&self, directory: &Path, format: PyTorch) -> io::Result<()> {
        self.write_small_files(directory)?;
        let tensors: Vec<Tensor> = self
            .shapes()
            .into_iter()
            .map(|at| self.tensor(at))
            .collect();
        if self.shards == 1 {
            let bytes = file(&tensors, self.precision, format, None);
            return fs::write(directory.join("pytorch_model.bin"), bytes);
        }
        let mut weight_map = BTreeMap::new();
        let per_shard = tensors.len().div_ceil(self.shards);
        for (index, part) in tensors.chunks(per_shard).enumerate() {
            let name = format!("pytorch_model-{:05}-of-{:05}.bin", index + 1, self.shards);
            let bytes = file(part, self.precision, format, None);
            fs::write(directory.join(&name), bytes)?;
            weight_map.extend(part.iter().map(|tensor| (&tensor.name, name.clone())));
        }
        let index = json!({ "metadata": {}, "weight_map": weight_map });
        let path = directory.join("pytorch_model.bin.index.json");
        fs::write(path, index.to_string())
    }

    fn tensor(&self, (name, shape): (String, Vec<usize>)) -> Tensor {
        let values = weights(self.seed, &name, shape.iter().product());
        let is_transposed = name.contains(".fc") && shape.len() == 2;
        let values = if is_transposed {
            let (rows, columns) = (shape[0], shape[1]);
            let value = |at: usize| values[at % rows * columns + at / rows];
            (0..values.len()).map(value).collect()
        } else {
            values
        };
        Tensor {
            name,
            shape,
            values,
            is_transposed,
        }
    }

    /// The bytes of a `.pt` as OpenAI's.
    pub fn openai_pt(&self) -> Vec<u8> {
        let dims = [
            ("n_mels", self.n_mels),
            ("n_vocab", self.vocab_size()),
            ("n_audio_ctx", SOURCE_POSITIONS),
            ("n_audio_state", self.d_model),
            ("n_audio_head", self.heads),
            ("n_audio_layer", self.encoder_layers),
            ("n_text_ctx", TARGET_POSITIONS),
            ("n_text_state", self.d_model),
            ("n_text_head", self.heads),
            ("n_text_layer", self.decoder_layers),
        ];
        let tensors = self.shapes().into_iter().map(|at| self.tensor(at));
        let tensors = tensors.map(|tensor| Tensor {
            name: openai::name_of(&tensor.name),
            ..tensor
        });
        let tensors: Vec<Tensor> = tensors.collect();
        file(&tensors, self.precision, PyTorch::Zip, Some(&dims))
    }

    /// The text of `multilingual.tiktoken`.
    pub fn tiktoken(&self) -> String {
        let line = |byte: usize| {
            let word = [u8::try_from(byte).unwrap_or_default()];
            format!("{} {byte}\n", STANDARD.encode(word))
        };
        (0..BYTES).map(line).collect()
    }
}

fn file(
    tensors: &[Tensor],
    precision: Precision,
    format: PyTorch,
    dims: Option<&[(&str, usize)]>,
) -> Vec<u8> {
    let mut pickle = Pickle::new();
    if let Some(dims) = dims {
        pickle.begin_dict().text("dims").begin_dict();
        for (name, size) in dims {
            pickle.text(name).integer(*size);
        }
        pickle.end_dict().text("model_state_dict");
    }
    pickle.begin_dict();
    for (key, tensor) in tensors.iter().enumerate() {
        pickle.text(&tensor.name).tensor(tensor, key, precision);
    }
    pickle.end_dict();
    if dims.is_some() {
        pickle.end_dict();
    }
    let storages: Vec<Vec<u8>> = tensors
        .iter()
        .map(|tensor| precision.bytes(&tensor.values))
        .collect();
    match format {
        PyTorch::Zip => zip(&pickle.end(), &storages),
        PyTorch::Legacy => legacy(&pickle.end(), &storages, precision),
    }
}

/// A pickle in protocol 2.
#[derive(Debug)]
pub struct Pickle(Vec<u8>);

impl Pickle {
    /// An empty one.
    #[expect(clippy::new_without_default, reason = "one that is empty is no pickle")]
    pub fn new() -> Self {
        Self(vec![0x80, 2])
    }

    /// A text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.push(b"X").length(text.len()).push(text.as_bytes())
    }

    /// A number of 32 bits.
    pub fn integer(&mut self, integer: usize) -> &mut Self {
        self.push(b"J").length(integer)
    }

    /// A function or class.
    pub fn global(&mut self, module: &str, name: &str) -> &mut Self {
        self.push(format!("c{module}\n{name}\n").as_bytes())
    }

    /// A dictionary, and a mark.
    pub fn begin_dict(&mut self) -> &mut Self {
        self.push(b"}(")
    }

    /// Sets what came since the mark.
    pub fn end_dict(&mut self) -> &mut Self {
        self.push(b"u")
    }

    /// Instructions as they are.
    pub fn push(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend(bytes);
        self
    }

    /// Its bytes, ended.
    pub fn end(&mut self) -> Vec<u8> {
        [&self.0[..], b"."].concat()
    }

    fn length(&mut self, length: usize) -> &mut Self {
        self.push(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes())
    }

    fn tensor(&mut self, tensor: &Tensor, key: usize, precision: Precision) {
        let class = match precision {
            Precision::F32 => "FloatStorage",
            Precision::F16 => "HalfStorage",
            Precision::Bf16 => "BFloat16Storage",
        };
        self.global("torch._utils", "_rebuild_tensor_v2")
            .push(b"((");
        self.text("storage").global("torch", class);
        self.text(&key.to_string()).text("cpu");
        self.integer(tensor.values.len()).push(b"tQ").integer(0);
        let mut strides = vec![1; tensor.shape.len()];
        for at in (1..tensor.shape.len()).rev() {
            strides[at - 1] = strides[at] * tensor.shape[at];
        }
        if tensor.is_transposed {
            strides = vec![1, tensor.shape[0]];
        }
        for sizes in [&tensor.shape, &strides] {
            self.push(b"(");
            for size in sizes {
                self.integer(*size);
            }
            self.push(b"t");
        }
        self.push(&[0x89])
            .global("collections", "OrderedDict")
            .push(b")RtR");
    }
}

/// A zip archive of stored members, each behind a header that is filled up to 64 bytes.
fn zip(pickle: &[u8], storages: &[Vec<u8>]) -> Vec<u8> {
    let mut members = vec![
        ("archive/data.pkl".to_owned(), pickle),
        ("archive/byteorder".to_owned(), b"little"),
    ];
    for (key, bytes) in storages.iter().enumerate() {
        members.push((format!("archive/data/{key}"), bytes));
    }
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in &members {
        let header_at = file.len();
        let padding = (64 - (file.len() + 30 + name.len() + 4) % 64) % 64 + 4;
        let head = member_head(bytes, name.len());
        file.extend(b"PK\x03\x04\x14\0");
        file.extend(&head);
        file.extend(half(padding));
        file.extend(name.as_bytes());
        file.extend(b"FB");
        file.extend(half(padding - 4));
        file.resize(file.len() + padding - 4, b'Z');
        file.extend(*bytes);
        directory.extend(b"PK\x01\x02\0\0\x14\0");
        directory.extend(head);
        directory.extend([0; 12]);
        directory.extend(word(header_at));
        directory.extend(name.as_bytes());
    }
    let directory_at = file.len();
    file.extend(&directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([half(members.len()), half(members.len())].concat());
    file.extend([word(directory.len()), word(directory_at)].concat());
    file.extend(half(0));
    file
}

/// Flags, method, time, date, checksum, both lengths, length of the name.
fn member_head(bytes: &[u8], name: usize) -> Vec<u8> {
    let mut checksum = Crc::new();
    checksum.update(bytes);
    let mut head = vec![0; 8];
    head.extend(checksum.sum().to_le_bytes());
    head.extend([word(bytes.len()), word(bytes.len())].concat());
    head.extend(half(name));
    head
}

fn legacy(pickle: &[u8], storages: &[Vec<u8>], precision: Precision) -> Vec<u8> {
    let magic = *b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    let mut file = Pickle::new().push(&magic).end();
    file.extend(Pickle::new().integer(1001).end());
    let mut machine = Pickle::new();
    machine
        .begin_dict()
        .text("little_endian")
        .push(&[0x88])
        .end_dict();
    file.extend(machine.end());
    file.extend(pickle);
    let mut keys = Pickle::new();
    keys.push(b"](");
    for key in 0..storages.len() {
        keys.text(&key.to_string());
    }
    file.extend(keys.push(b"e").end());
    let size = precision.bytes(&[0.0]).len();
    for storage in storages {
        file.extend(((storage.len() / size) as u64).to_le_bytes());
        file.extend(storage);
    }
    file
}

fn half(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes()
}

fn word(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
}
