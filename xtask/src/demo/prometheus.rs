//! A real Prometheus (Debian's) that scrapes the broker for as long as the story asks it.
//!
//! Invariants: runs from the cache without being installed, keeps its data in a folder of the cache, listens on
//! loopback only and ends with the value. Called by the story.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::cache::Cache;
use crate::debian;
use crate::demo::apache::Bookmark;
use crate::demo::place::Background;
use crate::process::Program;

const READY_WITHIN: Duration = Duration::from_secs(30);

/// A running Prometheus.
pub struct Prometheus {
    address: String,
    _process: Background,
}

impl Prometheus {
    /// Starts it on a free port with one target.
    pub fn start(cache: &Cache, target: &str) -> anyhow::Result<Prometheus> {
        let binary = debian::unpack(cache, "prometheus")?.join("usr/bin/prometheus");
        let folder = cache.folder("demo/prometheus")?;
        let data = folder.join("data");
        let _ = std::fs::remove_dir_all(&data);
        let config = config_file(&folder, target)?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let process = Program::new(binary)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address={address}"))
            .log(folder.join("log"))
            .start()?;
        let prometheus = Prometheus { address, _process: Background(process) };
        let started = Instant::now();
        while !prometheus.sum("up").is_ok_and(|up| up == Some(1)) {
            if started.elapsed() > READY_WITHIN {
                bail!(
                    "Prometheus has not scraped {target} within {} s; its log is {}",
                    READY_WITHIN.as_secs(),
                    folder.join("log").display()
                );
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(prometheus)
    }

    /// The address of its page, for a person.
    pub fn page(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The sum of a query's results; nothing when there are none.
    pub fn sum(&self, query: &str) -> anyhow::Result<Option<u64>> {
        let results = self.query(&format!("sum({query})"))?;
        Ok(results.first().and_then(sample))
    }

    /// One metric by consumer group and partition of a topic.
    pub fn by_bookmark(&self, metric: &str, topic: &str) -> anyhow::Result<BTreeMap<Bookmark, u64>> {
        let results = self.query(&format!("{metric}{{topic=\"{topic}\"}}"))?;
        let entry = |result: &Value| {
            let labels = &result["metric"];
            let partition = labels["partition"].as_str()?.parse().ok()?;
            Some(((labels["consumergroup"].as_str()?.to_owned(), partition), sample(result)?))
        };
        Ok(results.iter().filter_map(entry).collect())
    }

    fn query(&self, query: &str) -> anyhow::Result<Vec<Value>> {
        let path = format!("/api/v1/query?query={}", percent_encoded(query));
        let answer: Value = serde_json::from_str(&get(&self.address, &path)?)?;
        anyhow::ensure!(answer["status"] == "success", "Prometheus refused {query}: {answer}");
        Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default())
    }
}

fn config_file(folder: &std::path::Path, target: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join("prometheus.yml");
    let text = format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: logspine\n    static_configs:\n      \
         - targets: ['{target}']\n"
    );
    std::fs::write(&path, text)?;
    Ok(path)
}

/// The value of an instant query's result: offsets and lags are whole numbers.
fn sample(result: &Value) -> Option<u64> {
    result["value"][1].as_str()?.parse::<f64>().ok().map(|value| value as u64)
}

/// A port that was free a moment ago.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
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

/// A plain HTTP/1.0 request: the answer ends with the connection.
pub fn get(address: &str, path: &str) -> anyhow::Result<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an HTTP answer without a body")?;
    anyhow::ensure!(head.contains(" 200"), "{address}{path}: {}", head.lines().next().unwrap_or_default());
    Ok(body.to_owned())
}
