//! What is served, and how it decodes.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::runtime::PullPolicy;

/// Which model, and where its files come from.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    /// A Whisper size (`tiny`, `base`, `small`, `medium`, `large-v3`, `large-v3-turbo`; `.en` for English only), a hub id
    /// (`openai/whisper-base`), or `demo`, which is built into the server.
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")
    )]
    #[x_kube(validation = ("!self.contains('..')", "model.name must not contain '..'"))]
    pub name: String,
    /// Where the files come from; the hub, under the model's name, when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ModelSource>,
}

/// One of three places.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(validation = (
    "[has(self.huggingFace), has(self.persistentVolumeClaim), has(self.image)].filter(given, given).size() <= 1",
    "model.source takes one of huggingFace, persistentVolumeClaim and image"
))]
#[serde(rename_all = "camelCase")]
pub struct ModelSource {
    /// A model hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hugging_face: Option<HuggingFace>,
    /// A volume that was filled beforehand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<VolumeSource>,
    /// An OCI image that is mounted as a volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageVolume>,
}

/// A repository of a model hub.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HuggingFace {
    /// Such as `openai/whisper-base`; from the model's name when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 3, max = 128),
        regex(pattern = r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$")
    )]
    pub repo: Option<String>,
    /// Branch, tag or commit; a commit makes rollouts reproducible.
    #[serde(default = "main_branch")]
    #[schemars(
        length(min = 1, max = 64),
        regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    )]
    pub revision: String,
    /// A mirror of the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = r"^https://[^\s]+$"))]
    pub endpoint: Option<String>,
    /// The token for private models. The pods read it; the operator never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKey>,
}

fn main_branch() -> String {
    "main".to_owned()
}

/// One value of a secret in the same namespace.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// Name of the secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Which of its values.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A folder of a claim, mounted read-only.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSource {
    /// Name of the claim.
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: String,
    /// The folder with `config.json`, `tokenizer.json` and the weights.
    #[serde(default = "root")]
    #[schemars(length(max = 512), regex(pattern = "^/"))]
    #[x_kube(validation = ("!self.split('/').exists(part, part == '..')", "path must not contain '..'"))]
    pub path: String,
}

/// A folder of an OCI image, mounted read-only. Needs image volumes: Kubernetes 1.35, or the feature gate.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ImageVolume {
    /// With a tag or a digest.
    #[schemars(
        length(min = 1, max = 512),
        regex(
            pattern = r"^[^\s@:]+(:[0-9]+/[^\s@:]+)?(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64}|:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}@sha256:[0-9a-f]{64})$"
        )
    )]
    pub reference: String,
    /// When it is fetched.
    #[serde(default)]
    pub pull_policy: PullPolicy,
    /// The folder with `config.json`, `tokenizer.json` and the weights.
    #[serde(default = "root")]
    #[schemars(length(max = 512), regex(pattern = "^/"))]
    #[x_kube(validation = ("!self.split('/').exists(part, part == '..')", "path must not contain '..'"))]
    pub path: String,
}

fn root() -> String {
    "/".to_owned()
}

/// Languages, as codes that Whisper knows (`en`, `de`, `pt`).
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = ("!has(self.forced) || !has(self.allowed) || self.forced in self.allowed",
        "language.forced must be among language.allowed"),
    validation = ("self.default == 'auto' || !has(self.allowed) || self.default in self.allowed",
        "language.default must be auto or among language.allowed")
)]
#[serde(rename_all = "camelCase")]
pub struct Language {
    /// Language when the client says none: a code such as `de`, or `auto` to detect it.
    #[serde(default = "auto")]
    #[schemars(
        length(max = 16),
        regex(pattern = "^(auto|[a-z]{2,3}(-[A-Za-z0-9]{2,8})*)$")
    )]
    pub default: String,
    /// Language of every utterance, whatever the client says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), regex(pattern = "^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$"))]
    #[x_kube(validation = ("self != 'auto'", "language.forced must be a code, not auto"))]
    pub forced: Option<String>,
    /// The only languages that are answered and detected; all of the model's when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 100),
        inner(length(max = 16), regex(pattern = "^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub allowed: Option<Vec<String>>,
}

impl Default for Language {
    fn default() -> Self {
        Self {
            default: auto(),
            forced: None,
            allowed: None,
        }
    }
}

fn auto() -> String {
    "auto".to_owned()
}

/// What is written down.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Task {
    /// What is said.
    #[default]
    Transcribe,
    /// The same in English.
    Translate,
}

/// How tokens are chosen.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Decoding {
    /// Hypotheses that are kept: 1 is the fastest, 5 more accurate; 0 is 5 on the CPU and 1 on a GPU.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10))]
    pub beam_size: i32,
    /// Text that the model takes for what came before: names and spellings to expect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub initial_prompt: Option<String>,
    /// What the encoder reads of a window of 30 s: `Auto`, the audio, a margin and samples of the padding behind it,
    /// which is several times faster for short commands; `Exact`, all of it, as the model was trained; or `Dynamic`, the
    /// audio and a margin only, which costs accuracy.
    #[serde(default)]
    pub audio_context: AudioContext,
}

/// What the encoder reads of a window.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AudioContext {
    /// The audio, a margin, and samples of the padding behind it.
    #[default]
    Auto,
    /// A window of 30 s, as the model was trained.
    Exact,
    /// The audio and a margin.
    Dynamic,
}
