//! Weights as the kernels read them, kept in a file beside the checkpoint's, so that the next start need not read and
//! round the whole checkpoint again.
//!
//! It is a file of safetensors: plain values as they are, packed matrices as bytes, and an [`Index`] in its metadata.
//! The header comes first and is known last, so there is [room](HEADER) for it, padded with spaces.
//!
//! The file is read, not mapped: a mapping that serving depends on would end the process when another program cuts the
//! file off. It is trusted only while the weight files look as they did, the program is of the same version, and
//! checksums agree; otherwise it is written anew. It appears under its name when it is whole.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use flate2::Crc;
use kernels::{IntMatrix, Rounding, SplitMatrix};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::{LoadError, files::WeightFile};

/// Beside a checkpoint that is a folder.
const NAME: &str = "model.int8.packed";
/// Weights of which a folder has one. Any other single file may have others beside it, each with packed weights of its
/// own.
const OF_FOLDERS: [&str; 3] = ["model.safetensors", "model.bin", "pytorch_model.bin"];
/// Places of a weight file that are compared, and bytes of each: a fine-tune changes most of its weights.
const SAMPLES: usize = 256;
const SAMPLE_BYTES: usize = 1 << 10;
/// Bytes of the header: that of 1,300 tensors, as large-v3 has, takes a third of it.
const HEADER: usize = 1 << 19;
/// The metadata of the file: a checksum, a space and the JSON of an [`Index`].
const INDEX: &str = "wyoming-stt";
/// To be changed when what the network makes of a checkpoint's tensors before they are kept comes to differ.
const FORMAT: u32 = 4;

/// What the file holds, and of what.
#[derive(Debug, Deserialize, Serialize)]
struct Index {
    format: u32,
    layout: u32,
    program: String,
    weights: Vec<Stamp>,
    sha256: String,
    parameters: u64,
    tensors: BTreeMap<String, Entry>,
}

/// By what a change of a weight file is noticed.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Stamp {
    name: String,
    bytes: u64,
    /// Since 1970.
    changed_ns: u64,
    /// SHA-256 of [`SAMPLES`] places: a copy may have the size and the time of another file.
    sample: String,
}

/// What safetensors does not say of a tensor.
#[derive(Debug, Deserialize, Serialize)]
struct Entry {
    /// Of the matrix, where bytes are kept.
    shape: Vec<usize>,
    /// The name of a matrix's rounding; none for plain values.
    rounding: Option<String>,
    checksum: u32,
}

/// A file of packed weights, to be read.
#[derive(Debug)]
pub(crate) struct PackedFile {
    path: PathBuf,
    file: Mutex<File>,
    index: Index,
    /// Where in the file which tensor is.
    places: Metadata,
    /// Where the first is.
    start: u64,
}

