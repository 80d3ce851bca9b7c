//! An API server in memory: just enough of it to be fooled by nothing the operator relies on.
//!
//! Server-side apply with one manager, merge patches, resource versions, generations, UID preconditions,
//! finalizers, status as its own subresource, label selectors, allocated node ports. Every write is
//! counted; after the write that a test names, the process counts as dead and nothing is served any more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// Plural, namespace, name.
pub type Key = (String, String, String);

/// The server's state, shared by the client under test, the kubelet and the test itself.
#[derive(Clone, Default)]
pub struct Api(pub Arc<Mutex<State>>);

#[derive(Default)]
pub struct State {
    pub objects: BTreeMap<Key, Value>,
    applied: BTreeMap<(Key, bool), Value>,
    version: u64,
    uids: u64,
    /// Writes that were carried out, to this server and to the brokers.
    pub writes: usize,
    /// What was written, for messages.
    pub journal: Vec<String>,
    /// The process dies right after this write.
    pub crash_after: Option<usize>,
    pub dead: bool,
    /// A planted bug: resource versions are not compared, as if the operator did not send them.
    pub ignores_versions: bool,
    /// Cluster ids that were ever recorded.
    pub recorded_ids: std::collections::BTreeSet<String>,
    /// What was asked of the server, as a role would have to allow it: resource and verb.
    pub calls: std::collections::BTreeSet<(String, String)>,
}

impl State {
    /// Counts a write and lets the process die after the one that was named.
    pub fn wrote(&mut self, what: String) {
        self.writes += 1;
        self.journal.push(what);
        if self.crash_after == Some(self.writes) {
            self.dead = true;
        }
    }

    fn stamp(&mut self, object: &mut Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
    }

    /// Put an object as the API server would store it.
    pub fn create(&mut self, key: Key, mut object: Value) {
        self.uids += 1;
        object["metadata"]["name"] = json!(key.2);
        object["metadata"]["namespace"] = json!(key.1);
        object["metadata"]["uid"] = json!(format!("uid-{}", self.uids));
        object["metadata"]["generation"] = json!(1);
        object["metadata"]["creationTimestamp"] = json!(format!("2026-01-01T00:00:{:02}Z", self.uids % 60));
        object["metadata"].as_object_mut().unwrap().remove("managedFields");
        self.stamp(&mut object);
        allocate_node_ports(&mut object);
        self.objects.insert(key, object);
    }

    /// Change an object; its generation follows its spec, and it goes when its last finalizer goes.
    pub fn update(&mut self, key: &Key, change: impl FnOnce(&mut Value)) {
        let before = self.objects[key].clone();
        let mut after = before.clone();
        change(&mut after);
        allocate_node_ports(&mut after);
        if after == before {
            return;
        }
        if after["spec"] != before["spec"] {
            after["metadata"]["generation"] =
                json!(before["metadata"]["generation"].as_u64().unwrap_or(0) + 1);
        }
        self.stamp(&mut after);
        let leaves = after["metadata"]["deletionTimestamp"].is_string()
            && after["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty);
        if leaves {
            self.remove(key);
        } else {
            self.objects.insert(key.clone(), after);
        }
    }

    pub fn remove(&mut self, key: &Key) {
        self.objects.remove(key);
        self.applied.retain(|(applied, _), _| applied != key);
    }

    /// Delete as a user would: objects with finalizers stay until these are gone.
    pub fn delete(&mut self, key: &Key) {
        if self.objects[key]["metadata"]["finalizers"].as_array().is_some_and(|names| !names.is_empty()) {
            self.update(key, |object| {
                object["metadata"]["deletionTimestamp"] = json!("2026-01-02T00:00:00Z")
            });
        } else {
            self.remove(key);
        }
    }
}

fn allocate_node_ports(object: &mut Value) {
    if object["spec"]["type"] == "NodePort" {
        for port in object["spec"]["ports"].as_array_mut().into_iter().flatten() {
            port.as_object_mut().unwrap().entry("nodePort").or_insert(json!(31000));
        }
    }
}

impl Api {
    /// A client of this server.
    pub fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { api.serve(request).await }
        });
        Client::new(service, "default")
    }

    async fn serve(&self, request: Request<Body>) -> Result<Response<Body>, tower::BoxError> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await?;
        let mut state = self.0.lock().unwrap();
        if state.dead {
            return Err("the process is dead".into());
        }
        let target = Target::parse(parts.uri.path(), parts.uri.query().unwrap_or_default());
        let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
        let is_apply =
            parts.headers.get("content-type").is_some_and(|kind| kind.to_str().unwrap().contains("apply"));
        state.record(&parts.method, &target);
        let (status, answer) = match parts.method {
            Method::GET => state.get(&target),
            Method::PATCH if is_apply => state.apply(&target, body),
            Method::PATCH => state.merge(&target, body),
            Method::POST => {
                state.wrote(format!("create {}", target.plural));
                (StatusCode::CREATED, body)
            }
            Method::DELETE => state.delete_by_request(&target, &body),
            other => panic!("{other} is not expected"),
        };
        let body = Body::from(serde_json::to_vec(&answer)?);
        Ok(Response::builder().status(status).header("content-type", "application/json").body(body)?)
    }
}

/// What a request is about.
struct Target {
    plural: String,
    namespace: String,
    name: Option<String>,
    status: bool,
    selector: Option<(String, String)>,
}

