//! A watch against an API server with a script.

use std::collections::VecDeque;

use http::{Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};
use tower_test::mock;

use super::*;
use crate::controller::kept::Child;

/// What is answered to one request.
enum Answer {
    /// A status in the place of anything else.
    Failure(StatusCode, &'static str),
    /// A list.
    List(&'static str, Vec<Value>),
    /// Events, and the end of the watch.
    Events(Vec<Value>),
}

fn service(name: &str, version: u32, port: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "home", "resourceVersion": version.to_string(),
            "labels": {"app.kubernetes.io/instance": name}, "managedFields": [{"manager": "somebody"}]},
        "spec": {"ports": [{"port": port}]},
    })
}

fn event(type_: &str, object: &Value) -> Value {
    json!({"type": type_, "object": object})
}

/// A client that gets `script` one after the other, and then waits for ever; and the paths that it asked for.
fn scripted(script: Vec<Answer>) -> (Client, Arc<Mutex<Vec<String>>>) {
    let (service, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut script = VecDeque::from(script);
        let mut unanswered = Vec::new();
        while let Some((request, answer)) = handle.next_request().await {
            let query = request.uri().query().unwrap_or_default().to_owned();
            let verb = if query.contains("watch=true") {
                "WATCH"
            } else {
                "LIST"
            };
            log.lock().unwrap().push(verb.to_owned());
            assert!(
                query.contains("managed-by%3Dwyoming-stt-operator"),
                "{query}"
            );
            match script.pop_front() {
                None => unanswered.push(answer),
                Some(next) => answer.send_response(response(next)),
            }
        }
    });
    (Client::new(service, "home"), asked)
}

fn response(answer: Answer) -> Response<Body> {
    let (status, text) = match answer {
        Answer::Failure(status, message) => {
            let body = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure",
                "message": message, "reason": "Any", "code": status.as_u16()});
            (status, body.to_string())
        }
        Answer::List(version, items) => {
            let body = json!({"apiVersion": "v1", "kind": "ServiceList",
                "metadata": {"resourceVersion": version}, "items": items});
            (StatusCode::OK, body.to_string())
        }
        Answer::Events(events) => {
            let lines: Vec<String> = events.iter().map(|event| format!("{event}\n")).collect();
            (StatusCode::OK, lines.concat())
        }
    };
    let mut response = Response::new(Body::from(text.into_bytes()));
    *response.status_mut() = status;
    response
}

async fn followed(script: Vec<Answer>) -> (Mirror<Child>, Arc<Triggers>, Vec<String>) {
    let (client, asked) = scripted(script);
    let (mirror, triggers) = (Mirror::default(), Arc::new(Triggers::default()));
    let labels = format!("app.kubernetes.io/managed-by={MANAGER}");
    let following = follow(&mirror, api::<Service>(&client, None), &labels, &triggers);
    // The script's end is a watch without an answer.
    let end = tokio::time::timeout(Duration::from_secs(100), following).await;
    assert!(end.is_err());
    let asked = asked.lock().unwrap().clone();
    (mirror, triggers, asked)
}

