//! The lease's loop against API servers in memory, in paused time.

use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};
use tower_test::mock;

use super::*;

fn lease(holder: &str, version: &str) -> Lease {
    let mut lease = Lease::default();
    lease.metadata.resource_version = Some(version.to_owned());
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(holder.to_owned()),
        // A clock that is far ahead changes nothing.
        renew_time: Some(MicroTime(Timestamp::MAX)),
        ..LeaseSpec::default()
    });
    lease
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_lease_is_created_taken_renewed_or_left() {
    let judge = |lease: Option<Lease>| Watched::default().judge(lease.as_ref(), "me", seconds(0));
    assert_eq!(judge(None), Step::Create);
    assert_eq!(judge(Some(lease("", "1"))), Step::Take);
    assert_eq!(judge(Some(lease("me", "1"))), Step::Renew);
    assert_eq!(judge(Some(lease("you", "1"))), Step::Wait);
}

#[test]
fn a_holder_is_given_up_when_it_shows_no_sign_by_our_clock() {
    let mut watched = Watched::default();
    let mut judge =
        |version: &str, at: u64| watched.judge(Some(&lease("you", version)), "me", seconds(at));
    assert_eq!(judge("1", 0), Step::Wait);
    assert_eq!(judge("1", 14), Step::Wait);
    assert_eq!(judge("2", 15), Step::Wait);
    assert_eq!(judge("2", 29), Step::Wait);
    assert_eq!(judge("2", 30), Step::Take);
}

/// A lease that several clients see; each client's way to it can be cut.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<Stored>>);

#[derive(Default)]
struct Stored {
    lease: Option<Value>,
    version: u64,
    writes: u32,
}

/// What happens to a client's requests.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Open,
    Refuses,
    Hangs,
}

impl Server {
    fn answer(&self, method: &Method, body: Value) -> Response<Body> {
        let mut stored = self.0.lock().unwrap();
        if *method == Method::GET {
            return match &stored.lease {
                Some(lease) => reply(StatusCode::OK, lease),
                None => failure(StatusCode::NOT_FOUND, "NotFound"),
            };
        }
        let known = stored
            .lease
            .as_ref()
            .map(|it| it["metadata"]["resourceVersion"].clone());
        match (method, known) {
            (&Method::POST, Some(_)) => return failure(StatusCode::CONFLICT, "AlreadyExists"),
            (&Method::PUT, None) => return failure(StatusCode::NOT_FOUND, "NotFound"),
            (&Method::PUT, Some(known)) if known != body["metadata"]["resourceVersion"] => {
                return failure(StatusCode::CONFLICT, "Conflict");
            }
            _ => {}
        }
        stored.version += 1;
        stored.writes += 1;
        let mut lease = body;
        lease["metadata"]["resourceVersion"] = json!(stored.version.to_string());
        stored.lease = Some(lease.clone());
        reply(StatusCode::OK, &lease)
    }

    fn holder(&self) -> String {
        let stored = self.0.lock().unwrap();
        let lease = stored.lease.as_ref().unwrap();
        lease["spec"]["holderIdentity"].as_str().unwrap().to_owned()
    }

    fn transitions(&self) -> i64 {
        let stored = self.0.lock().unwrap();
        stored.lease.as_ref().unwrap()["spec"]["leaseTransitions"]
            .as_i64()
            .unwrap()
    }

    fn writes(&self) -> u32 {
        self.0.lock().unwrap().writes
    }

    /// Another client writes what it likes.
    fn set_holder(&self, holder: &str) {
        let mut stored = self.0.lock().unwrap();
        stored.version += 1;
        let version = stored.version.to_string();
        let lease = stored.lease.as_mut().unwrap();
        lease["spec"]["holderIdentity"] = json!(holder);
        lease["metadata"]["resourceVersion"] = json!(version);
    }
}

fn reply(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(serde_json::to_vec(value).unwrap()));
    *response.status_mut() = status;
    response
}

fn failure(status: StatusCode, reason: &str) -> Response<Body> {
    let body = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure",
        "message": reason, "reason": reason, "code": status.as_u16(),
    });
    reply(status, &body)
}

/// A process that tries for the lease.
struct Process {
    leader: watch::Receiver<bool>,
    term: Term,
    way: watch::Sender<Way>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), Lost>>,
}

