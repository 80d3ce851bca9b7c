//! Every family of metrics that this broker exports: name, kind, labels, help. In one place, so that the page that
//! Prometheus scrapes and the reference page cannot differ.
//!
//! The writers beside it open a family by its name; one that does not stand here is a bug that the first scrape
//! of any test finds. Names are those of kafka_exporter and of the JMX exporter's common rules.

use Kind::{Counter, Gauge, Histogram};

/// Prometheus' kinds, as far as they are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    /// The word of the text format.
    pub fn name(self) -> &'static str {
        match self {
            Counter => "counter",
            Gauge => "gauge",
            Histogram => "histogram",
        }
    }
}

/// One family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

#[rustfmt::skip] // One family, one line.
pub const FAMILIES: &[Family] = &[
    Family { name: "kafka_network_requestmetrics_requests_total", kind: Counter, labels: &["request"], help: "Requests answered, by API." },
    Family { name: "kafka_network_requestmetrics_total_time_seconds", kind: Histogram, labels: &["request"], help: "From a complete request to its answer handed to the socket, by API; waiting included." },
    Family { name: "kafka_network_requestmetrics_errors_total", kind: Counter, labels: &["request", "error"], help: "Errors answered, by API and Kafka code." },
    Family { name: "kafka_network_socketserver_networkprocessoravgidle_percent", kind: Gauge, labels: &[], help: "Share of time (0 to 1) in which the threads that serve connections were idle, over the last 15 to 30 s." },
    Family { name: "kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent", kind: Gauge, labels: &[], help: "The same: the threads that serve connections handle requests too." },
    Family { name: "kafka_server_socketservermetrics_connection_count", kind: Gauge, labels: &[], help: "Open connections." },
    Family { name: "kafka_log_logflushstats_flush_time_seconds", kind: Histogram, labels: &[], help: "One round of flushes to disk." },
    Family { name: "kafka_server_socketservermetrics_connection_creation_total", kind: Counter, labels: &[], help: "Connections accepted." },
    Family { name: "kafka_network_refused_requests_total", kind: Counter, labels: &[], help: "Connections closed for a frame, header, API or body that cannot be served." },
    Family { name: "kafka_network_response_bytes_total", kind: Counter, labels: &[], help: "Bytes of answers." },
    Family { name: "kafka_network_sendfile_bytes_total", kind: Counter, labels: &[], help: "Bytes of answers sent by sendfile." },
    Family { name: "kafka_server_brokertopicmetrics_failedproducerequests_total", kind: Counter, labels: &[], help: "Partitions of produce requests answered with an error." },
    Family { name: "kafka_server_brokertopicmetrics_failedfetchrequests_total", kind: Counter, labels: &[], help: "Partitions of fetch requests answered with an error." },
    Family { name: "kafka_log_logflushstats_rounds_total", kind: Counter, labels: &[], help: "Rounds of flushes to disk." },
    Family { name: "kafka_server_brokertopicmetrics_totalproducerequests_total", kind: Counter, labels: &[], help: "Produce requests." },
    Family { name: "kafka_server_brokertopicmetrics_totalfetchrequests_total", kind: Counter, labels: &[], help: "Fetch requests." },
    Family { name: "logspine_scrub_bytes_total", kind: Counter, labels: &[], help: "Bytes that the scrubber has read and compared with their checksums." },
    Family { name: "logspine_scrub_passes_total", kind: Counter, labels: &[], help: "How often the scrubber has read everything." },
    Family { name: "logspine_scrub_pass_bytes", kind: Gauge, labels: &[], help: "Bytes read in the scrubber's pass that is under way; of the sum of kafka_log_log_size." },
    Family { name: "logspine_files_set_aside_total", kind: Counter, labels: &[], help: "Files that could not be read at a start and were moved out of the way, and tails that were cut; /status names them." },
    Family { name: "logspine_damaged_batch_offset", kind: Gauge, labels: &["topic", "partition", "file", "position"], help: "A batch that does not read back from the disk and is not served: the first offset that is refused. No series where nothing is damaged." },
    Family { name: "logspine_cold_reads_waiting", kind: Gauge, labels: &[], help: "Reads that wait for the disk." },
    Family { name: "logspine_replay_cache_bytes", kind: Gauge, labels: &[], help: "Bytes of the page cache that reads of old data hold, at most fetch.replay.cache.bytes." },
    Family { name: "logspine_build_info", kind: Gauge, labels: &["version"], help: "The version of this broker." },
    Family { name: "process_cpu_seconds_total", kind: Counter, labels: &[], help: "User and system time in seconds." },
    Family { name: "process_resident_memory_bytes", kind: Gauge, labels: &[], help: "Resident memory in bytes." },
    Family { name: "process_virtual_memory_bytes", kind: Gauge, labels: &[], help: "Virtual memory in bytes." },
    Family { name: "process_threads", kind: Gauge, labels: &[], help: "Threads." },
    Family { name: "process_start_time_seconds", kind: Gauge, labels: &[], help: "Start, in seconds since the Unix epoch." },
    Family { name: "process_open_fds", kind: Gauge, labels: &[], help: "Open file descriptors." },
    Family { name: "process_max_fds", kind: Gauge, labels: &[], help: "Most file descriptors that may be open." },
    Family { name: "kafka_topic_partition_current_offset", kind: Gauge, labels: &["topic", "partition"], help: "The high watermark." },
    Family { name: "kafka_topic_partition_oldest_offset", kind: Gauge, labels: &["topic", "partition"], help: "The log start offset." },
    Family { name: "kafka_log_log_size", kind: Gauge, labels: &["topic", "partition"], help: "Bytes of the partition's segments." },
    Family { name: "kafka_log_log_logendoffset", kind: Gauge, labels: &["topic", "partition"], help: "The log end offset, flushed or not." },
    Family { name: "kafka_topic_partition_leader", kind: Gauge, labels: &["topic", "partition"], help: "The leader's node id." },
    Family { name: "kafka_topic_partition_leader_is_preferred", kind: Gauge, labels: &["topic", "partition"], help: "1 if the first replica leads." },
    Family { name: "kafka_topic_partition_replicas", kind: Gauge, labels: &["topic", "partition"], help: "Replicas." },
    Family { name: "kafka_topic_partition_in_sync_replica", kind: Gauge, labels: &["topic", "partition"], help: "Replicas in sync." },
    Family { name: "kafka_topic_partition_under_replicated_partition", kind: Gauge, labels: &["topic", "partition"], help: "1 if a replica is not in sync." },
    Family { name: "kafka_cluster_partition_atminisr", kind: Gauge, labels: &["topic", "partition"], help: "1 if as few replicas are in sync as allowed." },
    Family { name: "kafka_cluster_partition_underminisr", kind: Gauge, labels: &["topic", "partition"], help: "1 if fewer replicas are in sync than allowed." },
    Family { name: "kafka_server_brokertopicmetrics_bytesin_total", kind: Counter, labels: &["topic"], help: "Bytes of record batches appended, by topic." },
    Family { name: "kafka_server_brokertopicmetrics_messagesin_total", kind: Counter, labels: &["topic"], help: "Records appended, by topic." },
    Family { name: "kafka_server_brokertopicmetrics_bytesout_total", kind: Counter, labels: &["topic"], help: "Bytes of record batches fetched, by topic." },
    Family { name: "kafka_topic_partitions", kind: Gauge, labels: &["topic"], help: "Partitions of the topic." },
    Family { name: "kafka_brokers", kind: Gauge, labels: &[], help: "Brokers in the cluster." },
    Family { name: "kafka_broker_info", kind: Gauge, labels: &["id", "address"], help: "Each broker and its address." },
    Family { name: "kafka_server_replicamanager_partitioncount", kind: Gauge, labels: &[], help: "Replicas on this broker." },
    Family { name: "kafka_server_replicamanager_leadercount", kind: Gauge, labels: &[], help: "Partitions led by this broker." },
    Family { name: "kafka_server_replicamanager_underreplicatedpartitions", kind: Gauge, labels: &[], help: "Led here, with a replica not in sync." },
    Family { name: "kafka_server_replicamanager_underminisrpartitioncount", kind: Gauge, labels: &[], help: "Led here, under the minimum in sync." },
    Family { name: "kafka_server_replicamanager_offlinereplicacount", kind: Gauge, labels: &[], help: "Replicas that refuse writes, and those whose log cannot be opened." },
    Family { name: "kafka_controller_kafkacontroller_activecontrollercount", kind: Gauge, labels: &[], help: "1 on the active controller." },
    Family { name: "kafka_controller_kafkacontroller_offlinepartitionscount", kind: Gauge, labels: &[], help: "Partitions without a leader." },
    Family { name: "kafka_log_logmanager_offlinelogdirectorycount", kind: Gauge, labels: &[], help: "Failed data directories." },
    Family { name: "kafka_log_logcleanermanager_max_dirty_percent", kind: Gauge, labels: &[], help: "Dirty share of the dirtiest compacted log." },
    Family { name: "kafka_log_logcleanermanager_time_since_last_run_ms", kind: Gauge, labels: &[], help: "Since the cleaner last looked for a log to compact." },
    Family { name: "kafka_log_logcleaner_runs_total", kind: Counter, labels: &[], help: "Logs compacted." },
    Family { name: "kafka_log_logcleaner_clean_time_seconds_total", kind: Counter, labels: &[], help: "Time spent on it." },
    Family { name: "kafka_log_logcleaner_max_clean_time_seconds", kind: Gauge, labels: &[], help: "The longest run since the start." },
    Family { name: "kafka_log_logcleaner_reclaimed_bytes_total", kind: Counter, labels: &[], help: "Bytes by which compaction made segments smaller." },
    Family { name: "kafka_log_logcleanermanager_uncleanable_partitions_count", kind: Gauge, labels: &[], help: "Partitions that are not compacted because a batch is damaged." },
    Family { name: "kafka_log_logcleanermanager_uncleanable_partition", kind: Gauge, labels: &["topic", "partition"], help: "1 for each of them." },
    Family { name: "logspine_disk_size_bytes", kind: Gauge, labels: &[], help: "Size of the data directory's file system." },
    Family { name: "logspine_disk_available_bytes", kind: Gauge, labels: &[], help: "Room on the data directory's file system." },
    Family { name: "logspine_disk_state", kind: Gauge, labels: &["state"], help: "1 for the state that the disk is in: writable, full, readOnly." },
    Family { name: "logspine_disk_refused_appends_total", kind: Counter, labels: &[], help: "Produced batches refused because the disk was full." },
    Family { name: "logspine_partitions_refusing_writes", kind: Gauge, labels: &[], help: "Partitions whose last append was refused by the disk, or that had a failed sync." },
    Family { name: "logspine_partitions_slow", kind: Gauge, labels: &[], help: "Partitions whose flush takes longer than 50 ms right now." },
    Family { name: "kafka_consumergroup_members", kind: Gauge, labels: &["consumergroup"], help: "Members of the group." },
    Family { name: "kafka_consumergroup_series_left_out", kind: Gauge, labels: &[], help: "Offsets beyond metrics.lag.series.max." },
    Family { name: "kafka_consumergroup_current_offset", kind: Gauge, labels: &["consumergroup", "topic", "partition"], help: "The committed offset." },
    Family { name: "kafka_consumergroup_lag", kind: Gauge, labels: &["consumergroup", "topic", "partition"], help: "Records behind the committed offset." },
    Family { name: "kafka_consumergroup_current_offset_sum", kind: Gauge, labels: &["consumergroup", "topic"], help: "Committed offsets of all partitions of the topic." },
    Family { name: "kafka_consumergroup_lag_sum", kind: Gauge, labels: &["consumergroup", "topic"], help: "Records behind the committed offsets of the topic." },
    #[cfg(feature = "count-allocations")]
    Family { name: "logspine_allocations_total", kind: Counter, labels: &[], help: "Allocations of the process." },
    #[cfg(feature = "count-allocations")]
    Family { name: "logspine_allocated_bytes_total", kind: Counter, labels: &[], help: "Bytes that allocations asked for." },
];

