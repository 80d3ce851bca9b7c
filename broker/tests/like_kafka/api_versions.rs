//! Our answer to ApiVersions beside Apache Kafka's own: the same raw request, both answers, every row compared.
//!
//! Every API that a producer, a consumer, a classic group or an admin tool needs (P0) must have Kafka's range to
//! the number. Every other difference stands in the table below with its reason: an unexplained one fails, and
//! so does an explanation that nothing needs any more.

use std::collections::BTreeMap;

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};

use crate::support::raw::RawClient;

/// What produce, consume, classic groups and admin tools are made of.
const P0: &[ApiKey] = &[
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
    ApiKey::Metadata,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::FindCoordinator,
    ApiKey::JoinGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::SyncGroup,
    ApiKey::DescribeGroups,
    ApiKey::ListGroups,
    ApiKey::ApiVersions,
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
    ApiKey::DeleteRecords,
    ApiKey::InitProducerId,
    ApiKey::OffsetForLeaderEpoch,
    ApiKey::DescribeConfigs,
    ApiKey::AlterConfigs,
    ApiKey::CreatePartitions,
    ApiKey::DeleteGroups,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::OffsetDelete,
    ApiKey::DescribeCluster,
    ApiKey::DescribeTopicPartitions,
];

/// APIs that Kafka serves and we do not, and what a client does without them.
const NOT_SERVED: &[(&[ApiKey], &str)] = &[
    (
        &[
            ApiKey::AddPartitionsToTxn,
            ApiKey::AddOffsetsToTxn,
            ApiKey::EndTxn,
            ApiKey::WriteTxnMarkers,
            ApiKey::TxnOffsetCommit,
            ApiKey::DescribeProducers,
            ApiKey::DescribeTransactions,
            ApiKey::ListTransactions,
        ],
        "no transactions yet; a transactional client fails at its start with UnsupportedVersionException",
    ),
    (
        &[ApiKey::SaslHandshake, ApiKey::SaslAuthenticate],
        "PLAINTEXT listeners only; a configuration that asks for more is refused at the start",
    ),
    (
        &[ApiKey::DescribeAcls, ApiKey::CreateAcls, ApiKey::DeleteAcls],
        "no authorizer; Kafka without one answers SECURITY_DISABLED",
    ),
    (
        &[
            ApiKey::CreateDelegationToken,
            ApiKey::RenewDelegationToken,
            ApiKey::ExpireDelegationToken,
            ApiKey::DescribeDelegationToken,
            ApiKey::DescribeUserScramCredentials,
            ApiKey::AlterUserScramCredentials,
        ],
        "no authentication",
    ),
    (&[ApiKey::DescribeClientQuotas, ApiKey::AlterClientQuotas], "no quotas yet"),
    (
        &[ApiKey::ElectLeaders, ApiKey::AlterPartitionReassignments, ApiKey::AlterReplicaLogDirs],
        "one replica and one data directory: nothing can move",
    ),
    (
        &[
            ApiKey::DescribeQuorum,
            ApiKey::AddRaftVoter,
            ApiKey::RemoveRaftVoter,
            ApiKey::UpdateFeatures,
            ApiKey::UnregisterBroker,
        ],
        "one voter, whose quorum is not managed from outside",
    ),
    (
        &[ApiKey::ConsumerGroupHeartbeat, ApiKey::ConsumerGroupDescribe],
        "classic groups only; a client falls back unless group.protocol=consumer is set",
    ),
    (
        &[
            ApiKey::ShareGroupHeartbeat,
            ApiKey::ShareGroupDescribe,
            ApiKey::ShareFetch,
            ApiKey::ShareAcknowledge,
            ApiKey::DescribeShareGroupOffsets,
            ApiKey::AlterShareGroupOffsets,
            ApiKey::DeleteShareGroupOffsets,
            ApiKey::InitializeShareGroupState,
            ApiKey::ReadShareGroupState,
            ApiKey::WriteShareGroupState,
            ApiKey::DeleteShareGroupState,
            ApiKey::ReadShareGroupStateSummary,
        ],
        "no share groups",
    ),
    (&[ApiKey::StreamsGroupHeartbeat, ApiKey::StreamsGroupDescribe], "Streams uses classic groups here"),
    (&[ApiKey::ListConfigResources], "no client metrics subscriptions and no group configs to list"),
];

/// APIs of both whose ranges differ, and why.
const OTHER_RANGE: &[(ApiKey, &str)] = &[];

type Ranges = BTreeMap<i16, (i16, i16)>;

fn ask(address: &str) -> Ranges {
    let request = ApiVersionsRequest {
        client_software_name: "logspine-test".into(),
        client_software_version: "1".into(),
    };
    let answer: ApiVersionsResponse<'_> = RawClient::connect(address).call(&request, ApiKey::ApiVersions, 4);
    assert_eq!(answer.error_code, 0);
    answer.api_keys.iter().map(|row| (row.api_key, (row.min_version, row.max_version))).collect()
}

fn name(key: i16) -> String {
    ApiKey::from_i16(key).map_or_else(|| format!("key {key}"), |key| key.name().to_owned())
}

/// Every row that differs, as a sentence; explained ones apart from the others.
fn compare(kafka: &Ranges, ours: &Ranges) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut unused: Vec<i16> =
        NOT_SERVED.iter().flat_map(|(keys, _)| keys.iter()).map(|key| key.key()).collect();
    for (&key, range) in kafka {
        let explained = unused.iter().position(|&other| other == key).map(|at| unused.swap_remove(at));
        match ours.get(&key) {
            Some(own) if own == range && explained.is_none() => {}
            Some(own) if own == range => wrong.push(format!("{} is served and explained away", name(key))),
            Some(own) if OTHER_RANGE.iter().any(|(other, _)| other.key() == key) => {
                assert!(P0.iter().all(|p0| p0.key() != key), "{}: {own:?}, a P0 API", name(key));
            }
            Some(own) => wrong.push(format!("{}: Kafka {range:?}, we {own:?}", name(key))),
            None if explained.is_some() => {}
            None => wrong.push(format!("{} {range:?} is not served, and nothing says why", name(key))),
        }
    }
    wrong.extend(
        ours.keys().filter(|key| !kafka.contains_key(key)).map(|&key| format!("{} is ours only", name(key))),
    );
    wrong.extend(unused.into_iter().map(|key| format!("{}: Kafka does not serve it either", name(key))));
    wrong.extend(
        P0.iter()
            .filter(|key| kafka.get(&key.key()) != ours.get(&key.key()))
            .map(|key| format!("P0: {}", key.name())),
    );
    wrong
}

pub fn every_p0_api_has_kafkas_range_and_every_other_difference_a_reason(kafka: &str, broker: &str) {
    let (theirs, ours) = (ask(kafka), ask(broker));
    println!(
        "FIGURE ApiVersions: Kafka serves {} APIs, we {}, {} of them P0",
        theirs.len(),
        ours.len(),
        P0.len()
    );
    let wrong = compare(&theirs, &ours);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // The judge must see a version that we do not have.
    let mut spoiled = ours.clone();
    spoiled.get_mut(&ApiKey::Fetch.key()).unwrap().1 -= 1;
    assert_eq!(compare(&theirs, &spoiled), ["Fetch: Kafka (4, 18), we (4, 17)", "P0: Fetch"]);
    spoiled.remove(&ApiKey::Heartbeat.key());
    assert!(compare(&theirs, &spoiled).iter().any(|line| line.starts_with("Heartbeat (0, 4) is not served")));
}
