//! Spoken WAVs and their words.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use wyoming::AudioFormat;

/// A spoken WAV.
#[derive(Clone, Debug)]
pub struct Spoken {
    /// The file.
    pub path: PathBuf,
    /// What is said.
    pub words: String,
    /// How `pcm` is to be read.
    pub format: AudioFormat,
    /// The samples, as they stand in the file.
    pub pcm: Bytes,
}

/// All fixtures that the demo model must get right.
pub fn spoken() -> Vec<Spoken> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/audio");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wav"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths.into_iter().map(read).collect()
}

/// Two of them in one format.
pub fn spoken_in_one_format() -> [Spoken; 2] {
    let mut clips = spoken().into_iter();
    let first = clips.next().unwrap();
    let second = clips.find(|clip| clip.format == first.format).unwrap();
    [first, second]
}

fn read(path: PathBuf) -> Spoken {
    let words = std::fs::read_to_string(path.with_extension("txt")).unwrap();
    let bytes = Bytes::from(std::fs::read(&path).unwrap());
    let number = |at: usize, length: usize| {
        bytes[at..at + length]
            .iter()
            .rev()
            .fold(0_u32, |number, &byte| number << 8 | u32::from(byte))
    };
    // The chunks follow the 12 bytes of the RIFF header: name, length, content.
    let (mut at, mut format) = (12, None);
    loop {
        let length = number(at + 4, 4) as usize;
        match &bytes[at..at + 4] {
            b"fmt " => {
                let channels = u8::try_from(number(at + 10, 2)).unwrap();
                let width = u8::try_from(number(at + 22, 2) / 8).unwrap();
                format = AudioFormat::new(number(at + 12, 4), width, channels);
            }
            b"data" => {
                return Spoken {
                    words: words.trim().to_owned(),
                    format: format.unwrap(),
                    pcm: bytes.slice(at + 8..at + 8 + length),
                    path,
                };
            }
            _ => {}
        }
        at += 8 + length;
    }
}
