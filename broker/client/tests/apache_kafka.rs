//! Promise: this client speaks to Apache Kafka 4.3.1 as to ours.
//!
//! One Kafka is started from the jars that `LOGSPINE_KAFKA_LIBS` names and keeps every promise of `promises/`,
//! each on its own topics and groups. One test, because a Kafka costs seconds of CPU to start.

mod promises;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use logspine_client::{Client, ClientConfig};
use promises::{admin, groups, records};

/// A Kafka process that ends with this value.
struct Kafka {
    child: Child,
    bootstrap: String,
}

impl Kafka {
    fn start(libs: &Path, dir: &Path) -> Self {
        let free =
            || TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let (port, controller) = (free(), free());
        let properties = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             controller.listener.names=CONTROLLER\nlog.dirs={}\noffsets.topic.replication.factor=1\n\
             offsets.topic.num.partitions=3\ngroup.initial.rebalance.delay.ms=0\nauto.create.topics.enable=false\n",
            dir.join("data").display()
        );
        let file = dir.join("server.properties");
        std::fs::write(&file, properties).expect("a writable folder");
        let format = ["format", "-t", "bG9nc3BpbmUtdGVzdC0xMQ", "-c"];
        let formatted =
            java(libs).arg("kafka.tools.StorageTool").args(format).arg(&file).output().expect("java runs");
        assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stderr));
        let log = std::fs::File::create(dir.join("kafka.log")).expect("a writable folder");
        let mut kafka = java(libs);
        kafka.arg("kafka.Kafka").arg(&file).stdin(Stdio::null());
        let child =
            kafka.stdout(log.try_clone().expect("a second handle")).stderr(log).spawn().expect("java runs");
        Self { child, bootstrap: format!("127.0.0.1:{port}") }
    }

    /// Waits until it answers.
    async fn client(&mut self) -> Client {
        let config = ClientConfig { client_id: "promises".into(), ..ClientConfig::new(&self.bootstrap) };
        let started = Instant::now();
        let client = Client::connect(config).await.expect("Kafka answers within a minute");
        while client.admin().describe_cluster().await.is_ok_and(|cluster| cluster.brokers.is_empty()) {
            assert!(started.elapsed() < Duration::from_secs(60), "no broker has registered");
        }
        println!("Kafka answered after {:.1} s", started.elapsed().as_secs_f32());
        client
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn java(libs: &Path) -> Command {
    let mut java = Command::new("java");
    java.args(["-Xmx512m", "-XX:TieredStopAtLevel=1", "-cp"]).arg(libs.join("*"));
    java
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apache_kafka_keeps_every_promise_with_this_client() {
    let Some(libs) = std::env::var_os("LOGSPINE_KAFKA_LIBS") else {
        let words =
            "SKIPPED apache_kafka_keeps_every_promise_with_this_client: LOGSPINE_KAFKA_LIBS names no jars";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{words}");
        return println!("{words}");
    };
    let dir = std::env::temp_dir().join(format!("logspine-client-kafka-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder for Kafka");
    let mut kafka = Kafka::start(Path::new(&libs), &dir);
    let client = kafka.client().await;

    macro_rules! keep {
        ($($promise:path),* $(,)?) => {$(
            let started = Instant::now();
            $promise(&client).await;
            println!("kept {} in {:.2} s", stringify!($promise), started.elapsed().as_secs_f32());
        )*};
    }
    keep!(
        records::every_codec_brings_back_what_was_written,
        records::keys_keep_their_partition_and_their_order,
        records::reading_begins_where_it_is_told,
        records::a_waiting_consumer_is_told_and_can_go_back,
        records::a_position_outside_the_log_is_reset_or_refused,
        records::weaker_acknowledgements_write_too,
        records::a_record_that_is_too_large_is_refused_alone,
        records::what_does_not_exist_is_named,
        admin::a_topic_lives_from_create_to_delete,
        admin::an_id_belongs_to_one_life_of_a_name,
        admin::partitions_are_added,
        admin::configs_are_set_unset_and_told_apart,
        admin::the_cluster_describes_itself,
        admin::offsets_are_told_by_place_and_time,
        admin::records_are_deleted_from_the_front,
        groups::a_group_goes_on_where_it_stopped,
        groups::three_members_share_and_take_over,
        groups::a_group_describes_itself,
        groups::bookmarks_are_moved_and_groups_deleted,
        groups::a_static_member_returns_to_what_it_had,
        groups::a_member_that_was_taken_out_joins_again,
    );
    drop(kafka);
    std::fs::remove_dir_all(&dir).expect("the folder is ours");
}