impl PackedFile {
    /// `None` where there is no such file.
    ///
    /// # Errors
    /// [`LoadError::Packed`] for one that is not of these weights, of another version, or damaged.
    pub(super) fn open(weights: &[WeightFile]) -> Result<Option<Self>, LoadError> {
        let Some(path) = path_beside(weights) else {
            return Ok(None);
        };
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened,
        };
        let read = file.and_then(|mut file| Ok((Head::read(&mut file)?, file)));
        let (head, file) = read.map_err(|error| unusable(&path, &error.to_string()))?;
        let index = head.index;
        let is_of_this_program = index.format == FORMAT
            && index.layout == IntMatrix::LAYOUT
            && index.program == env!("CARGO_PKG_VERSION");
        if !is_of_this_program {
            return Err(unusable(&path, "another version wrote it"));
        }
        if stamps(weights) != index.weights {
            return Err(unusable(&path, "the weights have changed since"));
        }
        Ok(Some(Self {
            path,
            file: Mutex::new(file),
            index,
            places: head.places,
            start: head.start,
        }))
    }

    /// Of the weight files.
    pub(crate) fn sha256(&self) -> &str {
        &self.index.sha256
    }

    /// Number of weights.
    pub(crate) fn parameters(&self) -> u64 {
        self.index.parameters
    }

    /// The values of a tensor in f32.
    pub(crate) fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LoadError> {
        let bytes = self.read(name, shape, None)?;
        let words = bytes.as_chunks().0.iter();
        let values: Vec<f32> = words.map(|word| f32::from_le_bytes(*word)).collect();
        if values.len() != shape.iter().product::<usize>() {
            return Err(self.unusable(&format!("{name} has another shape")));
        }
        Ok(values)
    }

    /// A packed matrix.
    pub(crate) fn matrix(
        &self,
        name: &str,
        rounding: Rounding,
        shape: [usize; 2],
    ) -> Result<IntMatrix, LoadError> {
        let bytes = self.read(name, &shape, Some(name_of(rounding)))?;
        let matrix = IntMatrix::from_bytes(rounding, shape, &bytes);
        matrix.ok_or_else(|| self.unusable(&format!("{name} has another shape")))
    }

    /// A packed matrix in two parts.
    pub(crate) fn split_matrix(
        &self,
        name: &str,
        shape: [usize; 2],
    ) -> Result<SplitMatrix, LoadError> {
        let bytes = self.read(name, &shape, Some(SPLIT))?;
        let matrix = SplitMatrix::from_bytes(shape, &bytes);
        matrix.ok_or_else(|| self.unusable(&format!("{name} has another shape")))
    }

    fn read(
        &self,
        name: &str,
        shape: &[usize],
        rounding: Option<&str>,
    ) -> Result<Vec<u8>, LoadError> {
        let entry = self.index.tensors.get(name).zip(self.places.info(name));
        let (entry, place) = entry.ok_or_else(|| self.unusable(&format!("{name} is missing")))?;
        // The places lie within the file, as its length was compared, so no memory is asked for that it does not have.
        let (start, end) = place.data_offsets;
        if entry.shape != shape || entry.rounding.as_deref() != rounding {
            return Err(self.unusable(&format!("{name} has another shape")));
        }
        let mut bytes = vec![0; end - start];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.start + start as u64))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|error| self.unusable(&error.to_string()))?;
        drop(file);
        if checksum(&bytes) != entry.checksum {
            return Err(self.unusable(&format!("{name} is damaged")));
        }
        Ok(bytes)
    }

    fn unusable(&self, reason: &str) -> LoadError {
        unusable(&self.path, reason)
    }
}

/// A file of packed weights on its way. Dropped before it is finished, it leaves nothing.
#[derive(Debug)]
pub(crate) struct Packing {
    path: PathBuf,
    out: BufWriter<NamedTempFile>,
    /// Bytes of tensors so far.
    position: usize,
    places: Vec<(String, TensorInfo)>,
    index: Index,
    /// The first error: what follows it is not written.
    failed: Option<io::Error>,
}

impl Packing {
    /// `None` for weights that are not in files.
    ///
    /// # Errors
    /// Where the folder cannot be written to.
    pub(super) fn begin(weights: &[WeightFile]) -> io::Result<Option<Self>> {
        let Some(path) = path_beside(weights) else {
            return Ok(None);
        };
        let permissions = fs::metadata(weights[0].path())?.permissions();
        let weights = stamps(weights);
        remove_left_over(&path);
        // Several servers may start on one folder at the same time.
        let out = tempfile::Builder::new()
            .prefix(&beginning(&path))
            .tempfile_in(path.parent().unwrap_or_else(|| Path::new(".")))?;
        let mut packing = Self {
            out: BufWriter::with_capacity(1 << 20, out),
            path,
            position: 0,
            places: Vec::new(),
            index: Index {
                format: FORMAT,
                layout: IntMatrix::LAYOUT,
                program: env!("CARGO_PKG_VERSION").to_owned(),
                weights,
                sha256: String::new(),
                parameters: 0,
                tensors: BTreeMap::new(),
            },
            failed: None,
        };
        // Users that may not read the weights may not read them here.
        packing
            .out
            .get_ref()
            .as_file()
            .set_permissions(permissions)?;
        packing.write(&vec![b' '; 8 + HEADER]);
        Ok(Some(packing))
    }

    pub(crate) fn add_values(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.add(name, shape, None, &bytes);
    }

