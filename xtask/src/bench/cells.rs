//! THE table of cells: what is measured, by which load, in which unit, against which aims.
//!
//! Invariants: a cell's load is the same words for both brokers; an aim is judged from the recorded runs alone. Called
//! by the benchmark, the report and the README.

/// One cell: a workload and its figure.
pub struct Cell {
    pub id: &'static str,
    pub title: &'static str,
    pub parameters: &'static str,
    pub kind: Kind,
    pub metric: Metric,
    pub variants: &'static [Variant],
    /// Probes of the machine, run beside each pair: subcommands of `kblast floor`.
    pub floors: &'static [&'static str],
    pub aims: &'static [Aim],
}

/// How a cell is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// kblast against two brokers that run all the time.
    Load,
    /// The same, with brokers of its own for each variant: what it leaves behind would disturb other cells.
    LoadApart,
    /// Stops, kills and starts.
    Restart,
    /// Reads of old data beside a tail, in a memory cgroup.
    Replay,
}

/// The figure of a cell.
pub struct Metric {
    pub name: &'static str,
    pub unit: &'static str,
    /// Where it is in the run's JSON.
    pub pointer: &'static str,
    pub is_better_when: Better,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Lower,
    Higher,
}

/// One set of parameters of a cell.
pub struct Variant {
    pub name: &'static str,
    /// Subcommand and options of kblast.
    pub load: &'static str,
    /// Bytes that are written before, for reads.
    pub fill: u64,
    /// Kafka cannot, or would take longer than the whole benchmark.
    pub without_kafka: bool,
}

