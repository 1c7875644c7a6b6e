//! API keys from a file, which is read again when it changes.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use subtle::{Choice, ConstantTimeEq};
use tracing::{info, warn};

/// A longer key is compared with nothing.
const MOST_KEY_BYTES: usize = 512;
/// A shorter one is found by trying.
const LEAST_KEY_BYTES: usize = 8;
/// More keys than this are a file of another kind.
const MOST_KEYS: usize = 1_000;
const MOST_FILE_BYTES: u64 = 1 << 20;
/// How often the file is looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Keys that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing but comments.
    #[error("{} has no key; write one on each line", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A line that is no key.
    #[error(
        "line {line} of {} is no key: it needs {LEAST_KEY_BYTES} to {MOST_KEY_BYTES} letters, digits or signs of ASCII, without spaces",
        path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// More than fits.
    #[error("{} has more than {MOST_KEYS} keys or {MOST_FILE_BYTES} bytes", path.display())]
    TooMany {
        /// The file.
        path: PathBuf,
    },
}

/// The keys of a file.
pub struct Keys {
    path: PathBuf,
    known: Mutex<Known>,
}

struct Known {
    keys: Vec<Key>,
    stamp: Option<Stamp>,
    looked: Instant,
}

/// A key with zeros behind it, so that comparing takes as long for every length.
struct Key {
    bytes: [u8; MOST_KEY_BYTES],
    length: u64,
}

/// What changes when a file is written or another takes its place.
type Stamp = (SystemTime, u64, u64);

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Keys")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Keys {
    /// Reads the file: a key on each line, `#` begins a comment line.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn of_file(path: &Path) -> Result<Self, KeysError> {
        let stamp = stamp(path);
        let keys = read(path)?;
        if keys.is_empty() {
            return Err(KeysError::Empty {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            known: Mutex::new(Known {
                keys,
                stamp,
                looked: Instant::now(),
            }),
        })
    }

    /// Whether a client's key is one of them. Takes as long for every key of theirs.
    pub(crate) fn has(&self, key: &[u8]) -> bool {
        let Some(asked) = Key::new(key) else {
            return false;
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.look(&self.path, LOOK_EVERY);
        let found = known.keys.iter().fold(Choice::from(0), |found, key| {
            found | (key.bytes.ct_eq(&asked.bytes) & key.length.ct_eq(&asked.length))
        });
        found.into()
    }
}

impl Known {
    /// Reads the file again if it has changed. A file that cannot be read leaves the keys as they are: while it is
    /// replaced it is not there for a moment. One without keys lets no client in.
    fn look(&mut self, path: &Path, every: Duration) {
        if self.looked.elapsed() < every {
            return;
        }
        self.looked = Instant::now();
        let stamp = stamp(path);
        if stamp == self.stamp {
            return;
        }
        self.stamp = stamp;
        match read(path) {
            Ok(keys) => {
                info!(keys = keys.len(), "API keys were read again");
                self.keys = keys;
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                warn!(
                    error,
                    "API keys could not be read again; those from before stay in use"
                );
            }
        }
    }
}

impl Key {
    fn new(key: &[u8]) -> Option<Self> {
        let mut bytes = [0; MOST_KEY_BYTES];
        bytes.get_mut(..key.len())?.copy_from_slice(key);
        Some(Self {
            bytes,
            length: key.len() as u64,
        })
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let file = fs::metadata(path).ok()?;
    Some((file.modified().ok()?, file.len(), file.ino()))
}

fn read(path: &Path) -> Result<Vec<Key>, KeysError> {
    let failed = |source| KeysError::Io {
        path: path.to_owned(),
        source,
    };
    let too_many = || KeysError::TooMany {
        path: path.to_owned(),
    };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MOST_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > MOST_FILE_BYTES {
        return Err(too_many());
    }
    let lines = (1..).zip(text.lines().map(str::trim));
    let keys: Vec<Key> = lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(line, key)| {
            let wrong = KeysError::Line {
                path: path.to_owned(),
                line,
            };
            let fits =
                key.len() >= LEAST_KEY_BYTES && key.bytes().all(|byte| byte.is_ascii_graphic());
            Key::new(key.as_bytes()).filter(|_| fits).ok_or(wrong)
        })
        .collect::<Result<_, _>>()?;
    if keys.len() > MOST_KEYS {
        return Err(too_many());
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn a_key_is_a_line_and_nothing_near_it() {
        let file = file("# the kitchen\nsk-kitchen-1\r\n\n  sk-garden-22  \n");
        let keys = Keys::of_file(file.path()).unwrap();
        for key in ["sk-kitchen-1", "sk-garden-22"] {
            assert!(keys.has(key.as_bytes()), "{key}");
        }
        let long = "x".repeat(MOST_KEY_BYTES + 1);
        for key in [
            "",
            "sk-kitchen",
            "sk-kitchen-12",
            "SK-KITCHEN-1",
            "# the kitchen",
            "sk-kitchen-1\0",
            &long,
        ] {
            assert!(!keys.has(key.as_bytes()), "{key}");
        }
        assert!(!format!("{keys:?}").contains("sk-"));
    }

    #[test]
    fn what_is_no_key_is_named_by_its_line_and_never_shown() {
        for (content, named) in [
            ("", "has no key"),
            ("# none\n", "has no key"),
            ("sk-kitchen-1\nshort\n", "line 2"),
            ("two words of it\n", "line 1"),
            ("Schlüssel-des-Gartens\n", "line 1"),
        ] {
            let file = file(content);
            let error = Keys::of_file(file.path()).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
            assert!(
                !error.contains("short") && !error.contains("words of"),
                "{error}"
            );
        }
        let missing = Keys::of_file(Path::new("/no/such/file")).unwrap_err();
        assert!(missing.to_string().contains("/no/such/file"));
    }

    #[test]
    fn a_file_that_changes_is_read_again() {
        let file = file("sk-kitchen-1\n");
        let keys = Keys::of_file(file.path()).unwrap();
        let look = || keys.known.lock().unwrap().look(file.path(), Duration::ZERO);
        fs::write(file.path(), "sk-garden-222\n").unwrap();
        look();
        assert!(keys.has(b"sk-garden-222") && !keys.has(b"sk-kitchen-1"));
        // What makes no sense changes nothing.
        fs::write(file.path(), "short\n").unwrap();
        look();
        assert!(keys.has(b"sk-garden-222"));
        // No key is left: no client is let in.
        fs::write(file.path(), "# all gone\n").unwrap();
        look();
        assert!(!keys.has(b"sk-garden-222"));
    }
}