/// The family of this name.
pub fn family(name: &str) -> &'static Family {
    let found = FAMILIES.iter().find(|family| family.name == name);
    found.unwrap_or_else(|| panic!("the family {name} does not stand in the table"))
}

/// `docs/reference/metrics.md`.
pub fn reference_markdown() -> String {
    let mut page = HEAD.to_owned();
    for Family { name, kind, labels, help } in FAMILIES {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        page.push_str(&format!("| `{name}` | {} | {} | {help} |\n", kind.name(), labels.join(", ")));
    }
    page
}

const HEAD: &str = "\
<!-- Generated by `logspine reference metrics`; do not edit. -->
# Metrics

What a broker's admin listener answers at `/metrics`, in Prometheus' text format. Series per partition and per group
are read from their owners at the scrape: they cost nothing in between and vanish with what they describe.

| Name | Type | Labels | Meaning |
| --- | --- | --- | --- |
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_counters_end_in_total() {
        for (position, family) in FAMILIES.iter().enumerate() {
            assert!(
                FAMILIES[..position].iter().all(|other| other.name != family.name),
                "{} twice",
                family.name
            );
            assert_eq!(family.kind == Counter, family.name.ends_with("_total"), "{}", family.name);
            assert!(
                family.help.ends_with('.') && !family.help.contains(['|', '\n', '\\']),
                "{}",
                family.name
            );
        }
    }
}
