//! The command line is a contract.

use tests::{Server, run, run_with, spoken};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

async fn printed(arguments: &[&str]) -> (i32, String, String) {
    let output = run(arguments).await;
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[tokio::test]
async fn help_teaches_every_flag_and_its_variable() {
    let (code, help, _) = printed(&["serve", "--help"]).await;
    assert_eq!(code, 0);
    for flag in [
        "--uri",
        "--model",
        "--language",
        "--beam-size",
        "--max-waiting",
        "--drain-timeout",
    ] {
        let variable = format!(
            "STT_{}",
            flag.trim_start_matches('-')
                .to_uppercase()
                .replace('-', "_")
        );
        assert!(help.contains(flag) && help.contains(&variable), "{flag}");
    }
}

#[tokio::test]
async fn settings_that_cannot_work_end_with_64_and_name_their_flag() {
    for arguments in [
        &["serve", "--language", "klingon"][..],
        &["serve", "--max-batch", "0"],
        &["serve", "--uri", "localhost"],
        &["serve", "--admin", "nowhere"],
    ] {
        let (code, _, said) = printed(arguments).await;
        assert_eq!(code, 64, "{arguments:?}");
        assert!(said.contains(arguments[1]), "{said}");
    }
}

/// With such numbers it would be ready, and panic when they are added to a time or given to a queue.
#[tokio::test]
async fn numbers_that_no_machine_has_are_refused_before_anything_begins() {
    for flag in [
        "--beam-size",
        "--cpu-threads",
        "--drain-notice",
        "--drain-timeout",
        "--idle-timeout",
        "--max-batch",
        "--max-connections",
        "--max-open-audio",
        "--max-utterance",
        "--max-waiting",
        "--max-waiting-audio",
        "--request-deadline",
        "--write-timeout",
    ] {
        let (code, _, said) = printed(&["serve", flag, "18446744073709551615"]).await;
        assert_eq!(code, 64, "{flag}: {said}");
        assert!(said.contains(flag) && said.contains("is not in"), "{said}");
    }
}

#[tokio::test]
async fn print_config_knows_every_setting() {
    let (_, help, _) = printed(&["serve", "--help"]).await;
    let (_, shown, _) = printed(&["serve", "--print-config"]).await;
    let flags: Vec<&str> = help
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("--"))
        .filter_map(|line| line.split([' ', '[']).next())
        .collect();
    assert!(flags.contains(&"drain-notice"), "{help}");
    for flag in flags {
        // The last two do something; a token is not to be read.
        let is_shown = shown
            .lines()
            .any(|line| line.starts_with(&format!("{flag} =")));
        let is_left_out = ["hf-token", "print-config", "help"].contains(&flag);
        assert!(is_shown || is_left_out, "{flag}: {shown}");
    }
}

#[tokio::test]
async fn a_device_that_cannot_be_had_ends_with_69_and_says_what_to_do() {
    let addresses = ["--uri", "tcp://127.0.0.1:0", "--admin", "off"];
    let arguments = [&["serve", "--device", "cuda:63"][..], &addresses].concat();
    let (code, _, said) = printed(&arguments).await;
    assert_eq!(code, 69, "{said}");
    assert!(said.contains("use the CPU"), "{said}");
    let arguments = [
        &["serve", "--precision", "f16", "--device", "cpu"][..],
        &addresses,
    ]
    .concat();
    let (code, _, said) = printed(&arguments).await;
    assert_eq!(code, 69, "{said}");
    assert!(said.contains("f16 for a GPU"), "{said}");
}

#[tokio::test]
async fn print_config_shows_what_would_be_used() {
    let (code, shown, _) = printed(&["serve", "--print-config", "--max-batch", "3"]).await;
    assert_eq!(code, 0);
    assert!(
        shown.contains("max-batch = 3\n") && shown.contains("model = demo\n"),
        "{shown}"
    );
}

#[tokio::test]
async fn variables_are_settings_and_empty_ones_are_none() {
    let variables = [
        ("STT_MAX_BATCH", "3"),
        ("STT_MAX_WAITING", ""),
        ("STT_ADMIN", ""),
        ("STT_DEVICE", ""),
        ("STT_DEBUG", ""),
        ("STT_URI", ""),
    ];
    let output = run_with(&variables, &["serve", "--print-config"]).await;
    let shown = String::from_utf8(output.stdout).unwrap();
    for line in [
        "max-batch = 3",
        "max-waiting = 32",
        "admin = 0.0.0.0:10390",
        "device = auto",
        "debug = false",
        "uri = tcp://0.0.0.0:10300",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    let wrong = run_with(&[("STT_MAX_BATCH", "many")], &["serve", "--print-config"]).await;
    assert_eq!(wrong.status.code(), Some(64));
}

#[tokio::test]
async fn transcribe_prints_the_words_in_each_format() {
    let spoken = spoken().remove(0);
    let path = spoken.path.to_str().unwrap();
    let (code, text, _) = printed(&["transcribe", path]).await;
    assert_eq!((code, text.trim()), (0, &*spoken.words));
    let (_, json, _) = printed(&["transcribe", "--format", "json", path]).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["text"], &json["language"]),
        (&spoken.words.clone().into(), &"en".into())
    );
    let (_, srt, _) = printed(&["transcribe", "--format", "srt", path]).await;
    assert!(srt.starts_with("1\n00:00:00,"), "{srt}");
    let (_, vtt, _) = printed(&["transcribe", "--format", "vtt", path]).await;
    assert!(vtt.starts_with("WEBVTT\n\n00:00:00."), "{vtt}");
}

