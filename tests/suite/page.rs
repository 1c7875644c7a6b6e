//! The page at `/`: its files and their headers, what is not there, what it is told of the server.

use reqwest::{Client, Method, Response, StatusCode};
use serde_json::Value;
use tests::{Server, run, spoken};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const STATE: &str = "/page/state.json";

fn url(server: &Server, path: &str) -> String {
    format!("http://{}{path}", server.http())
}

async fn get(server: &Server, path: &str) -> Response {
    reqwest::get(url(server, path)).await.unwrap()
}

/// Status of a path as it stands here: clients clean it up otherwise.
async fn raw(server: &Server, method: &str, path: &str) -> u16 {
    let mut stream = TcpStream::connect(server.http()).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Every file that the page names, and those that these name.
async fn files(server: &Server) -> Vec<String> {
    let mut found = vec!["/".to_owned()];
    let mut at = 0;
    while let Some(path) = found.get(at) {
        let text = get(server, path).await.text().await.unwrap();
        for quoted in text.split('"') {
            let prefixes = ["page/", "./"].iter();
            let names = prefixes.filter_map(|prefix| quoted.strip_prefix(prefix));
            let paths = names.map(|name| format!("/page/{name}"));
            let is_new = |path: &String| path != STATE && path != "/page/" && !found.contains(path);
            let paths: Vec<String> = paths.filter(is_new).collect();
            found.extend(paths);
        }
        at += 1;
    }
    found
}

#[tokio::test]
async fn each_file_has_its_type_its_tag_and_a_strict_policy() {
    let server = Server::ready(&[]).await;
    let files = files(&server).await;
    assert!(files.len() > 10, "{files:?}");
    for path in files {
        let response = get(&server, &path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let headers = response.headers().clone();
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        let kind = match path.rsplit('.').next().unwrap() {
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "svg" => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        };
        assert_eq!(header("content-type"), kind, "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cache-control"), "no-cache");
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{policy}");
        for source in policy.split([' ', ';']).filter(|word| !word.is_empty()) {
            let loose = ["unsafe", "*", "http:", "https:", "data:", "blob:"];
            assert!(!loose.iter().any(|word| source.contains(word)), "{policy}");
        }
        let tag = header("etag");
        let again = Client::new()
            .get(url(&server, &path))
            .header("if-none-match", &tag);
        let again = again.send().await.unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
        assert_eq!(again.headers()["etag"].to_str().unwrap(), tag);
        assert!(again.bytes().await.unwrap().is_empty());
        let length = response.bytes().await.unwrap().len();
        let head = Client::new()
            .head(url(&server, &path))
            .send()
            .await
            .unwrap();
        assert_eq!(head.status(), StatusCode::OK);
        assert_eq!(head.headers()["content-length"], length.to_string());
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let request = Client::new().request(method, url(&server, &path));
            let refused = request.body("x").send().await.unwrap();
            assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        }
    }
    let (_, page) = server.page("/metrics").await;
    assert!(
        page.contains("stt_http_requests_total{route=\"/page/{file}\",status=\"304\"}"),
        "{page}"
    );
}

#[tokio::test]
async fn a_path_that_is_no_file_is_not_found() {
    let server = Server::ready(&[]).await;
    assert_eq!(raw(&server, "GET", "/?x=1").await, 200);
    for path in [
        "//",
        "/index.html",
        "/page",
        "/page/",
        "/page/..",
        "/page/../page/app.js",
        "/page/%2e%2e/page/app.js",
        "/..%2f..%2fetc/passwd",
        "/page/..%2f..%2f..%2fetc%2fpasswd",
        "/page/..%5c..%5cetc",
        "/page/app%2ejs",
        "/page%2fapp.js",
        "/page/app.js/",
        "/page/app.js%00",
        "/page//app.js",
        "//page/app.js",
        "/Page/app.js",
        "/page/mod.rs",
        "/page/web/app.js",
        "/page/%ff%fe",
        "/favicon.ico",
        "/.git/config",
    ] {
        for method in ["GET", "HEAD"] {
            assert_eq!(raw(&server, method, path).await, 404, "{path}");
        }
    }
    // The whole address, as a proxy's client sends it, and no path at all.
    assert_eq!(raw(&server, "GET", "http://elsewhere/page/..").await, 404);
    for path in ["*", "page/app.js", "/page/ app.js", "/\\..\\"] {
        let status = raw(&server, "GET", path).await;
        assert!((400..500).contains(&status), "{path}: {status}");
    }
}