fn owner(name: &str) -> Owner {
    Owner {
        namespace: "home".to_owned(),
        name: name.to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_listed_and_watched_is_known_and_asks_for_rounds() {
    let (mirror, triggers, _) = followed(vec![
        Answer::List("10", vec![service("a", 3, 1), service("b", 4, 1)]),
        Answer::Events(vec![
            event("MODIFIED", &service("a", 11, 2)),
            event("DELETED", &service("b", 12, 1)),
            event("ADDED", &service("c", 13, 1)),
        ]),
    ])
    .await;
    let found = mirror.get(&owner("a"), "a").unwrap();
    assert_eq!(found.version(), Some(11));
    let value = found.value();
    assert_eq!(value["spec"]["ports"][0]["port"], 2);
    assert_eq!(value["metadata"].get("managedFields"), None);
    assert!(mirror.get(&owner("b"), "b").is_none());
    assert!(mirror.get(&owner("c"), "c").is_some());
    let mut rounds: Vec<Owner> = triggers.gathered().take(3).collect().await;
    rounds.sort();
    assert_eq!(rounds, [owner("a"), owner("b"), owner("c")]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_kept_until_it_is_over() {
    let forbidden = || Answer::Failure(StatusCode::FORBIDDEN, "services is forbidden");
    let (mirror, ..) = followed(vec![forbidden(), forbidden()]).await;
    assert_eq!(mirror.trouble().as_deref(), Some("services is forbidden"));
    assert!(!mirror.is_complete());
    let (mirror, _, asked) = followed(vec![
        forbidden(),
        forbidden(),
        Answer::List("10", vec![service("a", 3, 1)]),
    ])
    .await;
    assert_eq!((mirror.trouble(), mirror.is_complete()), (None, true));
    assert_eq!(asked, ["LIST", "LIST", "LIST", "WATCH"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_too_old_lists_anew_at_once() {
    let began = tokio::time::Instant::now();
    let gone = json!({"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410,
        "message": "too old resource version", "metadata": {}});
    let (mirror, triggers, asked) = followed(vec![
        Answer::List("10", vec![service("a", 3, 1)]),
        Answer::Events(vec![event("ERROR", &gone)]),
        Answer::List("20", vec![service("a", 15, 2)]),
    ])
    .await;
    assert_eq!(asked, ["LIST", "WATCH", "LIST", "WATCH"]);
    // Of the 100 s that `followed` waits nothing was spent before the last watch.
    assert_eq!(began.elapsed().as_secs(), 100);
    assert_eq!(mirror.trouble(), None);
    let found = mirror.get(&owner("a"), "a").unwrap();
    assert_eq!(found.version(), Some(15));
    // What changed meanwhile asks for a round.
    let rounds: Vec<Owner> = triggers.gathered().take(1).collect().await;
    assert_eq!(rounds, [owner("a")]);
}

#[tokio::test(start_paused = true)]
async fn an_object_has_one_round_for_what_comes_together() {
    let triggers = Arc::new(Triggers::default());
    let mut gathered = Box::pin(Arc::clone(&triggers).gathered());
    for _ in 0..3 {
        triggers.add(&owner("a"));
    }
    assert_eq!(gathered.next().await, Some(owner("a")));
    let silence = tokio::time::timeout(Duration::from_secs(10), gathered.next()).await;
    assert!(silence.is_err());
    triggers.add(&owner("a"));
    assert_eq!(gathered.next().await, Some(owner("a")));
}

#[test]
fn waits_grow_and_stay_below_a_quarter_of_a_minute() {
    let waits: Vec<u64> = (0..40).map(|failures| wait(failures).as_secs()).collect();
    assert_eq!(waits[..6], [0, 1, 2, 4, 8, 15]);
    assert_eq!(waits[39], 15);
}

#[test]
fn an_api_server_that_is_gone_is_told_once_however_it_is_gone() {
    let gone = |text: &str| {
        let source = std::io::Error::other(text.to_owned());
        watcher::Error::WatchFailed(kube::Error::ReadEvents(source))
    };
    let refused = || watcher::Error::WatchError(Box::new(forbidden()));
    let mut failures = Failures::default();
    let first = failures.add(&gone("connection reset"));
    assert!(first.contains("connection reset"), "{first}");
    assert_eq!(failures.add(&gone("connection refused")), first);
    // What it answers is news, and so is a silence after that.
    assert_eq!(failures.add(&refused()), "not yours");
    assert!(failures.add(&gone("timed out")).contains("timed out"));
    assert_eq!(failures.count, 4);
}

fn forbidden() -> kube::core::Status {
    kube::core::Status::failure("not yours", "Forbidden").with_code(403)
}
