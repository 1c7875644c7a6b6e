//! Folders as transformers writes them: `config.json`, `model.safetensors` (or shards named by
//! `model.safetensors.index.json`, or one file of another name), `tokenizer.json` (or `vocab.json`, `merges.txt` and
//! `added_tokens.json`), and, missing in old checkpoints, `generation_config.json` and `preprocessor_config.json`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::{Contents, Form};
use crate::checkpoint::{
    EmbeddedFiles, LoadError,
    configuration::{ConfigFile, GenerationConfig, PreprocessorFile},
    files::WeightFile,
    folder::{Folder, names},
    json,
    stored::{Number, Stored, Values},
    tokenizer::{self, Added},
};

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const PREPROCESSOR_CONFIG: &str = "preprocessor_config.json";
const TOKENIZER: &str = "tokenizer.json";
const WEIGHTS: &str = "model.safetensors";
const WEIGHTS_INDEX: &str = "model.safetensors.index.json";
/// What peft writes: differences to the weights of another checkpoint.
const ADAPTER: &str = "adapter_model.safetensors";

/// Whether a file begins as safetensors do: the length of a header, and the header.
pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.get(8) == Some(&b'{') && bytes.get(5..8) == Some(&[0; 3])
}

/// `None` where the folder has no weights of this form.
pub(super) fn open(folder: Folder<'_>) -> Result<Option<Contents>, LoadError> {
    let Some(weights) = weights(folder.path())? else {
        return Ok(None);
    };
    let weights: Result<_, _> = weights.into_iter().map(WeightFile::map).collect();
    assemble(folder, Form::Safetensors, weights?).map(Some)
}

/// The contents of a folder whose weights, of whatever form, are known.
pub(super) fn assemble(
    folder: Folder<'_>,
    form: Form,
    weights: Vec<WeightFile>,
) -> Result<Contents, LoadError> {
    let remedy = "the directory should hold a Hugging Face Whisper checkpoint";
    let (config_path, config) = folder.required(CONFIG, remedy)?;
    let config: ConfigFile = json::parse(&config_path, &config)?;
    let preprocessor = folder.read(PREPROCESSOR_CONFIG)?;
    check_preprocessor(preprocessor, &config)?;
    Ok(Contents {
        form,
        config_path,
        generation: generation(folder.read(GENERATION_CONFIG)?)?,
        tokenizer: tokenizer(folder, config.vocabulary())?,
        config,
        weights,
    })
}

pub(super) fn embedded(files: EmbeddedFiles) -> Result<Contents, LoadError> {
    let path = |name: &str| Path::new(files.name).join(name);
    let named = |name: &str, bytes: Option<&[u8]>| Some((path(name), bytes?.to_vec()));
    let config: ConfigFile = json::parse(&path(CONFIG), files.config)?;
    check_preprocessor(
        named(PREPROCESSOR_CONFIG, files.preprocessor_config),
        &config,
    )?;
    Ok(Contents {
        form: Form::Safetensors,
        config_path: path(CONFIG),
        config,
        generation: generation(named(GENERATION_CONFIG, files.generation_config))?,
        tokenizer: files.tokenizer.to_vec(),
        weights: vec![WeightFile::embedded(path(WEIGHTS), files.weights)],
    })
}

fn check_preprocessor(
    file: Option<(PathBuf, Vec<u8>)>,
    config: &ConfigFile,
) -> Result<(), LoadError> {
    let Some((path, bytes)) = file else {
        tracing::debug!("no preprocessor_config.json, taking num_mel_bins of config.json");
        return Ok(());
    };
    json::parse::<PreprocessorFile>(&path, &bytes)?.check(&path, config)
}

fn generation(file: Option<(PathBuf, Vec<u8>)>) -> Result<GenerationConfig, LoadError> {
    let Some((path, bytes)) = file else {
        tracing::debug!("no generation_config.json, taking what config.json says");
        return Ok(GenerationConfig::default());
    };
    json::parse(&path, &bytes)
}

/// The files of the weights: the single one if it is there, or the shards that the index names, in the order of their
/// names, or one file of another name.
fn weights(directory: &Path) -> Result<Option<Vec<PathBuf>>, LoadError> {
    let single = directory.join(WEIGHTS);
    if single.exists() {
        return Ok(Some(vec![single]));
    }
    if let Some((path, bytes)) = Folder::new(directory).read(WEIGHTS_INDEX)? {
        return shards(&path, &bytes).map(Some);
    }
    let mut others = names(directory)?;
    others.retain(|name| name.ends_with(".safetensors"));
    let has_adapter = others.iter().any(|name| name == ADAPTER);
    others.retain(|name| name != ADAPTER);
    match &others[..] {
        [] if has_adapter => Err(adapter(directory.join(ADAPTER))),
        [] => Ok(None),
        [one] => Ok(Some(vec![directory.join(one)])),
        _ => Err(LoadError::Several {
            path: directory.to_owned(),
            what: "weight files",
            found: others.join(", "),
        }),
    }
}

fn adapter(path: PathBuf) -> LoadError {
    LoadError::NotServed {
        path,
        what: "an adapter, not a whole model",
        remedy: "merge it into its model (merge_and_unload of peft), and save that",
    }
}

