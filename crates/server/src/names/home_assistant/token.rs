//! The file with the token. It is read at each connection, so that a new token needs no restart.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::HomeAssistantError;
use crate::model_store::Secret;

/// A token has some 180 bytes.
const MOST_BYTES: u64 = 4096;

/// The token in a file.
pub(super) fn read(path: &Path) -> Result<Secret, HomeAssistantError> {
    let text = text(path).map_err(|source| HomeAssistantError::TokenFile {
        path: PathBuf::from(path),
        source,
    })?;
    parse(&text).ok_or_else(|| HomeAssistantError::NoToken {
        path: PathBuf::from(path),
    })
}

fn text(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// One word, with any white space around it.
fn parse(bytes: &[u8]) -> Option<Secret> {
    let token = bytes.trim_ascii();
    let is_token = !token.is_empty()
        && bytes.len() as u64 <= MOST_BYTES
        && token.iter().all(u8::is_ascii_graphic);
    std::str::from_utf8(token)
        .ok()
        .filter(|_| is_token)?
        .parse()
        .ok()
}

/// As [`read`], on a thread that may wait for a disk.
pub(super) async fn read_in_background(path: &Path) -> Result<Secret, HomeAssistantError> {
    let path = PathBuf::from(path);
    let reading = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || read(&path))
    };
    reading.await.unwrap_or_else(|error| {
        Err(HomeAssistantError::TokenFile {
            path,
            source: io::Error::other(error),
        })
    })
}

/// Waits until the file has another token than now, or for `given_up`.
pub(super) async fn changed(path: &Path, look: Duration, given_up: impl Future<Output = ()>) {
    let refused = read_in_background(path).await;
    let other = async {
        loop {
            tokio::time::sleep(look).await;
            let Ok(now) = read_in_background(path).await else {
                continue;
            };
            if !matches!(&refused, Ok(refused) if refused.reveal() == now.reveal()) {
                return;
            }
        }
    };
    // Both may be cancelled: they only wait and read.
    tokio::select! {
        () = other => {}
        () = given_up => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word() {
        let token = |text: &str| parse(text.as_bytes()).map(|token| token.reveal().to_owned());
        assert_eq!(token(" abc.d-e_f \r\n"), Some("abc.d-e_f".to_owned()));
        for text in ["", "\n", "two words", "a\nb", "ü", "a\u{0}b"] {
            assert_eq!(token(text), None, "{text:?}");
        }
        assert_eq!(token(&"a".repeat(5_000)), None);
    }

    #[test]
    fn a_file_without_a_token_is_named_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        assert!(read(&path).unwrap_err().to_string().contains("cannot read"));
        assert!(read(folder.path()).is_err());
        std::fs::write(&path, "not a token").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(
            error.contains("must have one line") && !error.contains("not a"),
            "{error}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_token_ends_the_wait() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "old").unwrap();
        let second = Duration::from_secs(1);
        let begun = tokio::time::Instant::now();
        changed(&path, second, tokio::time::sleep(30 * second)).await;
        assert_eq!(begun.elapsed().as_secs(), 30);
        let renew = async {
            tokio::time::sleep(3 * second).await;
            std::fs::write(&path, "new\n").unwrap();
        };
        let wait = changed(&path, second, tokio::time::sleep(30 * second));
        tokio::join!(renew, wait);
        assert!(begun.elapsed().as_secs() <= 35, "{:?}", begun.elapsed());
    }
}
