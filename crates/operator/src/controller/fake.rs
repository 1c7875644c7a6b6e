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
    version: u64,
    /// Of Deployments that are applied.
    generation: Option<i64>,
    /// Paths of fields that this server does not know, such as `spec.template`.
    unknown: Vec<String>,
    /// `METHOD path`, without the query.
    calls: Vec<String>,
    bodies: Vec<Value>,
    /// What to answer instead, to the next call that begins with the text.
    faults: VecDeque<(String, StatusCode, String)>,
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

    /// Puts an object there, as another client would; returns it with its version.
    pub(crate) fn put(&self, path: &str, mut object: Value) -> Value {
        let mut state = self.0.lock().unwrap();
        state.version += 1;
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        state.objects.insert(path.to_owned(), object.clone());
        object
    }

    /// A field under `path` is dropped from now on, as by an API server that does not know it.
    pub(crate) fn does_not_know(&self, path: &str) {
        self.0.lock().unwrap().unknown.push(path.to_owned());
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().objects.get(path).cloned()
    }

    pub(crate) fn fail_next(&self, call: &str, status: StatusCode) {
        self.refuse_next(call, status, "said by the API server");
    }

    pub(crate) fn refuse_next(&self, call: &str, status: StatusCode, message: &str) {
        let fault = (call.to_owned(), status, message.to_owned());
        self.0.lock().unwrap().faults.push_back(fault);
    }

    /// Calls since the last time.
    pub(crate) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().calls)
    }

    /// From now on a Deployment that is applied is of a generation that its controller has not seen.
    pub(crate) fn bump_generation(&self) {
        self.0.lock().unwrap().generation = Some(2);
    }

    /// Calls since the last time, that write anything.
    pub(crate) fn writes(&self) -> Vec<String> {
        let calls = self.calls().into_iter();
        calls.filter(|call| !call.starts_with("GET")).collect()
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
            .is_some_and(|(start, ..)| call.starts_with(start));
        if fault && let Some((_, status, message)) = state.faults.pop_front() {
            let reason = match status {
                StatusCode::UNPROCESSABLE_ENTITY => "Invalid",
                StatusCode::FORBIDDEN => "Forbidden",
                StatusCode::CONFLICT => "Conflict",
                StatusCode::TOO_MANY_REQUESTS => "TooManyRequests",
                _ => "ServiceUnavailable",
            };
            return failure(status, reason, &message);
        }
        state.version += 1;
        let version = json!(state.version.to_string());
        match parts.method {
            Method::GET => found(state.objects.get(&path)),
            Method::DELETE => found(state.objects.remove(&path).as_ref()),
            Method::PATCH if path.ends_with("/status") => {
                let mut object = object_with(&body);
                object["metadata"]["resourceVersion"] = version;
                reply(&object)
            }
            Method::PATCH if path.contains("/pods/") => {
                reply(&json!({"metadata": {"name": "pod"}}))
            }
            Method::PATCH => {
                let manager = query(&parts, "fieldManager");
                let found = state.objects.get(&path);
                let mut object = if is_merge(&parts) {
                    merged(found.unwrap_or(&Value::Null), &body)
                } else {
                    applied(found, &body, &manager)
                };
                for field in &state.unknown {
                    remove(&mut object, field);
                }
                object["metadata"]["resourceVersion"] = version;
                if let Some(generation) = state.generation {
                    object["metadata"]["generation"] = json!(generation);
                }
                state.objects.insert(path, object.clone());
                reply(&object)
            }
            _ => reply(&body),
        }
    }
}

fn query(parts: &http::request::Parts, name: &str) -> String {
    let pairs = parts.uri.query().unwrap_or_default().split('&');
    let mut values = pairs.filter_map(|pair| pair.split_once('='));
    let value = values.find(|(key, _)| *key == name);
    value.map_or("", |(_, value)| value).to_owned()
}

fn is_merge(parts: &http::request::Parts) -> bool {
    let type_ = parts.headers.get(http::header::CONTENT_TYPE);
    type_.is_some_and(|it| it == "application/merge-patch+json")
}

/// `found` with what `patch` names (RFC 7386, without what it takes away).
fn merged(found: &Value, patch: &Value) -> Value {
    let (Value::Object(found), Value::Object(patch)) = (found, patch) else {
        return patch.clone();
    };
    let mut object = found.clone();
    for (field, value) in patch {
        let before = found.get(field).unwrap_or(&Value::Null);
        object.insert(field.clone(), merged(before, value));
    }
    Value::Object(object)
}

/// `body`, as `manager` applies it to `found`. Of a Deployment's fields the number of replicas can have another owner
/// than the rest: it is kept when one applies the rest, and without an owner it is 1.
fn applied(found: Option<&Value>, body: &Value, manager: &str) -> Value {
    if body["kind"] != "Deployment" {
        return body.clone();
    }
    let scaler = super::names::SCALER;
    let owner = json!([{"manager": scaler, "operation": "Apply", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:replicas": {}}}}]);
    let mut object = if manager == scaler {
        let mut object = found.cloned().unwrap_or_else(|| body.clone());
        object["spec"]["replicas"] = body["spec"]["replicas"].clone();
        object["metadata"]["managedFields"] = owner;
        object
    } else {
        let mut object = body.clone();
        if let Some(status) = found.and_then(|it| it.get("status")) {
            object["status"] = status.clone();
        }
        let known = found.map(|it| it["metadata"]["managedFields"].clone());
        match known.filter(Value::is_array) {
            Some(owner) if object["spec"]["replicas"].is_null() => {
                object["spec"]["replicas"] = found.unwrap_or(body)["spec"]["replicas"].clone();
                object["metadata"]["managedFields"] = owner;
            }
            _ if object["spec"]["replicas"].is_null() => object["spec"]["replicas"] = json!(1),
            _ => {}
        }
        object
    };
    if object["metadata"]["uid"].is_null() {
        object["metadata"]["uid"] = json!("d-1");
    }
    object
}

/// Takes out the field at `path`; a part that is a number is a place in a list.
fn remove(object: &mut Value, path: &str) {
    let Some((parents, field)) = path.rsplit_once('/') else {
        return;
    };
    if let Some(Value::Object(fields)) = object.pointer_mut(parents) {
        fields.remove(field);
    }
}

/// A status write is answered with the whole object.
fn object_with(body: &Value) -> Value {
    let mut object = json!(super::testing::object(&json!({"model": {"name": "demo"}})));
    object["status"] = body["status"].clone();
    object
}

fn found(object: Option<&Value>) -> Response<Body> {
    object.map_or_else(
        || failure(StatusCode::NOT_FOUND, "NotFound", "not found"),
        reply,
    )
}

fn reply(value: &Value) -> Response<Body> {
    Response::new(Body::from(serde_json::to_vec(value).unwrap()))
}

fn failure(status: StatusCode, reason: &str, message: &str) -> Response<Body> {
    let body = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure",
        "message": message, "reason": reason, "code": status.as_u16(),
    });
    let mut response = reply(&body);
    *response.status_mut() = status;
    response
}