impl Process {
    fn start(server: &Server, identity: &str) -> Self {
        let (service, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
        let (way, ways) = watch::channel(Way::Open);
        let server = server.clone();
        tokio::spawn(async move {
            let mut unanswered = Vec::new();
            while let Some((request, answer)) = handle.next_request().await {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let way = *ways.borrow();
                match way {
                    Way::Open => answer.send_response(server.answer(&parts.method, body)),
                    Way::Refuses => {
                        answer.send_response(failure(StatusCode::INTERNAL_SERVER_ERROR, "No"));
                    }
                    Way::Hangs => unanswered.push(answer),
                }
            }
        });
        let candidate = Candidate {
            client: Client::new(service, "home"),
            namespace: "home".to_owned(),
            name: "operator".to_owned(),
            identity: identity.to_owned(),
            term: Term::default(),
            others: Arc::default(),
        };
        let term = candidate.term.clone();
        let (sender, leader) = watch::channel(false);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let vitals = Vitals::default();
            candidate.hold(sender, &vitals, stopped).await
        });
        Self {
            leader,
            term,
            way,
            stop,
            task,
        }
    }

    fn leads(&self) -> bool {
        *self.leader.borrow() && !self.task.is_finished()
    }

    async fn leading(&mut self) -> Duration {
        let began = Instant::now();
        self.leader.wait_for(|is_leader| *is_leader).await.unwrap();
        began.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_one_leads_renews_and_gives_back() {
    let server = Server::default();
    let mut first = Process::start(&server, "first");
    assert_eq!(first.leading().await, Duration::ZERO);
    tokio::time::sleep(seconds(61)).await;
    assert_eq!(server.writes(), 1 + 15, "one renewal in four seconds");
    first.stop.cancel();
    first.task.await.unwrap().unwrap();
    assert_eq!(server.holder(), "");
    let mut second = Process::start(&server, "second");
    assert_eq!(second.leading().await, Duration::ZERO);
    assert_eq!(
        (server.holder().as_str(), server.transitions()),
        ("second", 1)
    );
}

#[tokio::test(start_paused = true)]
async fn who_waits_takes_over_within_the_duration_after_a_kill() {
    let server = Server::default();
    let mut first = Process::start(&server, "first");
    first.leading().await;
    let mut second = Process::start(&server, "second");
    tokio::time::sleep(seconds(100)).await;
    assert!(first.leads() && !second.leads());
    assert!(first.term.is_running() && !second.term.is_running());
    first.task.abort();
    let took = second.leading().await;
    // As in a process that is stopped and woken: what runs beside the lease's task must not write.
    assert!(!first.term.is_running() && second.term.is_running());
    // It is not known for sooner that the first one does not come back.
    assert!(
        took + RENEWAL >= DURATION && took <= DURATION + LOOK,
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_release_is_noticed_at_the_next_look() {
    let server = Server::default();
    let mut first = Process::start(&server, "first");
    first.leading().await;
    let mut second = Process::start(&server, "second");
    tokio::time::sleep(seconds(33)).await;
    first.stop.cancel();
    assert!(second.leading().await <= LOOK);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_renew_stops_before_another_begins() {
    for way in [Way::Refuses, Way::Hangs] {
        let server = Server::default();
        let mut first = Process::start(&server, "first");
        first.leading().await;
        let second = Process::start(&server, "second");
        tokio::time::sleep(seconds(42)).await;
        first.way.send_replace(way);
        let cut = Instant::now();
        let mut ended = None;
        while !second.leads() {
            assert!(cut.elapsed() < seconds(60), "{way:?}: nobody took over");
            if !first.leads() {
                ended.get_or_insert_with(|| cut.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(!first.leads(), "{way:?}: two led");
        assert!(ended <= Some(DEADLINE), "{way:?}: {ended:?}");
        let lost = first.task.await.unwrap().unwrap_err();
        assert_eq!(
            lost.to_string(),
            "the lease operator could not be renewed for 10 s"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_trouble_costs_nothing() {
    let server = Server::default();
    let mut first = Process::start(&server, "first");
    first.leading().await;
    // A renewal that hangs is given up after three seconds.
    for (way, lasts) in [(Way::Refuses, 7), (Way::Hangs, 3)] {
        first.way.send_replace(way);
        tokio::time::sleep(seconds(lasts)).await;
        first.way.send_replace(Way::Open);
        tokio::time::sleep(seconds(20)).await;
        assert!(first.leads(), "{way:?}");
    }
    assert_eq!(server.transitions(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_is_robbed_of_the_lease_stops_at_the_next_renewal() {
    let server = Server::default();
    let mut first = Process::start(&server, "first");
    first.leading().await;
    tokio::time::sleep(seconds(11)).await;
    server.set_holder("robber");
    let lost = tokio::time::timeout(RENEWAL, first.task).await.unwrap();
    let lost = lost.unwrap().unwrap_err();
    assert_eq!(lost.to_string(), "the lease operator is held by robber now");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_somebody_touched_or_deleted_is_kept() {
    let server = Server::default();
    let mut first = Process::start(&server, "first");
    first.leading().await;
    server.set_holder("first");
    tokio::time::sleep(seconds(11)).await;
    server.0.lock().unwrap().lease = None;
    tokio::time::sleep(seconds(11)).await;
    assert!(first.leads());
    assert_eq!(server.holder(), "first");
}
