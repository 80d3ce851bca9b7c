//! Two processes and one lease, on a clock that the test holds.
//!
//! The API server is a single Lease with a resource version: create, get, replace, and nothing else.

use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lease: Option<Value>,
    version: u64,
    silent: bool,
}

impl Server {
    fn election(&self, identity: &str) -> Election {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await?;
                let (code, answer) = server.answer(&parts.method, &body)?;
                let response = Response::builder().status(code).header("content-type", "application/json");
                Ok::<_, tower::BoxError>(response.body(Body::from(serde_json::to_vec(&answer)?))?)
            }
        });
        Election::new(Client::new(service, "ns"), "ns", "operator", identity)
    }

    fn answer(&self, method: &Method, body: &[u8]) -> Result<(u16, Value), tower::BoxError> {
        let mut state = self.0.lock().unwrap();
        if state.silent {
            return Err("nobody is there".into());
        }
        let failure = |code: u16, reason: &str| {
            Ok((
                code,
                json!({ "kind": "Status", "status": "Failure", "reason": reason, "message": reason, "code": code }),
            ))
        };
        let known = state.lease.clone();
        match (method, known) {
            (&Method::GET, Some(lease)) => Ok((200, lease)),
            (&Method::GET, None) => failure(404, "NotFound"),
            (&Method::POST, Some(_)) => failure(409, "AlreadyExists"),
            (_, known) => {
                let mut lease: Value = serde_json::from_slice(body)?;
                let asked = &lease["metadata"]["resourceVersion"];
                if known.is_some_and(|known| known["metadata"]["resourceVersion"] != *asked) {
                    return failure(409, "Conflict");
                }
                state.version += 1;
                lease["metadata"]["resourceVersion"] = json!(state.version.to_string());
                state.lease = Some(lease.clone());
                Ok((200, lease))
            }
        }
    }

    fn holder(&self) -> String {
        let state = self.0.lock().unwrap();
        state.lease.as_ref().unwrap()["spec"]["holderIdentity"].as_str().unwrap().to_owned()
    }

    fn be_silent(&self, silent: bool) {
        self.0.lock().unwrap().silent = silent;
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_holds_and_the_second_waits_until_it_is_released() {
    let server = Server::default();
    let (first, second) = (server.election("a"), server.election("b"));
    first.acquire().await;
    let waiting = tokio::spawn(async move { second.acquire().await });
    let holding = tokio::time::timeout(DURATION * 4, first.hold()).await;
    assert!(holding.is_err(), "a holder that renews keeps it");
    assert!(!waiting.is_finished());
    let released = Instant::now();
    first.release().await;
    waiting.await.unwrap();
    assert_eq!(server.holder(), "b");
    assert!(released.elapsed() < Duration::from_secs(5), "an orderly stop does not cost the whole duration");
}

#[tokio::test(start_paused = true)]
async fn a_dead_holder_is_followed_after_the_duration() {
    let server = Server::default();
    server.election("a").acquire().await;
    let began = Instant::now();
    server.election("b").acquire().await;
    assert!(began.elapsed() >= DURATION && began.elapsed() < DURATION * 2, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_cannot_renew_stops_before_anybody_else_may_take_over() {
    let server = Server::default();
    let first = server.election("a");
    first.acquire().await;
    server.be_silent(true);
    let began = Instant::now();
    let lost = first.hold().await;
    assert!(matches!(lost, LeaseLost::NotRenewed(..)), "{lost}");
    assert!(began.elapsed() < DURATION, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_holder_notices_that_somebody_else_holds_it() {
    let server = Server::default();
    let first = server.election("a");
    first.acquire().await;
    server.0.lock().unwrap().lease.as_mut().unwrap()["spec"]["holderIdentity"] = json!("b");
    assert!(matches!(first.hold().await, LeaseLost::Taken(other) if other == "b"));
    first.release().await;
    assert_eq!(server.holder(), "b", "only its own lease is given up");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_comes_back_under_its_own_name_need_not_wait() {
    let server = Server::default();
    server.election("a").acquire().await;
    let began = Instant::now();
    server.election("a").acquire().await;
    assert!(began.elapsed() < Duration::from_secs(1));
}
