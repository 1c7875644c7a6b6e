//! An API server in memory: it keeps what is applied, and writes down every call.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower_test::mock;

/// Handle of the server; it ends with the last client.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    pods: Vec<Value>,
    /// `METHOD path`, without the query.
    calls: Vec<String>,
    bodies: Vec<Value>,
    /// What to answer instead, to the next call that begins with the text.
    faults: VecDeque<(String, StatusCode)>,
}

impl Fake {
    pub(crate) fn start() -> (Self, Client) {
        let fake = Self::default();
        let (service, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
        let server = fake.clone();
        tokio::spawn(async move {
            while let Some((request, answer)) = handle.next_request().await {
                answer.send_response(server.answer(request).await);
            }
        });
        (fake, Client::new(service, "home"))
    }

    pub(crate) fn with_pods(&self, pods: Vec<Value>) {
        self.0.lock().unwrap().pods = pods;
    }

    pub(crate) fn put(&self, path: &str, object: Value) {
        self.0
            .lock()
            .unwrap()
            .objects
            .insert(path.to_owned(), object);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().objects.get(path).cloned()
    }

    pub(crate) fn fail_next(&self, call: &str, status: StatusCode) {
        self.0
            .lock()
            .unwrap()
            .faults
            .push_back((call.to_owned(), status));
    }

    /// Calls since the last time, that write anything.
    pub(crate) fn writes(&self) -> Vec<String> {
        let calls = std::mem::take(&mut self.0.lock().unwrap().calls);
        calls
            .into_iter()
            .filter(|call| !call.starts_with("GET"))
            .collect()
    }

    /// Bodies of all writes so far.
    pub(crate) fn bodies(&self) -> Vec<Value> {
        self.0.lock().unwrap().bodies.clone()
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let path = parts.uri.path().to_owned();
        let mut state = self.0.lock().unwrap();
        let call = format!("{} {path}", parts.method);
        state.calls.push(call.clone());
        if parts.method != Method::GET {
            state.bodies.push(body.clone());
        }
        let fault = state
            .faults
            .front()
            .is_some_and(|(start, _)| call.starts_with(start));
        if fault && let Some((_, status)) = state.faults.pop_front() {
            let reason = match status {
                StatusCode::UNPROCESSABLE_ENTITY => "Invalid",
                StatusCode::FORBIDDEN => "Forbidden",
                StatusCode::CONFLICT => "Conflict",
                StatusCode::TOO_MANY_REQUESTS => "TooManyRequests",
                _ => "ServiceUnavailable",
            };
            return failure(status, reason);
        }
        match parts.method {
            Method::GET if path.ends_with("/pods") => {
                let items = state.pods.clone();
                reply(
                    &json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items}),
                )
            }
            Method::GET => found(state.objects.get(&path)),
            Method::DELETE => found(state.objects.remove(&path).as_ref()),
            Method::PATCH if path.ends_with("/status") => reply(&object_with(&body)),
            Method::PATCH if path.contains("/pods/") => {
                reply(&json!({"metadata": {"name": "pod"}}))
            }
            Method::PATCH => {
                state.objects.insert(path, body.clone());
                reply(&body)
            }
            _ => reply(&body),
        }
    }
}

/// A status write is answered with the whole object.
fn object_with(body: &Value) -> Value {
    let mut object = json!(super::testing::object(&json!({"model": {"name": "demo"}})));
    object["status"] = body["status"].clone();
    object
}

fn found(object: Option<&Value>) -> Response<Body> {
    object.map_or_else(|| failure(StatusCode::NOT_FOUND, "NotFound"), reply)
}

fn reply(value: &Value) -> Response<Body> {
    Response::new(Body::from(serde_json::to_vec(value).unwrap()))
}

fn failure(status: StatusCode, reason: &str) -> Response<Body> {
    let body = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure",
        "message": "said by the API server", "reason": reason, "code": status.as_u16(),
    });
    let mut response = reply(&body);
    *response.status_mut() = status;
    response
}
