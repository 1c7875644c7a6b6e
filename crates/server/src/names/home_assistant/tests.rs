//! A Home Assistant with a script, on the loopback address.

use std::sync::{Arc, Mutex};

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

use super::*;
use crate::names::Names;

/// What the scripted one has.
#[derive(Debug, Default)]
struct Script {
    areas: Vec<&'static str>,
    token: &'static str,
    /// Answers with something else than JSON.
    talks_rubbish: bool,
    connections: usize,
}

type Socket = WebSocketStream<TcpStream>;

/// Serves clients until the test ends; ends a connection when told.
struct Scripted {
    script: Arc<Mutex<Script>>,
    address: Address,
    /// Tells clients that something has changed.
    event: tokio::sync::broadcast::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scripted {
    async fn start(areas: &[&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(Script {
            areas: areas.to_vec(),
            token: "good",
            ..Script::default()
        }));
        let (event, _) = tokio::sync::broadcast::channel(4);
        let task = {
            let (script, event) = (Arc::clone(&script), event.clone());
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    script.lock().unwrap().connections += 1;
                    if let Ok(socket) = accept_async(stream).await {
                        serve(socket, &script, event.subscribe()).await;
                    }
                }
            })
        };
        Self {
            script,
            address: address.parse().unwrap(),
            event,
            task,
        }
    }

    fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }
}

async fn hears(socket: &mut Socket) -> Option<Value> {
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => return serde_json::from_str(&text).ok(),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

async fn says(socket: &mut Socket, value: &Value) {
    socket.send(Message::text(value.to_string())).await.ok();
}

/// One client at a time, which is all that there is here.
async fn serve(
    mut socket: Socket,
    script: &Mutex<Script>,
    mut event: tokio::sync::broadcast::Receiver<()>,
) {
    says(&mut socket, &json!({"type": "auth_required"})).await;
    let Some(auth) = hears(&mut socket).await else {
        return;
    };
    let is_good = auth["access_token"] == script.lock().unwrap().token;
    let kind = if is_good { "auth_ok" } else { "auth_invalid" };
    says(&mut socket, &json!({"type": kind})).await;
    if !is_good {
        return;
    }
    loop {
        let command = tokio::select! {
            told = event.recv() => {
                if told.is_err() {
                    return;
                }
                says(&mut socket, &json!({"id": 1, "type": "event", "event": {}})).await;
                continue;
            }
            command = hears(&mut socket) => command,
        };
        let Some(command) = command else {
            return;
        };
        if script.lock().unwrap().talks_rubbish {
            socket.send(Message::text("<html>")).await.ok();
            return;
        }
        let areas: Vec<Value> = script
            .lock()
            .unwrap()
            .areas
            .iter()
            .map(|name| json!({"name": name, "aliases": []}))
            .collect();
        let result = match command["type"].as_str().unwrap() {
            "subscribe_events" => Value::Null,
            "auth/current_user" => json!({"is_admin": false}),
            "config/area_registry/list" => json!(areas),
            // As one that is older.
            "config/floor_registry/list" => {
                let error = json!({"code": "unknown_command", "message": "Unknown command."});
                let refused = json!({"id": command["id"], "type": "result", "success": false, "error": error});
                says(&mut socket, &refused).await;
                continue;
            }
            _ => json!([]),
        };
        let answer =
            json!({"id": command["id"], "type": "result", "success": true, "result": result});
        says(&mut socket, &answer).await;
    }
}

struct Following {
    names: Names,
    task: tokio::task::JoinHandle<()>,
    token_file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Following {
    fn start(home: &Scripted, token: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let token_file = folder.path().join("token");
        std::fs::write(&token_file, token).unwrap();
        let settings = Settings::check(home.address.clone(), token_file.clone(), None).unwrap();
        let registry = Registry::new();
        let names = registry.names();
        let task = tokio::spawn(async move { follow(settings, &registry).await });
        Self {
            names,
            task,
            token_file,
            _folder: folder,
        }
    }

    async fn become_names(&mut self, expected: &[&str]) {
        let become_so = self.names.wait_for(|names| names.names == expected);
        let within = Duration::from_secs(30);
        let outcome = timeout(within, become_so).await.map(|found| found.is_ok());
        assert_eq!(outcome, Ok(true), "{expected:?}: {:?}", self.names.borrow());
    }
}

#[tokio::test]
async fn names_are_read_and_read_again_after_an_event() {
    let home = Scripted::start(&["Küche"]).await;
    let mut following = Following::start(&home, "good");
    following.become_names(&["Küche"]).await;
    home.change(|script| script.areas.push("Bad"));
    home.event.send(()).unwrap();
    following.become_names(&["Küche", "Bad"]).await;
    assert_eq!(home.script.lock().unwrap().connections, 1);
}

#[tokio::test]
async fn the_last_names_stay_while_a_home_talks_rubbish() {
    let home = Scripted::start(&["Küche"]).await;
    let mut following = Following::start(&home, "good");
    following.become_names(&["Küche"]).await;
    home.change(|script| script.talks_rubbish = true);
    home.event.send(()).unwrap();
    let until_it_came_again = async {
        while home.script.lock().unwrap().connections < 2 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), until_it_came_again)
        .await
        .unwrap();
    assert_eq!(following.names.borrow().names, ["Küche"]);
    home.change(|script| {
        script.talks_rubbish = false;
        script.areas = vec!["Keller"];
    });
    following.become_names(&["Keller"]).await;
}

#[tokio::test]
async fn a_refused_token_is_shown_once_until_there_is_another() {
    let home = Scripted::start(&["Küche"]).await;
    let mut following = Following::start(&home, "bad");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(home.script.lock().unwrap().connections, 1);
    assert!(following.names.borrow().names.is_empty());
    std::fs::write(&following.token_file, "good").unwrap();
    following.become_names(&["Küche"]).await;
}
