//! Flags that say which names to expect.

use std::path::PathBuf;

use clap::Args;

use super::ConfigError;
use crate::names::home_assistant::Address;
use crate::names::{self, file, home_assistant};

/// Where names come from.
#[derive(Clone, Debug, Default, Args)]
pub struct NamesArgs {
    /// File with names that speech may contain: one a line, as it is to be written; lines that begin with # are comments.
    /// It is read again when it changes.
    #[arg(long, env = "STT_NAMES", value_name = "FILE")]
    pub names: Option<PathBuf>,
    /// Home Assistant whose names speech may contain: entities that are exposed to Assist, areas and floors, with their
    /// aliases. They are read again when they change there.
    #[arg(long, env = "STT_HOME_ASSISTANT", value_name = "URL")]
    pub home_assistant: Option<Address>,
    /// File with a long-lived access token for --home-assistant, made under "Security" of a user's profile. It is read
    /// again at each connection. The user needs no administrator's rights.
    #[arg(long, env = "STT_HOME_ASSISTANT_TOKEN_FILE", value_name = "FILE")]
    pub home_assistant_token_file: Option<PathBuf>,
    /// File with certificates (PEM) of the authorities that may have signed the certificate of an https://
    /// --home-assistant, or with that certificate itself. Without it the system's authorities are trusted.
    #[arg(long, env = "STT_HOME_ASSISTANT_CA", value_name = "FILE")]
    pub home_assistant_ca: Option<PathBuf>,
}

impl NamesArgs {
    /// Reads the files.
    ///
    /// # Errors
    /// [`ConfigError`], which names the flag.
    pub(super) fn check(&self) -> Result<names::Settings, ConfigError> {
        let file = self.names.as_deref().map(file::Settings::read).transpose();
        Ok(names::Settings {
            file: file.map_err(|source| ConfigError::Names { source })?,
            home_assistant: self.home_assistant()?,
        })
    }

    fn home_assistant(&self) -> Result<Option<home_assistant::Settings>, ConfigError> {
        let alone = |flag, needed| ConfigError::Alone { flag, needed };
        let Some(address) = &self.home_assistant else {
            let others = [
                (
                    &self.home_assistant_token_file,
                    "--home-assistant-token-file",
                ),
                (&self.home_assistant_ca, "--home-assistant-ca"),
            ];
            return match others.into_iter().find(|(path, _)| path.is_some()) {
                Some((_, flag)) => Err(alone(flag, "--home-assistant")),
                None => Ok(None),
            };
        };
        let Some(token_file) = &self.home_assistant_token_file else {
            return Err(alone("--home-assistant", "--home-assistant-token-file"));
        };
        if self.home_assistant_ca.is_some() && !address.is_secure() {
            return Err(alone(
                "--home-assistant-ca",
                "an https:// address in --home-assistant",
            ));
        }
        home_assistant::Settings::check(
            address.clone(),
            token_file.clone(),
            self.home_assistant_ca.clone(),
        )
        .map(Some)
        .map_err(|source| ConfigError::HomeAssistant {
            source: Box::new(source),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;

    use telemetry::chain;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        names: NamesArgs,
    }

    fn checked(arguments: &[&str]) -> Result<names::Settings, String> {
        let line = Line::parse_from(["test"].iter().chain(arguments));
        line.names.check().map_err(|error| chain(&error))
    }

    fn file(folder: &Path, name: &str, text: &str) -> String {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    #[test]
    fn nothing_is_asked_unless_it_is_named() {
        let settings = checked(&[]).unwrap();
        assert!(settings.file.is_none() && settings.home_assistant.is_none());
    }

    #[test]
    fn a_home_assistant_needs_a_token() {
        let folder = tempfile::tempdir().unwrap();
        let token = file(folder.path(), "token", "abc\n");
        let hass = ["--home-assistant", "https://hass"];
        let with_token = [&hass[..], &["--home-assistant-token-file", &token]].concat();
        assert!(checked(&with_token).unwrap().home_assistant.is_some());
        for (arguments, expected) in [
            (
                hass.to_vec(),
                "--home-assistant needs --home-assistant-token-file",
            ),
            (
                with_token[2..].to_vec(),
                "--home-assistant-token-file needs --home-assistant",
            ),
            (
                vec!["--home-assistant-ca", &token],
                "--home-assistant-ca needs --home-assistant",
            ),
            (
                [
                    &with_token[2..],
                    &[
                        "--home-assistant",
                        "http://hass",
                        "--home-assistant-ca",
                        &token,
                    ],
                ]
                .concat(),
                "--home-assistant-ca needs an https:// address",
            ),
        ] {
            let error = checked(&arguments).unwrap_err();
            assert!(error.starts_with(expected), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_used_is_a_mistake_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let token = file(folder.path(), "token", "abc\n");
        let none = file(folder.path(), "none", "");
        let damaged = "-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n";
        let damaged = file(folder.path(), "damaged", damaged);
        let hass = [
            "--home-assistant",
            "https://hass",
            "--home-assistant-token-file",
        ];
        for (arguments, expected) in [
            (
                vec!["--names", "/no/such/file"],
                "--names: cannot read /no/such/file",
            ),
            (
                [&hass[..], &["/no/such/file"]].concat(),
                "--home-assistant: cannot read /no/such/file",
            ),
            ([&hass[..], &[&none]].concat(), "none must have one line"),
            (
                [&hass[..], &[&token, "--home-assistant-ca", &none]].concat(),
                "none has no certificate",
            ),
            (
                [&hass[..], &[&token, "--home-assistant-ca", &damaged]].concat(),
                "a certificate of --home-assistant-ca cannot be used",
            ),
        ] {
            let error = checked(&arguments).unwrap_err();
            assert!(error.contains(expected), "{arguments:?}: {error}");
        }
    }
}
