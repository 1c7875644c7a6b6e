//! Where hub models come from and where they are kept, as typed. The names of the environment are
//! those that Hugging Face's own tools read.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::builder::FalseyValueParser;

/// Where the container image keeps a model that was baked in.
const INSTALLED: &str = "/usr/share/wyoming-stt";

/// Settings of hub models.
#[derive(Clone, Debug, clap::Args)]
pub struct HubArgs {
    /// Revision of a hub model: a branch, a tag, or a commit to pin it.
    #[arg(long, env = "STT_REVISION", default_value = "main")]
    pub revision: Revision,
    /// Folder that keeps hub models. By default the one of Hugging Face's tools: $HF_HUB_CACHE,
    /// $HF_HOME/hub or ~/.cache/huggingface/hub.
    #[arg(long, env = "STT_DOWNLOAD_DIR", value_name = "DIR")]
    pub download_dir: Option<PathBuf>,
    /// Folders to look for hub models in, before a download is tried: in the layout of Hugging Face's tools, or with a
    /// folder named after the model. Without --download-dir the first of them that exists keeps what is fetched.
    #[arg(long, env = "STT_DATA_DIR", value_name = "DIR", value_delimiter = ',')]
    pub data_dir: Vec<PathBuf>,
    /// Never use the network for models.
    #[arg(long, env = "STT_OFFLINE", alias = "local-files-only", value_parser = FalseyValueParser::new())]
    pub offline: bool,
    /// The hub, or a mirror of it.
    #[arg(
        long,
        env = "HF_ENDPOINT",
        default_value = "https://huggingface.co",
        value_name = "URL",
        hide = true
    )]
    hf_endpoint: String,
    /// Token for private and gated models; else the one in the file `token` of the hub's home.
    #[arg(long, env = "HF_TOKEN", hide_env_values = true, hide = true)]
    hf_token: Option<Secret>,
    #[arg(long, env = "HF_HUB_CACHE", hide = true)]
    hf_hub_cache: Option<PathBuf>,
    #[arg(long, env = "HF_HOME", hide = true)]
    hf_home: Option<PathBuf>,
    #[arg(long, env = "XDG_CACHE_HOME", hide = true)]
    xdg_cache_home: Option<PathBuf>,
    #[arg(long, env = "HF_HUB_OFFLINE", hide = true, value_parser = FalseyValueParser::new())]
    hf_hub_offline: bool,
}

impl HubArgs {
    /// The folder that holds a folder per model; `None` without a home.
    pub fn cache_dir(&self) -> Option<PathBuf> {
        let data_dir = || {
            let existing = self.data_dir.iter().find(|folder| folder.is_dir());
            existing.or_else(|| self.data_dir.first())
        };
        let given = self.download_dir.as_ref();
        let given = given.or_else(data_dir).or(self.hf_hub_cache.as_ref());
        given
            .cloned()
            .or_else(|| Some(self.hub_home()?.join("hub")))
    }

    /// Every folder that may hold a model already, the nearest first.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let mut folders: Vec<PathBuf> = self.cache_dir().into_iter().collect();
        for folder in &self.data_dir {
            if !folders.contains(folder) {
                folders.push(folder.clone());
            }
        }
        folders
    }

    /// Whether the network is forbidden.
    pub fn is_offline(&self) -> bool {
        self.offline || self.hf_hub_offline
    }

    /// Root of every URL, without a slash at its end.
    #[cfg(feature = "hub")]
    pub(super) fn endpoint(&self) -> &str {
        self.hf_endpoint.trim_end_matches('/')
    }

    /// What opens private and gated models.
    #[cfg(feature = "hub")]
    pub(super) fn token(&self) -> Option<Secret> {
        let stored = || {
            let text = std::fs::read_to_string(self.hub_home()?.join("token")).ok()?;
            Some(Secret(text.trim().to_owned()))
        };
        let token = self.hf_token.clone().or_else(stored)?;
        (!token.0.is_empty()).then_some(token)
    }

    /// Folders that may hold a model under its own name: those that were named, and where an image keeps its own.
    pub(super) fn plain_folders(&self) -> impl Iterator<Item = &Path> {
        let named = self.data_dir.iter().map(PathBuf::as_path);
        named.chain(std::iter::once(Path::new(INSTALLED)))
    }

    fn hub_home(&self) -> Option<PathBuf> {
        let below_cache = |cache: PathBuf| cache.join("huggingface");
        let home = || Some(std::env::home_dir()?.join(".cache"));
        self.hf_home.clone().or_else(|| {
            let cache = self.xdg_cache_home.clone().or_else(home)?;
            Some(below_cache(cache))
        })
    }
}

/// `OWNER/NAME` of a model on the hub.
#[derive(Clone, Debug, PartialEq)]
pub struct HubId {
    owner: String,
    name: String,
}

impl HubId {
    /// `None` for what no model is called.
    pub fn parse(text: &str) -> Option<Self> {
        let (owner, name) = text.split_once('/')?;
        (is_plain(owner) && is_plain(name)).then(|| Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The part behind the owner.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What the model's folder is called in the cache.
    pub(super) fn folder(&self) -> String {
        format!("models--{}--{}", self.owner, self.name)
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// A branch, tag or commit: parts such as in `refs/pr/1`, none of which leaves its folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision(String);

impl Revision {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The revision that a commit's name is.
    pub(super) fn of_commit(commit: &str) -> Self {
        Self(commit.to_owned())
    }

    /// Whether it is a whole commit hash, which never comes to mean something else.
    pub fn is_commit(&self) -> bool {
        self.0.len() == 40 && self.0.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

impl FromStr for Revision {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.split('/').all(is_plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err("not a branch, tag or commit")
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that no log shows.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.trim().to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Whether a text can be one part of a path, on disk and in a URL, without meaning anything else.
pub(super) fn is_plain(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
    !text.is_empty() && !text.starts_with('.') && text.len() <= 128 && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        hub: HubArgs,
    }

    fn parsed(arguments: &[&str]) -> HubArgs {
        Line::parse_from(["test"].iter().chain(arguments)).hub
    }

    #[test]
    fn an_id_is_an_owner_and_a_name() {
        assert_eq!(
            HubId::parse("openai/whisper-base").unwrap().folder(),
            "models--openai--whisper-base"
        );
        for wrong in [
            "base", "/base", "a/", "a/b/c", "../base", "a/..", "a b/c", "ü/c",
        ] {
            assert_eq!(HubId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_revision_stays_in_its_folder() {
        for right in ["main", "v1.0", "refs/pr/1", "a1b2"] {
            assert_eq!(right.parse::<Revision>().unwrap().as_str(), right);
        }
        for wrong in ["", "..", "a/../b", "/main", "main/", "a b"] {
            assert!(wrong.parse::<Revision>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_nearest_setting_names_the_folder() {
        let home = ["--hf-home", "/h", "--xdg-cache-home", "/x"];
        let folder = |arguments: &[&str]| parsed(arguments).cache_dir().unwrap();
        assert_eq!(folder(&home), PathBuf::from("/h/hub"));
        assert_eq!(folder(&home[2..]), PathBuf::from("/x/huggingface/hub"));
        let cache = [&home[..], &["--hf-hub-cache", "/c"]].concat();
        assert_eq!(folder(&cache), PathBuf::from("/c"));
        let given = [&cache[..], &["--download-dir", "/d"]].concat();
        assert_eq!(folder(&given), PathBuf::from("/d"));
    }

    #[test]
    fn a_token_is_never_shown() {
        let args = parsed(&["--hf-token", "hf_secret"]);
        assert!(!format!("{args:?}").contains("hf_secret"));
    }
}
