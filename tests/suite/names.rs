//! Names to expect, from a file: how many the admin pages tell, and what becomes of a file that changes.

use std::time::Duration;

use serde_json::Value;
use tests::{Server, run};

/// Names by the admin page: in use, and of the file. The metric must agree, unless the file is read between the two.
async fn counted(server: &Server) -> (u64, u64) {
    for _ in 0..2 {
        let (_, page) = server.page("/info").await;
        let info: Value = serde_json::from_str(&page).unwrap();
        let names = &info["names"];
        let of_file = names["from"]["file"].as_u64().unwrap();
        let (_, page) = server.page("/metrics").await;
        if page.contains(&format!("\nstt_names{{source=\"file\"}} {of_file}\n")) {
            return (names["total"].as_u64().unwrap(), of_file);
        }
    }
    panic!("the metric has other names than /info")
}

#[tokio::test]
async fn a_file_of_names_is_read_again_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("names.txt");
    let text = "# rooms\nKüche\nkitchen\nKITCHEN\n…\n\nZigbee2MQTT\n";
    std::fs::write(&path, text).unwrap();
    let server = Server::listening(&["--names", path.to_str().unwrap()]).await;
    assert_eq!(counted(&server).await, (3, 3));
    std::fs::write(&path, "Küche\n").unwrap();
    let changed = async {
        while counted(&server).await != (1, 1) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let within = Duration::from_secs(20);
    tokio::time::timeout(within, changed).await.unwrap();
    // Unusable files change nothing; two looks are enough to see that.
    std::fs::write(&path, b"K\xfcche\nBad\n").unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(counted(&server).await, (1, 1));
}

#[tokio::test]
async fn without_names_there_are_none() {
    let server = Server::listening(&[]).await;
    let (_, page) = server.page("/info").await;
    let info: Value = serde_json::from_str(&page).unwrap();
    assert_eq!(info["names"], serde_json::json!({"total": 0, "from": {}}));
    assert!(!server.page("/metrics").await.1.contains("stt_names"));
}

#[tokio::test]
async fn names_that_cannot_be_read_are_a_mistake_of_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "secret-token\n").unwrap();
    let token = token.to_str().unwrap();
    let latin = folder.path().join("latin");
    std::fs::write(&latin, b"Bad\nK\xfcche\n").unwrap();
    for (arguments, expected) in [
        (
            vec!["--names", latin.to_str().unwrap()],
            "latin, line 2: not UTF-8",
        ),
        (
            vec!["--home-assistant", "http://hass:8123"],
            "--home-assistant needs --home-assistant-token-file",
        ),
        (
            vec!["--home-assistant", "hass:8123"],
            "not the address of a Home Assistant, such as http://homeassistant.local:8123",
        ),
        (
            vec![
                "--home-assistant",
                "https://hass",
                "--home-assistant-token-file",
                token,
                "--home-assistant-ca",
                token,
            ],
            "token has no certificate",
        ),
    ] {
        let output = run(&[&["serve"], &arguments[..]].concat()).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(!said.contains("secret-token"), "{said}");
    }
}