#[tokio::test]
async fn transcribe_names_the_file_that_failed_and_does_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.wav");
    std::fs::write(&bad, "no sound").unwrap();
    let spoken = spoken().remove(0);
    let (code, text, said) = printed(&[
        "transcribe",
        bad.to_str().unwrap(),
        "/no/such/file.wav",
        spoken.path.to_str().unwrap(),
    ])
    .await;
    assert_eq!((code, text.trim()), (1, &*spoken.words));
    assert!(
        said.contains("bad.wav") && said.contains("/no/such/file.wav"),
        "{said}"
    );
}

/// A WAV file's samples under a head of our own making.
fn headed(wav: &[u8], file_bytes: u32, data_bytes: u32) -> Vec<u8> {
    let data = wav.windows(4).position(|window| window == b"data").unwrap();
    let mut headed = wav.to_vec();
    headed[4..8].copy_from_slice(&file_bytes.to_le_bytes());
    headed[data + 4..data + 8].copy_from_slice(&data_bytes.to_le_bytes());
    headed
}

#[tokio::test]
async fn transcribe_reads_a_wav_whose_sizes_were_never_written() {
    let spoken = spoken()
        .into_iter()
        .find(|spoken| {
            spoken
                .path
                .extension()
                .is_some_and(|extension| extension == "wav")
        })
        .unwrap();
    let wav = std::fs::read(&spoken.path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, sizes) in [("zero", 0), ("ones", u32::MAX)] {
        let path = folder.path().join(format!("{name}.wav"));
        std::fs::write(&path, headed(&wav, sizes, sizes)).unwrap();
        let (code, text, said) = printed(&["transcribe", path.to_str().unwrap()]).await;
        assert_eq!(
            (code, text.trim(), &*said),
            (0, &*spoken.words, ""),
            "{name}"
        );
        let (code, text, said) = piped(&path).await;
        assert_eq!(
            (code, text.trim(), &*said),
            (0, &*spoken.words, ""),
            "{name}, piped"
        );
    }
}

/// `transcribe -` with the file through a pipe.
async fn piped(path: &std::path::Path) -> (i32, String, String) {
    let mut program = tokio::process::Command::new(tests::binary())
        .args(["transcribe", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = program.stdin.take().unwrap();
    stdin
        .write_all(&std::fs::read(path).unwrap())
        .await
        .unwrap();
    drop(stdin);
    let output = program.wait_with_output().await.unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[tokio::test]
async fn transcribe_says_where_a_recording_is_damaged_and_gives_the_rest() {
    let spoken = spoken();
    let flac = spoken[0].path.with_file_name("heldout").join("b000.flac");
    let mut bytes = std::fs::read(flac).unwrap();
    let at = bytes.len() * 3 / 4;
    bytes[at..at + 40].fill(0x55);
    let folder = tempfile::tempdir().unwrap();
    let (damaged, cut) = (
        folder.path().join("damaged.flac"),
        folder.path().join("cut.flac"),
    );
    std::fs::write(&damaged, &bytes).unwrap();
    std::fs::write(&cut, &bytes[..at]).unwrap();
    let whole = spoken[0].path.to_str().unwrap();
    for (path, words) in [(&damaged, "damaged at "), (&cut, "cut off at ")] {
        let (code, text, said) = printed(&["transcribe", path.to_str().unwrap(), whole]).await;
        assert_eq!(code, 65, "{said}");
        let line = said
            .lines()
            .find(|line| line.contains(words))
            .unwrap_or_else(|| panic!("{said}"));
        let seconds = line.split(words).nth(1).unwrap().split(' ').next().unwrap();
        assert!(
            (0.5..60.0).contains(&seconds.parse::<f64>().unwrap()),
            "{line}"
        );
        assert!(line.contains(path.to_str().unwrap()), "{line}");
        assert_eq!(text.lines().last().unwrap().trim(), spoken[0].words);
    }
    let (code, json, _) = printed(&["transcribe", "--format", "json", cut.to_str().unwrap()]).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (code, json["damage"][0]["kind"].as_str()),
        (65, Some("cut off"))
    );
    // What fails altogether weighs more.
    let (code, _, _) = printed(&["transcribe", cut.to_str().unwrap(), "/no/such/file.wav"]).await;
    assert_eq!(code, 1);
}

#[tokio::test]
async fn probe_tells_what_listens() {
    let server = Server::listening(&[]).await;
    let (code, said, _) = printed(&["probe", &server.address().to_string()]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("wyoming-stt"), "{said}");

    let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = http.local_addr().unwrap().to_string();
    let answering = tokio::spawn(async move {
        loop {
            let (mut stream, _) = http.accept().await.unwrap();
            let mut request = [0; 1_024];
            if stream.read(&mut request).await.unwrap_or_default() > 0 {
                stream
                    .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    .await
                    .ok();
            }
        }
    });
    let (code, said, _) = printed(&["probe", &address]).await;
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("HTTP"), "{said}");
    answering.abort();

    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let (code, said, _) = printed(&["probe", &address]).await;
    assert_eq!(code, 3, "{said}");
}