    pub(crate) fn add_matrix(
        &mut self,
        name: &str,
        rounding: Rounding,
        shape: [usize; 2],
        matrix: &IntMatrix,
    ) {
        let bytes = matrix.to_bytes();
        self.add(name, &shape, Some(name_of(rounding)), &bytes);
    }

    pub(crate) fn add_split_matrix(&mut self, name: &str, shape: [usize; 2], matrix: &SplitMatrix) {
        self.add(name, &shape, Some(SPLIT), &matrix.to_bytes());
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// The first that came up on the way; then there is no file.
    pub(crate) fn finish(mut self, sha256: &str, parameters: u64) -> io::Result<PathBuf> {
        sha256.clone_into(&mut self.index.sha256);
        self.index.parameters = parameters;
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let header = header(&self.index, self.places)?;
        let mut file = self.out.into_inner()?;
        file.rewind()?;
        file.write_all(&(HEADER as u64).to_le_bytes())?;
        file.write_all(&header)?;
        file.persist(&self.path)?;
        Ok(self.path)
    }

    fn add(&mut self, name: &str, shape: &[usize], rounding: Option<&str>, bytes: &[u8]) {
        let entry = Entry {
            shape: shape.to_vec(),
            rounding: rounding.map(str::to_owned),
            checksum: checksum(bytes),
        };
        let end = self.position + bytes.len();
        let (dtype, shape) = match rounding {
            None => (Dtype::F32, shape.to_vec()),
            Some(_) => (Dtype::U8, vec![bytes.len()]),
        };
        let place = TensorInfo {
            dtype,
            shape,
            data_offsets: (self.position, end),
        };
        self.write(bytes);
        self.position = end;
        self.places.push((name.to_owned(), place));
        self.index.tensors.insert(name.to_owned(), entry);
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.failed = self.out.write_all(bytes).err();
        }
    }
}

/// The header's JSON, in the room that there is for it.
fn header(index: &Index, places: Vec<(String, TensorInfo)>) -> io::Result<Vec<u8>> {
    let index = serde_json::to_string(index)?;
    let index = format!("{} {index}", checksum(index.as_bytes()));
    let metadata = HashMap::from([(INDEX.to_owned(), index)]);
    let places = Metadata::new(Some(metadata), places).map_err(io::Error::other)?;
    let mut header = serde_json::to_vec(&places)?;
    if header.len() > HEADER {
        return Err(io::Error::other("there are too many tensors"));
    }
    header.resize(HEADER, b' ');
    Ok(header)
}

fn path_beside(weights: &[WeightFile]) -> Option<PathBuf> {
    let first = weights.first().filter(|file| file.is_mapped())?;
    let file = first.path().file_name()?.to_string_lossy();
    let is_of_folder = weights.len() > 1 || OF_FOLDERS.contains(&&*file);
    let name = if is_of_folder {
        NAME.to_owned()
    } else {
        format!("{file}.int8.packed")
    };
    Some(first.path().with_file_name(name))
}

/// Removes what processes left that were killed while they wrote: one that runs out of memory at each start would fill
/// the disk. What is younger may still be written.
fn remove_left_over(path: &Path) {
    const LONGEST: Duration = Duration::from_secs(600);
    let Some(folder) = path.parent() else {
        return;
    };
    let begin = beginning(path);
    for file in fs::read_dir(folder).into_iter().flatten().flatten() {
        let age = file.metadata().and_then(|metadata| metadata.modified());
        let age = age.ok().and_then(|changed| changed.elapsed().ok());
        let is_ours = file.file_name().to_string_lossy().starts_with(&begin);
        if is_ours && age.is_some_and(|age| age > LONGEST) {
            fs::remove_file(file.path()).ok();
        }
    }
}

/// How the names of files on their way begin.
fn beginning(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    format!("{}.", name.to_string_lossy())
}

/// Of the files that were mapped, whatever has their names by now.
fn stamps(weights: &[WeightFile]) -> Vec<Stamp> {
    let stamp = |file: &WeightFile| {
        let name = file.path().file_name().unwrap_or_default();
        Stamp {
            name: name.to_string_lossy().into_owned(),
            bytes: file.bytes().len() as u64,
            changed_ns: file.changed_ns(),
            sample: sample(file.bytes()),
        }
    };
    weights.iter().map(stamp).collect()
}

