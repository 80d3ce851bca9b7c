//! A real Prometheus (Debian's) that scrapes the broker and the operator as the chart's PodMonitors would.
//!
//! Used by `tests/kube_metrics.rs`. It runs on this machine and reaches the pods through kubectl port-forward;
//! `LOGSPINE_E2E_PROMETHEUS` names the folder of its programs. Everything ends with its value, by its id.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::kube::Kubernetes;

const READY_WITHIN: Duration = Duration::from_secs(30);

/// A program in the background that ends with this value.
struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself; the wait only collects it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A way from this machine to a port of a pod.
pub struct PortForward {
    pub address: String,
    _process: Background,
}

impl Kubernetes {
    /// Forwards a free port of this machine to a port of a pod, and waits until `path` answers there.
    pub fn forward(&self, namespace: &str, pod: &str, port: u16, path: &str) -> anyhow::Result<PortForward> {
        let local = free_port()?;
        let ports = format!("{local}:{port}");
        let child = self
            .command("kubectl")
            .args(["port-forward", "--namespace", namespace, &format!("pod/{pod}"), &ports])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let forward = PortForward { address: format!("127.0.0.1:{local}"), _process: Background(child) };
        let started = Instant::now();
        while let Err(error) = http_get(&forward.address, path) {
            ensure!(started.elapsed() < READY_WITHIN, "pod {pod} does not answer on port {port}: {error:#}");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(forward)
    }
}

/// What Prometheus scrapes: a job, an address, and the labels that a PodMonitor would add.
pub struct Target<'t> {
    pub job: &'t str,
    pub address: &'t str,
    pub labels: Value,
}

/// A running Prometheus.
pub struct Prometheus {
    address: String,
    _process: Background,
}

impl Prometheus {
    /// Starts it; its files are in `folder`.
    pub fn start(folder: &Path, targets: &[Target<'_>]) -> anyhow::Result<Prometheus> {
        let jobs: Vec<Value> = targets
            .iter()
            .map(|target| {
                let targets = json!([{ "targets": [target.address], "labels": target.labels }]);
                json!({ "job_name": target.job, "static_configs": targets })
            })
            .collect();
        // JSON is YAML.
        let config = json!({ "global": { "scrape_interval": "1s" }, "scrape_configs": jobs });
        let config_file = folder.join("prometheus.yml");
        std::fs::write(&config_file, config.to_string())?;
        let programs =
            std::env::var("LOGSPINE_E2E_PROMETHEUS").context("LOGSPINE_E2E_PROMETHEUS is not set")?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let log = std::fs::File::create(folder.join("prometheus.log"))?;
        let child = std::process::Command::new(Path::new(&programs).join("prometheus"))
            .arg(format!("--config.file={}", config_file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let prometheus = Prometheus { address, _process: Background(child) };
        let started = Instant::now();
        let is_up = |prometheus: &Prometheus| {
            prometheus.query("up == 1").is_ok_and(|results| results.len() == targets.len())
        };
        while !is_up(&prometheus) {
            if started.elapsed() > READY_WITHIN {
                bail!("Prometheus has not scraped everything within {} s", READY_WITHIN.as_secs());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(prometheus)
    }

    /// The results of an instant query.
    pub fn query(&self, query: &str) -> anyhow::Result<Vec<Value>> {
        let body = http_get(&self.address, &format!("/api/v1/query?query={}", percent_encoded(query)))?;
        let answer: Value = serde_json::from_str(&body)?;
        ensure!(answer["status"] == "success", "Prometheus refused {query}: {answer}");
        Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default())
    }
}

/// A port that was free a moment ago.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A plain HTTP/1.0 request: the answer ends with the connection.
fn http_get(address: &str, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an HTTP answer without a body")?;
    let first = head.lines().next().unwrap_or_default();
    ensure!(first.contains(" 200") || first.contains(" 400"), "{address}{path}: {first}");
    Ok(body.to_owned())
}

fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(encode).collect()
}
