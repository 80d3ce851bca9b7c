//! Starting and stopping: how fast, how small, what stops a start and with which words.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod support;

use std::time::{Duration, Instant};

use support::{Broker, free_port, http_get, kcat_with_input, needs};

/// Generous beside the target of 400 ms: tests run on busy machines and without optimisation.
const START_WITHIN: Duration = Duration::from_secs(2);

#[test]
fn an_idle_broker_is_ready_at_once_and_small() {
    let mut broker = Broker::prepared(&[]);
    let begun = Instant::now();
    broker.start_again();
    let took = begun.elapsed();
    let resident = broker.resident_kib();
    println!("ready after {took:?}, {resident} KiB resident");
    assert!(took < START_WITHIN, "{took:?}");
    assert!(resident < 40 * 1024, "{resident} KiB");
}

#[test]
fn a_port_in_use_stops_the_start_before_data_is_touched() {
    let broker = Broker::prepared(&[]);
    let _other = std::net::TcpListener::bind(("127.0.0.1", broker.port)).unwrap();
    let (status, said) = broker.run_to_end(broker.command());
    assert!(!status.success());
    assert!(said.contains(&broker.port.to_string()) && said.contains("in use"), "{said}");
    assert!(!broker.data_dir().exists(), "nothing was written");
}

#[test]
fn a_second_broker_on_the_same_directory_does_not_start() {
    let mut broker = Broker::start(&[]);
    let mut second = broker.command();
    second.args(["--override", &format!("listeners=PLAINTEXT://127.0.0.1:{}", free_port())]);
    second.args(["--override", &format!("admin.listeners=http://127.0.0.1:{}", free_port())]);
    let (status, said) = broker.run_to_end(second);
    assert!(!status.success());
    assert!(said.contains("locked by another process"), "{said}");
    assert!(broker.stop().success());
}

#[test]
fn a_configuration_that_would_weaken_security_stops_the_start_without_its_secrets() {
    for (key, value) in [
        ("ssl.keystore.password", "hunter2"),
        ("sasl.enabled.mechanisms", "PLAIN"),
        ("authorizer.class.name", "org.example.Authorizer"),
        ("listeners", "SASL_SSL://127.0.0.1:9999"),
        ("listener.security.protocol.map", "PLAINTEXT:SSL"),
    ] {
        let broker = Broker::prepared(&[]);
        let mut command = broker.command();
        command.args(["--override", &format!("{key}={value}")]);
        let (status, said) = broker.run_to_end(command);
        assert_eq!(status.code(), Some(2), "{key}: {said}");
        assert!(said.contains(key.split('.').next().unwrap()), "{key}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
        assert!(!broker.data_dir().exists(), "{key}: nothing was written");
    }
}

#[test]
fn another_clusters_directory_stops_the_start_with_both_names() {
    let mut broker = Broker::start(&["cluster.id=the-first-cluster-id-x"]);
    assert!(broker.stop().success());
    let mut command = broker.command();
    command.args(["--override", "cluster.id=the-second-cluster-id"]);
    let (status, said) = broker.run_to_end(command);
    assert!(!status.success());
    assert!(said.contains("the-first-cluster-id-x") && said.contains("the-second-cluster-id"), "{said}");
}

#[test]
fn a_newer_directory_stops_the_start_with_the_file() {
    let mut broker = Broker::start(&[]);
    assert!(broker.stop().success());
    let meta = broker.data_dir().join("meta.properties");
    let text = std::fs::read_to_string(&meta).unwrap().replace("version=1", "version=2");
    std::fs::write(&meta, text).unwrap();
    let (status, said) = broker.run_to_end(broker.command());
    assert!(!status.success());
    assert!(said.contains("meta.properties") && said.contains('2'), "{said}");
}

#[test]
fn a_server_properties_file_opens_admin_only_where_it_says_so() {
    let mut broker = Broker::prepared(&[]);
    let file = broker.dir.path().join("server.properties");
    let with_admin = format!(
        "process.roles=broker,controller\nnode.id=4\nlisteners=PLAINTEXT://127.0.0.1:{},CONTROLLER://:{}\n\
         controller.listener.names=CONTROLLER\nlog.dirs={}\nadmin.listeners=http://127.0.0.1:{}\n\
         a.key.of.nobody=1\n",
        broker.port,
        free_port(),
        broker.data_dir().display(),
        broker.admin_port,
    );
    std::fs::write(&file, &with_admin).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_logspine"));
    command.args(["broker", "--config"]).arg(&file);
    broker.spawn(command);
    broker.wait_ready();
    let (_, status) = broker.http("/status").unwrap();
    assert!(status.contains("\"brokerId\":4"), "{status}");
    assert!(!status.contains("\"configHash\":\"\""), "{status}");
    assert!(broker.log().contains("a.key.of.nobody"), "an unknown key warns");
    assert!(broker.stop().success());
}

#[test]
fn a_stop_leaves_the_clean_marker_and_the_next_start_reads_no_log() {
    if !needs("a_stop_leaves_the_clean_marker_and_the_next_start_reads_no_log", "kcat") {
        return;
    }
    let mut broker = Broker::start(&[]);
    let lines = broker.dir.path().join("lines");
    std::fs::write(&lines, "one\ntwo\n").unwrap();
    kcat_with_input(&broker, &["-P", "-t", "t", "-p", "0"], Some(&lines));
    let begun = Instant::now();
    assert!(broker.stop().success());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(broker.data_dir().join(".kafka_cleanshutdown").exists());
    broker.start_again();
    assert!(!broker.data_dir().join(".kafka_cleanshutdown").exists(), "from here on a crash is unclean");
    assert_eq!(http_get(broker.admin_port, "/livez").unwrap().0, 200);
}
