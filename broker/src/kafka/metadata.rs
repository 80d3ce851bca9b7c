//! What the records of a Kafka cluster's metadata log add up to: the image that we serve, and what we leave out.
//!
//! Records that this version has a meaning for go through `MetadataRecord` and `MetadataImage::replay`, as ours
//! do. The others are counted by what is in force at the end, so that the report can name what was not taken. A
//! metadata transaction (KIP-866) counts once it has ended. Kafka: `MetadataDelta`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use logspine_cluster::metadata::{
    ConfigResource, MetadataImage, MetadataRecord, RecordCodecError, ResourceType, configs,
};
use logspine_protocol::records::metadata as schema;
use logspine_protocol::types::{BrokerId, Offset, TopicId};

use super::error::{KafkaError, plural};
use super::metadata_log::{self, LogEnd, Tail};

const METADATA_VERSION: &str = "metadata.version";
/// 4.3-IV0.
const METADATA_VERSION_MAX: i16 = 30;

/// The metadata of a Kafka cluster as one node has it.
#[derive(Debug, Default)]
pub struct KafkaMetadata {
    pub image: MetadataImage,
    /// By broker: its log directories, as long as it is registered.
    pub brokers: BTreeMap<BrokerId, Vec<TopicId>>,
    pub controllers: BTreeSet<i32>,
    pub log_end: LogEnd,
    left_out: LeftOut,
    /// Records of a metadata transaction that has not ended.
    transaction: Option<Vec<(Offset, Vec<u8>)>>,
}

/// What is in force at the end and has no place here.
#[derive(Debug, Default)]
struct LeftOut {
    acls: BTreeSet<TopicId>,
    /// Entity and key.
    quotas: BTreeSet<String>,
    /// User and mechanism.
    scram_credentials: BTreeSet<(String, i8)>,
    tokens: BTreeSet<String>,
    /// Settings of groups and of clients' metrics: kind, resource, name.
    configs: BTreeSet<(&'static str, String, String)>,
}

impl KafkaMetadata {
    /// Reads `__cluster_metadata-0`.
    pub fn read(dir: &Path, tail: Tail) -> Result<KafkaMetadata, KafkaError> {
        let mut metadata = KafkaMetadata::default();
        metadata.log_end = metadata_log::read(dir, tail, |offset, record| metadata.take(offset, record))?;
        match metadata.image.features().get(METADATA_VERSION) {
            Some(&level) if level > METADATA_VERSION_MAX => {
                Err(KafkaError::MetadataVersion { level, max: METADATA_VERSION_MAX })
            }
            _ => Ok(metadata),
        }
    }

    fn take(&mut self, offset: Offset, bytes: &[u8]) -> Result<(), KafkaError> {
        let foreign = |reason: String| KafkaError::MetadataForeign { offset: offset.0, reason };
        let record = schema::MetadataRecord::decode(bytes).map_err(|error| foreign(error.to_string()))?;
        match record {
            schema::MetadataRecord::BeginTransaction(_) => self.transaction = Some(Vec::new()),
            schema::MetadataRecord::AbortTransaction(_) => self.transaction = None,
            schema::MetadataRecord::EndTransaction(_) => {
                for (offset, bytes) in self.transaction.take().unwrap_or_default() {
                    self.take(offset, &bytes)?;
                }
            }
            _ if self.transaction.is_some() => {
                self.transaction.get_or_insert_default().push((offset, bytes.to_vec()));
            }
            record => match MetadataRecord::decode(bytes) {
                Ok(ours) => self.replay(&ours),
                Err(RecordCodecError::Decode(error)) => return Err(foreign(error.to_string())),
                Err(_) => self.leave_out(record),
            },
        }
        Ok(())
    }

    fn replay(&mut self, record: &MetadataRecord) {
        if let MetadataRecord::RegisterBroker(broker) = record {
            self.brokers.insert(broker.id, broker.log_dirs.clone());
        }
        self.image.replay(record);
    }