/// The files that an index names, in the order of their names.
pub(super) fn shards(index_path: &Path, bytes: &[u8]) -> Result<Vec<PathBuf>, LoadError> {
    #[derive(Deserialize)]
    struct IndexFile {
        weight_map: HashMap<String, String>,
    }
    let index: IndexFile = json::parse(index_path, bytes)?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    shards
        .into_iter()
        .map(|shard| {
            // The index is data: it must not lead out of its directory.
            if Path::new(&shard).file_name() == Some(shard.as_ref()) {
                Ok(index_path.with_file_name(shard))
            } else {
                Err(LoadError::ShardName {
                    path: index_path.to_owned(),
                    shard,
                })
            }
        })
        .collect()
}

/// The text of `tokenizer.json`, or one that is made of `vocab.json`, `merges.txt` and `added_tokens.json`.
pub(super) fn tokenizer(folder: Folder<'_>, vocabulary: usize) -> Result<Vec<u8>, LoadError> {
    if let Some((_, bytes)) = folder.read(TOKENIZER)? {
        return Ok(json::without_mark(&bytes).to_vec());
    }
    let (Some((vocab_path, vocab)), Some((_, merges))) =
        (folder.read("vocab.json")?, folder.read("merges.txt")?)
    else {
        return Err(LoadError::FileMissing {
            path: folder.path().join(TOKENIZER),
            remedy: "the words of a checkpoint are in this file, or in vocab.json and merges.txt; take it from the checkpoint that was trained further, or save it with the processor's save_pretrained",
        });
    };
    let vocab: BTreeMap<String, u32> = json::parse(&vocab_path, &vocab)?;
    let added: BTreeMap<String, u32> = match folder.read("added_tokens.json")? {
        Some((path, bytes)) => json::parse(&path, &bytes)?,
        None => BTreeMap::new(),
    };
    let mut words: BTreeMap<u32, String> = vocab
        .into_iter()
        .map(|(word, token)| (token, word))
        .collect();
    let mut all_added: BTreeMap<u32, Added> = BTreeMap::new();
    let special_words = words.extract_if(.., |_, word| tokenizer::looks_special(word));
    let named = added.into_iter().map(|(text, token)| (token, text));
    for (id, text) in special_words.chain(named) {
        let is_special = tokenizer::looks_special(&text) && !tokenizer::is_timestamp(&text);
        all_added.insert(
            id,
            Added {
                id,
                text,
                is_special,
            },
        );
    }
    // Old checkpoints do not list those that all have.
    for added in tokenizer::special_tokens(vocabulary).unwrap_or_default() {
        if !words.contains_key(&added.id) {
            all_added.entry(added.id).or_insert(added);
        }
    }
    let added: Vec<Added> = all_added.into_values().collect();
    let merges = String::from_utf8_lossy(json::without_mark(&merges)).into_owned();
    let merges: Vec<(String, String)> = merges
        .lines()
        .filter(|line| !line.starts_with("#version"))
        .filter_map(|line| line.split_once(' '))
        .map(|(left, right)| (left.to_owned(), right.trim_end().to_owned()))
        .collect();
    Ok(tokenizer::with_merges(&words, &merges, &added))
}

/// What safetensors files hold.
pub(super) fn tensors(files: &[WeightFile]) -> Result<Vec<Stored<'_>>, LoadError> {
    let mut found = Vec::new();
    for file in files {
        let header =
            SafeTensors::deserialize(file.bytes()).map_err(|source| LoadError::Header {
                path: file.path().to_owned(),
                source,
            })?;
        for (name, view) in header.tensors() {
            if name.contains(".lora_A.") {
                return Err(adapter(file.path().to_owned()));
            }
            let number = |number| Values::Numbers(number, view.data().into());
            found.push(Stored {
                name: plain_name(&name).to_owned(),
                path: file.path(),
                shape: view.shape().to_vec(),
                values: match view.dtype() {
                    Dtype::F64 => number(Number::F64),
                    Dtype::F32 => number(Number::F32),
                    Dtype::F16 => number(Number::F16),
                    Dtype::BF16 => number(Number::Bf16),
                    other => Values::Unread(format!("{other:?}")),
                },
                called: name,
            });
        }
    }
    Ok(found)
}

/// A tensor's name without what wrappers of training put before it: distribution, compilation, adapters, the output head.
pub(super) fn plain_name(mut name: &str) -> &str {
    const WRAPPERS: [&str; 4] = ["module.", "_orig_mod.", "base_model.model.", "model."];
    while let Some(inner) = WRAPPERS
        .iter()
        .find_map(|wrapper| name.strip_prefix(wrapper))
    {
        name = inner;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_of_training_are_no_part_of_a_name() {
        for wrapped in [
            "encoder.conv1.weight",
            "model.encoder.conv1.weight",
            "module.model.encoder.conv1.weight",
            "base_model.model.model.encoder.conv1.weight",
            "_orig_mod.module.encoder.conv1.weight",
        ] {
            assert_eq!(plain_name(wrapped), "encoder.conv1.weight", "{wrapped}");
        }
        assert_eq!(plain_name("proj_out.weight"), "proj_out.weight");
    }
}
