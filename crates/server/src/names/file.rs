//! `--names FILE`: a name a line. The file is read again when it changes, also by the swap of a link, which is how
//! Kubernetes updates a mounted ConfigMap.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use telemetry::chain;
use tracing::{info, warn};

use super::{Origin, Registry};

/// More than every name that could be used, with comments.
const MOST_BYTES: u64 = 4 << 20;
/// How often the file is looked at. Watching it by inotify would need the folders of every link on the way to it too.
const LOOK: Duration = Duration::from_secs(2);

/// The file, and what it said at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    path: PathBuf,
    /// What it contains.
    pub(super) names: Vec<String>,
    stamp: Stamp,
}

impl Settings {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let (names, stamp) = read(path)?;
        Ok(Self {
            path: path.to_owned(),
            names,
            stamp,
        })
    }
}

/// A file that gives no names.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system does not let us read it.
    #[error("cannot read {}; it must be a text file with a name a line", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder, a pipe or a device.
    #[error("{} is no file; it must be a text file with a name a line", path.display())]
    NoFile {
        /// What was given.
        path: PathBuf,
    },
    /// Too much for names.
    #[error("{} has more than {MOST_BYTES} bytes; is it a file with a name a line?", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// Another encoding.
    #[error("{}, line {line}: not UTF-8; save the file as UTF-8", path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
        /// The first line that is not, from 1.
        line: usize,
    },
}

/// Looks at the file for ever, and puts its names into the registry when it has changed.
pub(super) async fn follow(settings: Settings, registry: &Registry) {
    let Settings {
        path, mut stamp, ..
    } = settings;
    let mut last_error = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let looked = {
            let path = path.clone();
            tokio::task::spawn_blocking(move || read_if_changed(&path, stamp)).await
        };
        let Ok(looked) = looked else {
            // It panicked, or the process ends.
            continue;
        };
        match looked {
            Ok(None) => {}
            Ok(Some((names, new_stamp))) => {
                stamp = new_stamp;
                info!(path = %path.display(), "read the file of names again");
                registry.put(Origin::File, &names);
            }
            Err(error) => {
                // Once for each reason, not every two seconds.
                let text = chain(&error);
                if last_error.as_ref() != Some(&text) {
                    warn!(
                        error = text,
                        "--names: the names that were read last stay in use"
                    );
                }
                last_error = Some(text);
                // A file that comes back as it was is news too.
                stamp = Stamp::default();
                continue;
            }
        }
        last_error = None;
    }
}

fn read_if_changed(path: &Path, known: Stamp) -> Result<Option<(Vec<String>, Stamp)>, FileError> {
    if stamp(path)? == known {
        return Ok(None);
    }
    read(path).map(Some)
}

fn read(path: &Path) -> Result<(Vec<String>, Stamp), FileError> {
    // Before the bytes, so that a change while they are read is noticed the next time.
    let stamp = stamp(path)?;
    let failed = |source| FileError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(FileError::TooLong {
            path: path.to_owned(),
        });
    }
    let names = parse(&bytes).map_err(|line| FileError::Encoding {
        path: path.to_owned(),
        line,
    })?;
    Ok((names, stamp))
}

/// The names in a file's bytes, or the number of the first line that is no UTF-8.
fn parse(bytes: &[u8]) -> Result<Vec<String>, usize> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let mut names = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = std::str::from_utf8(line).map_err(|_| index + 1)?.trim();
        if !line.is_empty() && !line.starts_with('#') {
            names.push(line.to_owned());
        }
    }
    Ok(names)
}

/// Tells one content of a path from another: the file that its links lead to, its length and its times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