#[tokio::test]
async fn the_page_is_told_what_the_server_does_and_no_secret() {
    let names = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(names.path(), "WLED\nKüche\n").unwrap();
    let names = names.path().to_str().unwrap();
    let server = Server::ready(&["--names", names, "--max-batch", "3"]).await;
    let response = get(&server, STATE).await;
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    let text = response.text().await.unwrap();
    assert!(!text.contains("WLED") && !text.contains('/'), "{text}");
    let state: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(state["phase"], "ready");
    assert_eq!(state["model"]["name"], "demo");
    assert_eq!(state["model"]["device"], "cpu");
    assert_eq!(state["languages"]["offered"], serde_json::json!(["en"]));
    assert_eq!(
        (&state["work"]["slots"], &state["work"]["queued"]),
        (&3.into(), &0.into())
    );
    let expected = serde_json::json!({"total": 2, "from": {"file": 2}});
    assert_eq!(state["names"], expected);
    let port = serde_json::json!([{"port": server.address().port(), "is_loopback": true}]);
    assert_eq!(state["wyoming"], port);
}

#[tokio::test]
async fn a_server_with_keys_shows_the_page_and_keeps_its_state_for_those_with_one() {
    let keys = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(keys.path(), "sk-kitchen-1\n").unwrap();
    let server = Server::ready(&["--http-keys", keys.path().to_str().unwrap()]).await;
    for path in ["/", "/page/app.js"] {
        assert_eq!(get(&server, path).await.status(), StatusCode::OK);
    }
    assert_eq!(get(&server, STATE).await.status(), StatusCode::UNAUTHORIZED);
    let with_key = Client::new()
        .get(url(&server, STATE))
        .bearer_auth("sk-kitchen-1");
    assert_eq!(with_key.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_server_without_the_page_has_the_api_alone() {
    let server = Server::ready(&["--http-page", "off"]).await;
    for path in ["/", "/page/app.js", STATE] {
        let response = get(&server, path).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        let error: Value = response.json().await.unwrap();
        assert_eq!(error["error"]["code"], "not-found");
    }
    let models = get(&server, "/v1/models").await;
    assert_eq!(models.status(), StatusCode::OK);
    let output = run(&["serve", "--http-page", "perhaps"]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--http-page"), "{said}");
    assert_eq!(output.status.code(), Some(64));
}

#[tokio::test]
async fn an_answer_says_where_its_time_went() {
    let server = Server::ready(&[]).await;
    let file = std::fs::read(&spoken()[0].path).unwrap();
    let ask = |stream: &'static str| {
        let mut form = Vec::new();
        form.extend(b"--b\r\ncontent-disposition: form-data; name=\"stream\"\r\n\r\n");
        form.extend(stream.bytes());
        form.extend(
            b"\r\n--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n",
        );
        form.extend(&file);
        form.extend(b"\r\n--b--\r\n");
        Client::new()
            .post(url(&server, "/v1/audio/transcriptions"))
            .header("content-type", "multipart/form-data; boundary=b")
            .body(form)
            .send()
    };
    let response = ask("false").await.unwrap();
    let timing = response.headers()["server-timing"].to_str().unwrap();
    let parts: Vec<(&str, f64)> = timing
        .split(", ")
        .map(|part| {
            let (name, time) = part.split_once(";dur=").unwrap();
            (name, time.parse().unwrap())
        })
        .collect();
    let names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
    let expected = [
        "prepare", "wait", "mel", "encode", "decode", "others", "reply",
    ];
    assert_eq!(names, expected);
    for part in ["encode", "decode"] {
        let (_, time) = parts.iter().find(|(name, _)| *name == part).unwrap();
        assert!(*time > 0.0, "{timing}");
    }
    let events = ask("true").await.unwrap().text().await.unwrap();
    let done = events.lines().rfind(|line| line.starts_with("data: "));
    let done: Value = serde_json::from_str(done.unwrap().trim_start_matches("data: ")).unwrap();
    assert_eq!(done["language"], "en");
    for part in expected {
        assert!(done["timings"][part].as_f64().unwrap() >= 0.0, "{done}");
    }
    assert!(done["timings"]["decode"].as_f64().unwrap() > 0.0, "{done}");
}