impl Target {
    fn parse(path: &str, query: &str) -> Self {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let at = parts.iter().position(|part| *part == "namespaces").expect("every request is namespaced");
        let selector = query.split('&').find_map(|pair| pair.strip_prefix("labelSelector=")).map(|text| {
            let text = text.replace("%2F", "/").replace("%3D", "=");
            let (key, value) = text.split_once('=').expect("an equality");
            (key.to_owned(), value.to_owned())
        });
        Self {
            namespace: parts[at + 1].into(),
            plural: parts[at + 2].into(),
            name: parts.get(at + 3).map(|name| (*name).into()),
            status: parts.get(at + 4) == Some(&"status"),
            selector,
        }
    }

    fn key(&self) -> Key {
        (self.plural.clone(), self.namespace.clone(), self.name.clone().expect("a named object"))
    }

    fn words(&self, verb: &str) -> String {
        let name = self.name.as_deref().unwrap_or("");
        format!("{verb} {}/{name}{}", self.plural, if self.status { "/status" } else { "" })
    }
}

fn failure(code: StatusCode, reason: &str) -> (StatusCode, Value) {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason,
        "reason": reason, "code": code.as_u16() });
    (code, status)
}

impl State {
    /// A role must allow `create` too where server-side apply creates.
    fn record(&mut self, method: &Method, target: &Target) {
        let resource = format!("{}{}", target.plural, if target.status { "/status" } else { "" });
        let creates = *method == Method::PATCH && !target.status && !self.objects.contains_key(&target.key());
        let verb = match *method {
            Method::GET if target.name.is_some() => "get",
            Method::GET => "list",
            Method::POST => "create",
            Method::PATCH => "patch",
            _ => "delete",
        };
        self.calls.insert((resource.clone(), verb.into()));
        if creates {
            self.calls.insert((resource, "create".into()));
        }
    }

    fn get(&self, target: &Target) -> (StatusCode, Value) {
        if target.name.is_some() {
            return match self.objects.get(&target.key()) {
                Some(object) => (StatusCode::OK, object.clone()),
                None => failure(StatusCode::NOT_FOUND, "NotFound"),
            };
        }
        let selected = |object: &Value| {
            target
                .selector
                .as_ref()
                .is_none_or(|(key, value)| object["metadata"]["labels"][key] == json!(value))
        };
        let items: Vec<&Value> = self
            .objects
            .iter()
            .filter(|((plural, namespace, _), object)| {
                *plural == target.plural && *namespace == target.namespace && selected(object)
            })
            .map(|(_, object)| object)
            .collect();
        (
            StatusCode::OK,
            json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": items }),
        )
    }

    fn is_stale(&self, key: &Key, body: &Value) -> bool {
        let asked = &body["metadata"]["resourceVersion"];
        !self.ignores_versions
            && asked.is_string()
            && self.objects.get(key).is_some_and(|object| object["metadata"]["resourceVersion"] != *asked)
    }

    fn apply(&mut self, target: &Target, mut body: Value) -> (StatusCode, Value) {
        let key = target.key();
        if self.is_stale(&key, &body) {
            return failure(StatusCode::CONFLICT, "Conflict");
        }
        body["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        if !self.objects.contains_key(&key) {
            if target.status {
                return failure(StatusCode::NOT_FOUND, "NotFound");
            }
            self.create(key.clone(), body.clone());
        } else {
            let before = self.applied.get(&(key.clone(), target.status)).cloned().unwrap_or(Value::Null);
            self.update(&key, |object| {
                take_out(object, &before, &body);
                put_in(object, &body);
            });
        }
        self.recorded_ids.extend(body["status"]["clusterId"].as_str().map(str::to_owned));
        self.applied.insert((key.clone(), target.status), body);
        self.wrote(target.words("apply"));
        (StatusCode::OK, self.objects.get(&key).cloned().unwrap_or(Value::Null))
    }

    fn merge(&mut self, target: &Target, mut body: Value) -> (StatusCode, Value) {
        let key = target.key();
        if !self.objects.contains_key(&key) {
            return failure(StatusCode::NOT_FOUND, "NotFound");
        }
        if self.is_stale(&key, &body) {
            return failure(StatusCode::CONFLICT, "Conflict");
        }
        body["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        let answer = self.objects[&key].clone();
        self.update(&key, |object| put_in(object, &body));
        self.wrote(target.words("merge"));
        (StatusCode::OK, self.objects.get(&key).cloned().unwrap_or(answer))
    }

    fn delete_by_request(&mut self, target: &Target, body: &Value) -> (StatusCode, Value) {
        let key = target.key();
        let Some(object) = self.objects.get(&key).cloned() else {
            return failure(StatusCode::NOT_FOUND, "NotFound");
        };
        let uid = &body["preconditions"]["uid"];
        assert!(uid.is_string(), "a deletion without a UID could hit the replacement");
        if *uid != object["metadata"]["uid"] {
            return failure(StatusCode::CONFLICT, "Conflict");
        }
        self.delete(&key);
        self.wrote(target.words("delete"));
        (StatusCode::OK, object)
    }
}

/// Remove what was applied before and is no longer applied.
fn take_out(object: &mut Value, before: &Value, now: &Value) {
    let (Some(object), Some(before)) = (object.as_object_mut(), before.as_object()) else { return };
    for (key, old) in before {
        match (object.get_mut(key), now.get(key)) {
            (Some(_), None) => {
                object.remove(key);
            }
            (Some(live), Some(new)) => take_out(live, old, new),
            (None, _) => {}
        }
    }
}

fn put_in(object: &mut Value, body: &Value) {
    match (object, body) {
        (Value::Object(object), Value::Object(body)) => {
            for (key, value) in body {
                put_in(object.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (object, body) => *object = body.clone(),
    }
}