fn stamp(path: &Path) -> Result<Stamp, FileError> {
    let found: Metadata = std::fs::metadata(path).map_err(|source| FileError::Read {
        path: path.to_owned(),
        source,
    })?;
    // Opening a pipe would wait for its writer.
    if !found.is_file() {
        return Err(FileError::NoFile {
            path: path.to_owned(),
        });
    }
    Ok(Stamp {
        device: found.dev(),
        inode: found.ino(),
        bytes: found.len(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::names::Names;

    #[test]
    fn a_line_is_a_name_unless_it_is_a_comment() {
        let text = "\u{feff}# rooms\r\nKüche\r\n\r\n  Bad # 2  \n\t#no\nWLED";
        assert_eq!(
            parse(text.as_bytes()).unwrap(),
            ["Küche", "Bad # 2", "WLED"]
        );
        assert_eq!(parse(b"").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn another_encoding_is_named_with_its_line() {
        assert_eq!(parse(b"Bad\nK\xfcche\n"), Err(2));
        assert_eq!(parse(b"\xff\xfeB\0a\0d\0"), Err(1));
    }

    #[test]
    fn what_is_no_list_of_names_is_refused_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names.txt");
        let refusal = |path: &Path| Settings::read(path).unwrap_err();
        assert!(matches!(refusal(&path), FileError::Read { .. }));
        assert!(matches!(refusal(folder.path()), FileError::NoFile { .. }));
        File::create(&path)
            .unwrap()
            .set_len(MOST_BYTES + 1)
            .unwrap();
        assert!(matches!(refusal(&path), FileError::TooLong { .. }));
        std::fs::write(&path, b"\n\xff").unwrap();
        let text = refusal(&path).to_string();
        assert!(text.contains("names.txt, line 2"), "{text}");
    }

    /// Follows a file on paused time, and gives the names after a change.
    struct Following {
        names: Names,
        task: tokio::task::JoinHandle<()>,
    }

    impl Following {
        fn start(path: &Path) -> Self {
            let settings = Settings::read(path).unwrap();
            let registry = Registry::new();
            registry.put(Origin::File, &settings.names);
            let mut names = registry.names();
            names.mark_unchanged();
            let task = tokio::spawn(async move { follow(settings, &registry).await });
            Self { names, task }
        }

        async fn after_change(&mut self) -> Vec<String> {
            let changed = tokio::time::timeout(10 * LOOK, self.names.changed()).await;
            changed.expect("no change").unwrap();
            self.names.borrow_and_update().names.clone()
        }
    }

    impl Drop for Following {
        fn drop(&mut self) {
            self.task.abort();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_read_again_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names.txt");
        std::fs::write(&path, "Küche\n").unwrap();
        let mut following = Following::start(&path);
        std::fs::write(&path, "Küche\nBad\n").unwrap();
        assert_eq!(following.after_change().await, ["Küche", "Bad"]);
        // As an editor does it.
        let new = folder.path().join("new");
        std::fs::write(&new, "Keller\n").unwrap();
        std::fs::rename(&new, &path).unwrap();
        assert_eq!(following.after_change().await, ["Keller"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_mounted_config_map_is_read_again_when_its_link_is_swapped() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, name) in [("..1", "Bad"), ("..2", "Tür")] {
            std::fs::create_dir(at(version)).unwrap();
            std::fs::write(at(version).join("names"), name).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/names", at("names")).unwrap();
        let mut following = Following::start(&at("names"));
        symlink("..2", at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
        std::fs::remove_dir_all(at("..1")).unwrap();
        assert_eq!(following.after_change().await, ["Tür"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_names_stay_while_the_file_is_unusable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names.txt");
        std::fs::write(&path, "Küche").unwrap();
        let mut following = Following::start(&path);
        std::fs::remove_file(&path).unwrap();
        tokio::time::sleep(3 * LOOK).await;
        std::fs::write(&path, b"\xff").unwrap();
        tokio::time::sleep(3 * LOOK).await;
        assert!(!following.names.has_changed().unwrap());
        std::fs::write(&path, "Bad").unwrap();
        assert_eq!(following.after_change().await, ["Bad"]);
    }
}