/// What a figure should be.
pub enum Aim {
    /// So many times better than Kafka, in the named variant or in all.
    Times { least: f64, variant: Option<&'static str> },
    /// At most so many times the probe's value (at the same pointer for processor time).
    FloorAtMost { most: f64, probe: &'static str, floor_pointer: &'static str, variant: Option<&'static str> },
    /// At least this share of what the probe reached.
    FloorShare {
        least: f64,
        probe: &'static str,
        pointer: &'static str,
        floor_pointer: &'static str,
        scale: f64,
        variant: Option<&'static str>,
    },
    /// Ours in one variant is at most so many times ours in another.
    Growth { most: f64, from: &'static str, to: &'static str, pointer: &'static str },
    /// Ours, absolutely.
    AtMost { most: f64, pointer: &'static str, unit: &'static str, variant: Option<&'static str> },
}

const CPU_PER_GB: Metric = Metric {
    name: "broker CPU",
    unit: "CPU-s/GB",
    pointer: "/broker/cpu_s_per_gb",
    is_better_when: Better::Lower,
};
const CPU_PER_REQUEST: Metric = Metric {
    name: "broker CPU",
    unit: "us/request",
    pointer: "/broker/cpu_us_per_request",
    is_better_when: Better::Lower,
};
const DELIVERY_P50: &str = "/delivery_latency_us/p50";
const DELIVERY_P99: &str = "/delivery_latency_us/p99";
const FLOOR_CPU: &str = "/cpu_s_per_gb";

const fn variant(name: &'static str, load: &'static str) -> Variant {
    Variant { name, load, fill: 0, without_kafka: false }
}

pub const CELLS: &[Cell] = &[
    Cell {
        id: "W1",
        title: "produce, bulk",
        parameters: "acks=1, records of 1 KiB, batches of 64 KiB, 1 partition, 1 connection, 8 in flight",
        kind: Kind::Load,
        metric: CPU_PER_GB,
        variants: &[variant("", "produce -a 1 -s 1024 -B 65536 -d 8")],
        floors: &["ingest --request-bytes 65536", "ingest --request-bytes 65536 --append"],
        aims: &[
            Aim::Times { least: 3.0, variant: None },
            Aim::FloorAtMost {
                most: 1.5,
                probe: "ingest --request-bytes 65536",
                floor_pointer: FLOOR_CPU,
                variant: None,
            },
        ],
    },
    Cell {
        id: "W2",
        title: "produce, tiny records",
        parameters: "acks=1, records of 100 B, batches of 16 KiB, 6 partitions, 1 connection, 8 in flight",
        kind: Kind::Load,
        metric: CPU_PER_GB,
        variants: &[variant("", "produce -a 1 -s 100 -B 16384 -d 8 -p 6")],
        floors: &["ingest --request-bytes 16384", "ingest --request-bytes 16384 --append"],
        aims: &[
            Aim::Times { least: 5.0, variant: None },
            Aim::FloorAtMost {
                most: 1.6,
                probe: "ingest --request-bytes 16384",
                floor_pointer: FLOOR_CPU,
                variant: None,
            },
        ],
    },
    Cell {
        id: "W3",
        title: "produce, compressed by the client",
        parameters: "as W1, batches of 64 KiB compressed to about a quarter; per GB of compressed bytes",
        kind: Kind::Load,
        metric: CPU_PER_GB,
        variants: &[
            variant("lz4", "produce -a 1 -s 1024 -B 65536 -d 8 -z lz4"),
            variant("zstd", "produce -a 1 -s 1024 -B 65536 -d 8 -z zstd"),
        ],
        floors: &["ingest --request-bytes 16384"],
        aims: &[
            Aim::Times { least: 8.0, variant: Some("lz4") },
            Aim::Times { least: 8.0, variant: Some("zstd") },
        ],
    },
    Cell {
        id: "W4",
        title: "produce, unbatched",
        parameters: "acks=1, one record of 100 B per request, 16 connections, each waits for its answer",
        kind: Kind::Load,
        metric: CPU_PER_REQUEST,
        variants: &[variant("", "produce -a 1 -s 100 -n 1 -c 16 -d 1")],
        floors: &["rtt"],
        aims: &[Aim::Times { least: 3.0, variant: None }],
    },
    Cell {
        id: "W5",
        title: "fetch from the page cache, large",
        parameters: "2 GB cached, fetch of 1 MiB, 1 consumer, batches of 64 KiB",
        kind: Kind::Load,
        metric: CPU_PER_GB,
        variants: &[Variant {
            name: "",
            load: "fetch -m 1048576 -B 65536",
            fill: 2_000_000_000,
            without_kafka: false,
        }],
        floors: &["sendfile"],
        aims: &[
            Aim::Times { least: 3.0, variant: None },
            Aim::FloorAtMost { most: 1.25, probe: "sendfile", floor_pointer: FLOOR_CPU, variant: None },
            Aim::FloorShare {
                least: 0.9,
                probe: "sendfile",
                pointer: "/fetched/mb_per_s",
                floor_pointer: "/gb_per_s",
                scale: 1000.0,
                variant: None,
            },
        ],
    },
    Cell {
        id: "W6",
        title: "fetch from the page cache, small",
        parameters: "fetch.max.bytes 16 KiB, batches of 16 KiB, 64 partitions, 16 consumers",
        kind: Kind::Load,
        metric: CPU_PER_REQUEST,
        variants: &[Variant {
            name: "",
            load: "fetch -m 16384 -B 16384 -p 64 -c 16",
            fill: 1_000_000_000,
            without_kafka: false,
        }],
        floors: &["rtt"],
        aims: &[Aim::Times { least: 4.0, variant: None }],
    },
    Cell {
        id: "W7",
        title: "fan-out",
        parameters: "1 producer at 50 MB/s, tailing consumers of the same partition; per GB moved",
        kind: Kind::Load,
        metric: CPU_PER_GB,
        variants: &[
            variant("1 consumer", "fanout -c 1 -r 50"),
            variant("4 consumers", "fanout -c 4 -r 50"),
            variant("16 consumers", "fanout -c 16 -r 50"),
            variant("64 consumers", "fanout -c 64 -r 50"),
        ],
        floors: &["sendfile"],
        aims: &[
            Aim::Growth {
                most: 1.1,
                from: "4 consumers",
                to: "64 consumers",
                pointer: "/broker/cpu_s_per_gb",
            },
            Aim::Times { least: 3.0, variant: Some("64 consumers") },
        ],
    },
    Cell {
        id: "W8",
        title: "latency, idle",
        parameters: "one record of 1 KiB, acks=1, 100 a second, from due to delivered: median",
        kind: Kind::Load,
        metric: Metric {
            name: "latency p50",
            unit: "us",
            pointer: DELIVERY_P50,
            is_better_when: Better::Lower,
        },
        variants: &[variant("", "e2e -a 1 -s 1024 -n 1 -r 100")],
        floors: &["rtt", "idle"],
        aims: &[
            Aim::Times { least: 3.0, variant: None },
            Aim::FloorAtMost { most: 6.0, probe: "rtt", floor_pointer: "/p50_us", variant: None },
        ],
    },
    Cell {
        id: "W9",
        title: "latency under load",
        parameters: "records of 1 KiB, 50,000 a second in batches of 16 KiB, 6 partitions, from due to delivered: p99",
        kind: Kind::Load,
        metric: Metric {
            name: "latency p99",
            unit: "us",
            pointer: DELIVERY_P99,
            is_better_when: Better::Lower,
        },
        variants: &[
            variant("acks=1", "e2e -a 1 -s 1024 -B 16384 -p 6 -r 50000"),
            variant("acks=all", "e2e -a -1 -s 1024 -B 16384 -p 6 -r 50000"),
        ],
        floors: &["rtt"],
        aims: &[
            Aim::Times { least: 3.0, variant: Some("acks=1") },
            Aim::Times { least: 3.0, variant: Some("acks=all") },
        ],
    },
    Cell {
        id: "W10",
        title: "durable produce",
        parameters: "flush.messages=1, acks=all, 64 connections, batches of 16 KiB, each waits for its answer",
        kind: Kind::Load,
        metric: Metric {
            name: "batches",
            unit: "batches/s",
            pointer: "/produced/requests_per_s",
            is_better_when: Better::Higher,
        },
        variants: &[
            variant("1 partition", "produce -a -1 -B 16384 -c 64 -d 1 --config flush.messages=1"),
            variant("128 partitions", "produce -a -1 -B 16384 -c 64 -d 1 -p 128 --config flush.messages=1"),
        ],
        floors: &["commit --batches 64"],
        aims: &[
            Aim::Times { least: 10.0, variant: Some("1 partition") },
            Aim::Times { least: 10.0, variant: Some("128 partitions") },
            Aim::FloorShare {
                least: 0.7,
                probe: "commit --batches 64",
                pointer: "/produced/requests_per_s",
                floor_pointer: "/per_s",
                scale: 1.0,
                variant: Some("128 partitions"),
            },
        ],
    },
    Cell {
        id: "W12",
        title: "many partitions",
        parameters: "20 MB/s round-robin in batches of 64 KiB, 1 connection",
        kind: Kind::LoadApart,
        metric: CPU_PER_GB,
        variants: &[
            variant("10", "produce -r 19226 -p 10"),
            variant("1000", "produce -r 19226 -p 1000"),
            variant("10000", "produce -r 19226 -p 10000"),
            Variant { name: "100000", load: "produce -r 19226 -p 100000", fill: 0, without_kafka: true },
        ],
        floors: &[],
        aims: &[
            Aim::Growth { most: 1.3, from: "10", to: "10000", pointer: "/broker/cpu_s_per_gb" },
            Aim::AtMost { most: 5.0, pointer: "/topic_ready_s", unit: "s to make", variant: Some("10000") },
            Aim::AtMost {
                most: 300.0,
                pointer: "/topic_ready_s",
                unit: "s to make",
                variant: Some("100000"),
            },
        ],
    },
    Cell {
        id: "W13",
        title: "restart",
        parameters: "10,000 partitions, 2 GB: from exec to the first acknowledged record of a small topic, and of the large one, \
                     all of whose partitions must be ready",
        kind: Kind::Restart,
        metric: Metric { name: "start", unit: "s", pointer: "/start_s", is_better_when: Better::Lower },
        variants: &[
            variant("after a clean stop", ""),
            variant("after a clean stop, all partitions", ""),
            variant("after kill -9", ""),
            variant("after kill -9, all partitions", ""),
        ],
        floors: &[],
        aims: &[
            Aim::AtMost { most: 1.0, pointer: "/start_s", unit: "s", variant: Some("after a clean stop") },
            Aim::AtMost { most: 3.0, pointer: "/start_s", unit: "s", variant: Some("after kill -9") },
        ],
    },
    Cell {
        id: "W14",
        title: "idle connections",
        parameters: "idle ones beside 100 that produce one record of 1 KiB at 1000 a second in all; memory of each idle one",
        kind: Kind::LoadApart,
        metric: Metric {
            name: "memory",
            unit: "B/connection",
            pointer: "/idle/rss_bytes_each",
            is_better_when: Better::Lower,
        },
        variants: &[
            variant("1000 idle", "conns --idle 1000 -n 1"),
            variant("10000 idle", "conns --idle 10000 -n 1"),
        ],
        floors: &[],
        aims: &[
            Aim::AtMost {
                most: 16384.0,
                pointer: "/idle/rss_bytes_each",
                unit: "B",
                variant: Some("10000 idle"),
            },
            Aim::Growth {
                most: 1.1,
                from: "1000 idle",
                to: "10000 idle",
                pointer: "/produce_latency_us/p50",
            },
        ],
    },
    Cell {
        id: "W15",
        title: "replay of old data beside a tail",
        parameters: "memory cgroup of 2 GiB, backlog of 6 GB, 4 readers from the beginning, producer at 50 MB/s and a tailing \
                     consumer: p99 of the tail",
        kind: Kind::Replay,
        metric: Metric { name: "tail p99", unit: "us", pointer: DELIVERY_P99, is_better_when: Better::Lower },
        variants: &[variant("without readers", ""), variant("with 4 readers", "")],
        floors: &[],
        aims: &[Aim::Growth {
            most: 2.0,
            from: "without readers",
            to: "with 4 readers",
            pointer: DELIVERY_P99,
        }],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_aim_names_a_variant_and_a_probe_of_its_cell() {
        for cell in CELLS {
            let known = |name: &str| cell.variants.iter().any(|variant| variant.name == name);
            for aim in cell.aims {
                let (variants, probe) = match aim {
                    Aim::Times { variant, .. } | Aim::AtMost { variant, .. } => (vec![*variant], None),
                    Aim::FloorAtMost { variant, probe, .. } | Aim::FloorShare { variant, probe, .. } => {
                        (vec![*variant], Some(*probe))
                    }
                    Aim::Growth { from, to, .. } => (vec![Some(*from), Some(*to)], None),
                };
                assert!(variants.into_iter().flatten().all(known), "{}", cell.id);
                assert!(probe.is_none_or(|probe| cell.floors.contains(&probe)), "{}", cell.id);
            }
        }
    }
}