/// The checksum of places at equal distances, the first and the last bytes among them.
fn sample(bytes: &[u8]) -> String {
    let last = bytes.len().saturating_sub(SAMPLE_BYTES);
    let mut hasher = Sha256::new();
    for place in 0..SAMPLES {
        // Divided first: a product may be too large where addresses have 32 bits.
        let start = last / (SAMPLES - 1) * place + last % (SAMPLES - 1) * place / (SAMPLES - 1);
        let end = bytes.len().min(start + SAMPLE_BYTES);
        hasher.update(bytes.get(start..end).unwrap_or_default());
    }
    format!("{:x}", hasher.finalize())
}

/// What comes before the tensors.
struct Head {
    index: Index,
    places: Metadata,
    start: u64,
}

impl Head {
    fn read(file: &mut File) -> io::Result<Self> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "it is not whole");
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(|_| damaged())?;
        if u64::from_le_bytes(length) != HEADER as u64 {
            return Err(damaged());
        }
        let mut header = vec![0; HEADER];
        file.read_exact(&mut header).map_err(|_| damaged())?;
        let places: Metadata = serde_json::from_slice(&header).map_err(|_| damaged())?;
        let start = (length.len() + HEADER) as u64;
        if file.metadata()?.len() != start + places.data_len() as u64 {
            return Err(damaged());
        }
        let index = index(places.metadata().as_ref()).ok_or_else(damaged)?;
        Ok(Self {
            index,
            places,
            start,
        })
    }
}

/// `None` where it is missing or damaged.
fn index(metadata: Option<&HashMap<String, String>>) -> Option<Index> {
    let (sum, index) = metadata?.get(INDEX)?.split_once(' ')?;
    let is_whole = sum.parse() == Ok(checksum(index.as_bytes()));
    is_whole.then(|| serde_json::from_str(index).ok())?
}

fn unusable(path: &Path, reason: &str) -> LoadError {
    LoadError::Packed {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut checksum = Crc::new();
    checksum.update(bytes);
    checksum.sum()
}

/// The rounding of a matrix in two parts.
const SPLIT: &str = "split";

fn name_of(rounding: Rounding) -> &'static str {
    match rounding {
        Rounding::Int8 => "int8",
        Rounding::Int8ByInt16 => "int8 by int16",
        Rounding::Int16 => "int16",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_beside_each_other_have_packed_weights_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let beside = |names: &[&str]| {
            let map = |name: &&str| {
                let path = folder.path().join(name);
                fs::write(&path, b"weights").unwrap();
                WeightFile::map(path).unwrap()
            };
            let weights: Vec<WeightFile> = names.iter().map(map).collect();
            path_beside(&weights)
                .unwrap()
                .file_name()
                .unwrap()
                .to_owned()
        };
        for (names, expected) in [
            (&["tiny.pt"][..], "tiny.pt.int8.packed"),
            (&["base.pt"], "base.pt.int8.packed"),
            (&["ggml-base.bin"], "ggml-base.bin.int8.packed"),
            (&["model.safetensors"], NAME),
            (&["model.bin"], NAME),
            (&["a-1-of-2.safetensors", "a-2-of-2.safetensors"], NAME),
        ] {
            assert_eq!(beside(names), expected, "{names:?}");
        }
    }

    #[test]
    fn samples_span_files_of_any_size() {
        for length in [0, 1, 100, SAMPLE_BYTES, SAMPLE_BYTES + 1, 700_001] {
            let plain = vec![1; length];
            for place in [0, length / 2, length.saturating_sub(1)] {
                let mut other = plain.clone();
                let Some(byte) = other.get_mut(place) else {
                    continue;
                };
                *byte = 2;
                let is_seen = sample(&plain) != sample(&other);
                // The middle may lie between two places of a long file.
                assert!(is_seen || place == length / 2, "{place} of {length}");
            }
        }
        assert_eq!(sample(&[7; 5_000]), sample(&[7; 5_000]));
    }
}
