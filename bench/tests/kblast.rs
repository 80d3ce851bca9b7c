//! kblast against a real broker: what it counts, what it sees of a stall, whom it charges.
//!
//! Each test starts the broker that `LOGSPINE_BIN` names in a directory of its own; without it, it is skipped. Margins are
//! wide: the machine may be busy, and a stall that is planted is far longer than what a neighbour causes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A process that ends with the value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Broker {
    process: Process,
    address: String,
    folder: tempfile::TempDir,
}

impl Broker {
    /// `None` where no broker is named; that is told, and a failure under CI.
    fn start(test: &str) -> Option<Broker> {
        let Some(program) = std::env::var_os("LOGSPINE_BIN") else {
            let words = format!("SKIPPED {test}: LOGSPINE_BIN names no broker");
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{words}");
            println!("{words}");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let (address, admin) = (free(), free());
        let process = Command::new(program)
            .args(["broker", "--data-dir"])
            .arg(folder.path().join("data"))
            .args(["--override", &format!("listeners=PLAINTEXT://{address}")])
            .args(["--override", &format!("admin.listeners=http://{admin}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while TcpStream::connect(&address).is_err() {
            assert!(started.elapsed() < Duration::from_secs(20), "the broker does not accept connections");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Broker { process: Process(process), address, folder })
    }

    fn kblast(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kblast"));
        command.args(words.split(' ')).args(["--bootstrap", &self.address]).stdout(Stdio::piped());
        command
    }

    fn run(&self, words: &str) -> Value {
        outcome(self.kblast(words).spawn().unwrap())
    }

    /// Bytes of all partition logs.
    fn written_bytes(&self) -> u64 {
        let dirs = std::fs::read_dir(self.folder.path().join("data")).unwrap().flatten();
        let files = dirs.flat_map(|dir| std::fs::read_dir(dir.path()).into_iter().flatten().flatten());
        let logs = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "log"));
        logs.map(|log| log.metadata().unwrap().len()).sum()
    }

    /// Waits until the logs have grown.
    fn await_growth(&self, before_bytes: u64) {
        let started = Instant::now();
        while self.written_bytes() <= before_bytes {
            assert!(started.elapsed() < Duration::from_secs(20), "nothing is written");
            std::thread::yield_now();
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.process.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

fn outcome(kblast: Child) -> Value {
    let output = kblast.wait_with_output().unwrap();
    assert!(output.status.success(), "kblast failed");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(outcome: &Value, pointer: &str) -> f64 {
    outcome.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {pointer} in {outcome}"))
}

#[test]
fn everything_that_is_due_is_acknowledged_and_delivered_once() {
    let Some(broker) = Broker::start("everything_that_is_due_is_acknowledged_and_delivered_once") else {
        return;
    };
    let outcome = broker.run("e2e -p 3 -n 10 -s 100 -r 2000 --warm-up-seconds 0 --seconds 1");
    assert_eq!(number(&outcome, "/produce_latency_us/count"), 200.0, "200 batches of 10 records are due");
    // The last of them may arrive after the window.
    assert!((180.0..=200.0).contains(&number(&outcome, "/delivery_latency_us/count")), "{outcome}");
}

#[test]
fn a_fetch_goes_round_a_log_and_counts_whole_batches() {
    let Some(broker) = Broker::start("a_fetch_goes_round_a_log_and_counts_whole_batches") else { return };
    // 32 batches in the log and up to 8 that were under way, 16 in an answer, and an answer ends where the log
    // does: ten answers go round at least three times. The worst log has 33: 16, 16 and 1.
    let outcome = broker.run("fetch --fill 2097152 -m 1048576 --warm-up-seconds 0 --requests 10");
    assert_eq!(number(&outcome, "/fetched/requests"), 10.0);
    assert_eq!(number(&outcome, "/fetched/bytes") % 65_536.0, 0.0);
    let batches = number(&outcome, "/fetched/bytes") / 65_536.0;
    assert!((115.0..=160.0).contains(&batches), "{outcome}");
}

#[test]
fn a_broker_that_stands_still_is_seen_by_every_request_that_was_due_meanwhile() {
    let Some(broker) =
        Broker::start("a_broker_that_stands_still_is_seen_by_every_request_that_was_due_meanwhile")
    else {
        return;
    };
    broker.run("produce -n 1 --requests 1 --warm-up-seconds 0");
    let before_bytes = broker.written_bytes();
    let load = broker.kblast("produce -n 1 -r 500 --warm-up-seconds 0 --seconds 2.5").spawn().unwrap();
    broker.await_growth(before_bytes);
    broker.signal("-STOP");
    std::thread::sleep(Duration::from_millis(600)); // The stall itself.
    broker.signal("-CONT");
    let outcome = outcome(load);
    assert_eq!(number(&outcome, "/produce_latency_us/count"), 1250.0, "nothing that was due is left out");
    // 300 of 1250 requests were due in the stall. A closed loop would have had 64 slow ones at most, 5 in 100.
    assert!(number(&outcome, "/produce_latency_us/p90") > 200_000.0, "{outcome}");
    assert!(number(&outcome, "/produce_latency_us/max") > 550_000.0, "{outcome}");
    println!("FIGURE a stall of 600 ms, p90: {:.0} ms", number(&outcome, "/produce_latency_us/p90") / 1000.0);
}

#[test]
fn a_broker_that_burns_its_processor_looks_dear() {
    let Some(broker) = Broker::start("a_broker_that_burns_its_processor_looks_dear") else { return };
    let burner = Process(Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap());
    let load = |process: u32| {
        let words = format!("produce -n 1 -r 100 --warm-up-seconds 0 --seconds 1 --pid {process}");
        number(&broker.run(&words), "/broker/cpu_us_per_request")
    };
    // The burner in the broker's place: a whole processor for a hundred requests, or what neighbours leave of it.
    let (honest, burning) = (load(broker.process.0.id()), load(burner.0.id()));
    assert!(burning > 2_000.0 && burning > 2.0 * honest, "{burning} us a request against {honest}");
}