    fn leave_out(&mut self, record: schema::MetadataRecord<'_>) {
        use schema::MetadataRecord as Record;
        let left_out = &mut self.left_out;
        match record {
            Record::UnregisterBroker(r) => drop(self.brokers.remove(&BrokerId(r.broker_id))),
            Record::BrokerRegistrationChange(r) if !r.log_dirs.is_empty() => {
                self.brokers.insert(BrokerId(r.broker_id), r.log_dirs);
            }
            Record::RegisterController(r) => drop(self.controllers.insert(r.controller_id)),
            Record::AccessControlEntry(r) => drop(left_out.acls.insert(r.id)),
            Record::RemoveAccessControlEntry(r) => drop(left_out.acls.remove(&r.id)),
            Record::ClientQuota(r) => {
                let quota = format!("{:?} {}", r.entity, r.key);
                if r.remove {
                    left_out.quotas.remove(&quota)
                } else {
                    left_out.quotas.insert(quota)
                };
            }
            Record::UserScramCredential(r) => {
                left_out.scram_credentials.insert((r.name.into_owned(), r.mechanism));
            }
            Record::RemoveUserScramCredential(r) => {
                left_out.scram_credentials.remove(&(r.name.into_owned(), r.mechanism));
            }
            Record::DelegationToken(r) => drop(left_out.tokens.insert(r.token_id.into_owned())),
            Record::RemoveDelegationToken(r) => drop(left_out.tokens.remove(r.token_id.as_ref())),
            Record::Config(r) => {
                let kind = match r.resource_type {
                    16 => "client metrics",
                    32 => "group",
                    _ => "unknown",
                };
                let config = (kind, r.resource_name.into_owned(), r.name.into_owned());
                if r.value.is_some() {
                    left_out.configs.insert(config)
                } else {
                    left_out.configs.remove(&config)
                };
            }
            // Who is fenced, and which replicas may lead: decided anew by whoever serves the partitions.
            _ => {}
        }
    }

    /// One sentence for each kind of thing that has no place here.
    pub fn left_out(&self) -> Vec<String> {
        let LeftOut { acls, quotas, scram_credentials, tokens, configs } = &self.left_out;
        let counted = [
            (acls.len(), "ACL", "every client may do everything here"),
            (quotas.len(), "client quota", "clients are not throttled here"),
            (scram_credentials.len(), "SCRAM credential", "clients do not log in here"),
            (tokens.len(), "delegation token", "clients do not log in here"),
        ];
        let mut sentences: Vec<String> = counted
            .into_iter()
            .filter(|(count, ..)| *count > 0)
            .map(|(count, noun, meaning)| format!("{}: {meaning}", plural(count, noun)))
            .collect();
        let setting = |(kind, resource, name): &(&str, String, String)| {
            format!("setting {name} of {kind} {resource}: there is nothing of this kind here")
        };
        sentences.extend(configs.iter().map(setting));
        sentences
    }

    /// The settings that we act on, or that are safe to keep; and a sentence for each of the others.
    pub fn configs(&self, node: BrokerId) -> (Vec<MetadataRecord>, Vec<String>) {
        let (mut taken, mut left_out) = (Vec::new(), Vec::new());
        for (resource, set) in self.image.configured() {
            let of_other_broker = resource.kind == ResourceType::Broker
                && *resource != ConfigResource::broker(node)
                && *resource != ConfigResource::cluster();
            if of_other_broker {
                left_out.push(format!("settings of broker {}: it is not part of this node", resource.name));
                continue;
            }
            for (name, value) in set {
                let verdict = match resource.kind {
                    ResourceType::Topic => configs::validate_topic_change(name, value),
                    ResourceType::Broker => configs::validate_broker_change(name, value),
                };
                match verdict {
                    Ok(()) => taken.push(MetadataRecord::Config {
                        resource: resource.clone(),
                        name: name.clone(),
                        value: Some(value.clone()),
                    }),
                    Err(reason) => left_out.push(format!("setting {}: {reason}", place(resource, name))),
                }
            }
        }
        (taken, left_out)
    }
}

fn place(resource: &ConfigResource, name: &str) -> String {
    match (resource.kind, resource.name.as_str()) {
        (ResourceType::Topic, topic) => format!("{name} of topic {topic}"),
        (ResourceType::Broker, "") => format!("{name} of all brokers"),
        (ResourceType::Broker, broker) => format!("{name} of broker {broker}"),
    }
}
