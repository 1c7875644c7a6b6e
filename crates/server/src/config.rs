//! Settings: as typed ([`ServeArgs`]), and checked ([`Config`]). Nothing else reads the environment.

mod error;
mod faster_whisper;
mod http;
mod model;
mod names;
mod ranges;
mod serve;

pub use error::ConfigError;
pub use faster_whisper::FasterWhisperArgs;
pub use http::HttpArgs;
pub use model::{ModelArgs, PrecisionArg, TaskArg, WindowArg};
pub use names::NamesArgs;
pub use serve::{Config, LogFormatArg, ServeArgs};

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;
    use whisper::Task;

    use super::*;
    use crate::announce;
    use crate::cli::{Cli, Command};
    use crate::http::Address;
    use crate::language::LanguageRule;
    use crate::wyoming_server::Uri;

    /// 64 bytes.
    const TOO_LONG: &str = "kitchen-kitchen-kitchen-kitchen-kitchen-kitchen-kitchen-kitchen-";

    fn checked(arguments: &[&str]) -> Result<Config, String> {
        let typed = ["wyoming-stt", "serve"].iter().chain(arguments);
        let cli = Cli::try_parse_from(typed).map_err(|error| error.to_string())?;
        match cli.command {
            Command::Serve(args) => args.check().map_err(|error| error.to_string()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults_can_work() {
        let config = checked(&[]).unwrap();
        assert_eq!(config.uris, [Uri::Tcp("0.0.0.0:10300".to_owned())]);
        assert_eq!(config.languages, LanguageRule::default());
    }

    #[test]
    fn what_cannot_work_names_its_flag() {
        for (arguments, named) in [
            (&["--max-batch", "0"][..], "--max-batch"),
            (&["--language", "klingon"], "--language"),
            (
                &["--allowed-languages", "de,en", "--language", "fr"],
                "--language",
            ),
            (&["--admin", "here"], "--admin"),
            (&["--uri", "10300"], "--uri"),
            (&["--http", "8080"], "--http"),
            (&["--http-keys", "/no/such/file"], "--http-keys"),
            (&["--http-max-body", "0"], "--http-max-body"),
            (&["--http-cors", "example.org"], "--http-cors"),
            (&["--http-cors", "https://example.org/"], "--http-cors"),
            (&["--device", "gpu"], "--device"),
            (&["--speculate-after", "0.05"], "--speculate-after"),
            (&["--speculate-after", "11"], "--speculate-after"),
            (&["--speculate-after", "nan"], "--speculate-after"),
            (&["--speculate-after=-1"], "--speculate-after"),
            (&["--endpointing", "0.05"], "--endpointing"),
            (&["--vad-endpointing=-1"], "--endpointing"),
            (&["--blocklist-extra", "/no/such/file"], "--blocklist-extra"),
            (&["--speech-threshold", "1.5"], "--speech-threshold"),
            (&["--speech-threshold", "nan"], "--speech-threshold"),
            (&["--zeroconf", "--uri", "stdio://"], "--zeroconf"),
            (&["--zeroconf", TOO_LONG], "--zeroconf"),
            (&["--zeroconf-address", "here"], "--zeroconf-address"),
        ] {
            let error = checked(arguments).unwrap_err();
            assert!(error.contains(named), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn a_pause_is_speculated_on_unless_it_is_turned_off() {
        let after = |arguments: &[&str]| checked(arguments).unwrap().speculate_after;
        assert_eq!(after(&[]), Some(Duration::from_millis(300)));
        assert_eq!(after(&["--speculate-after", "0"]), None);
        let longer = after(&["--speculate-after", "0.5"]);
        assert_eq!(longer, Some(Duration::from_millis(500)));
    }

    #[test]
    fn speech_is_detected_unless_that_is_turned_off() {
        let threshold = |arguments: &[&str]| checked(arguments).unwrap().options.speech_threshold;
        assert_eq!(threshold(&[]), Some(0.8));
        assert_eq!(threshold(&["--speech-threshold", "0"]), None);
        assert_eq!(threshold(&["--speech-threshold", "0.5"]), Some(0.5));
    }

    #[test]
    fn the_http_api_is_for_this_machine_unless_it_has_keys_or_an_address() {
        let mut keys = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut keys, b"sk-for-everybody\n").unwrap();
        let keys = keys.path().to_str().unwrap();
        let http = |arguments: &[&str]| checked(arguments).unwrap().http.map(|http| http.address);
        let usual = |address: &str| Some(Address::Usual(address.to_owned()));
        assert_eq!(http(&[]), usual("127.0.0.1:8080"));
        assert_eq!(http(&["--http-keys", keys]), usual("0.0.0.0:8080"));
        assert_eq!(http(&["--http", "off", "--http-keys", keys]), None);
        assert_eq!(http(&["--uri", "stdio://"]), None);
        let given = Some(Address::Given("*:80".to_owned()));
        assert_eq!(http(&["--http", "*:80"]), given);
    }

    #[test]
    fn zeroconf_takes_a_name_or_none() {
        let name = |arguments: &[&str]| checked(arguments).unwrap().zeroconf.map(|it| it.name);
        assert_eq!(name(&[]), None);
        assert_eq!(name(&["--zeroconf"]), Some(announce::default_name()));
        assert_eq!(name(&["--zeroconf", "kitchen"]), Some("kitchen".to_owned()));
    }

    #[test]
    fn names_of_the_usual_server_mean_the_same() {
        let config = checked(&[
            "--uri",
            "tcp://127.0.0.1:0",
            "--language",
            "German",
            "--beam-size",
            "5",
            "--initial-prompt",
            "Küche",
            "--cpu-threads",
            "2",
            "--device",
            "cpu",
            "--download-dir",
            "/models",
            "--local-files-only",
            "--debug",
            "--whisper-task",
            "translate",
            "--data-dir",
            "/data",
            "--data-dir",
            "/more",
            "--compute-type",
            "int8_float16",
            "--vad-filter",
            "--vad-threshold",
            "0.5",
            "--vad-min-speech-ms",
            "250",
            "--vad-min-silence-ms",
            "2000",
            "--vad-clip-threshold",
            "0.5",
            "--vad-clip-pad-ms",
            "400",
            "--stt-library",
            "faster-whisper",
            "--hass-api",
            "http://homeassistant.local/api",
            "--log-format",
            "%(levelname)s:%(message)s",
            "--vad-clip",
        ])
        .unwrap();
        assert_eq!(config.languages.default.as_deref(), Some("de"));
        assert_eq!(
            (config.options.beam_size, config.options.task),
            (5, Task::Translate)
        );
        assert!(config.model.hub.is_offline());
        assert_eq!(config.model.hub.data_dir.len(), 2);
        assert_eq!(config.notes.len(), 3, "{:?}", config.notes);
    }

    #[test]
    fn flags_of_the_usual_server_that_would_be_missed_say_what_to_use_instead() {
        for flags in [
            &["--hass-token", "x"][..],
            &["--stt-library", "sherpa"],
            &["--sherpa-streaming"],
        ] {
            let error = checked(flags).unwrap_err();
            assert!(error.starts_with(flags[0]), "{error}");
            assert!(error.contains("leave the flag out"), "{error}");
        }
        for (flags, beams) in [
            (&["--beam-size", "0", "--device", "cpu"][..], 5),
            (&["--beam-size", "0", "--device", "cuda"], 1),
            (
                &["--beam-size", "0", "--device", "cpu", "--window", "dynamic"],
                1,
            ),
            (&["--beam-size", "3", "--device", "cuda"], 3),
        ] {
            assert_eq!(
                checked(flags).unwrap().options.beam_size,
                beams,
                "{flags:?}"
            );
        }
    }
}
