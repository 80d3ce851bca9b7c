//! Typed records to Kafka's bytes and back, through the generated schemas.
//!
//! Key: record type (i16), then the key's fields. Value: version (i16), then the value's fields; null removes.
//! Schemas: `OffsetCommitKey/Value` and `GroupMetadataKey/Value` of kafka-group-coordinator.

use std::borrow::Cow;

use logspine_protocol::records::group::group_metadata_value::MemberMetadata as MemberMetadataRecord;
use logspine_protocol::records::group::{
    group_metadata_key::GroupMetadataKey, group_metadata_value::GroupMetadataValue,
    legacy_offset_commit_key::LegacyOffsetCommitKey, offset_commit_key::OffsetCommitKey,
    offset_commit_value::OffsetCommitValue,
};
use logspine_protocol::records::{decode_value, encode_key, encode_value};
use logspine_protocol::wire::{DecodeError, EncodeError, Message, Reader};

use super::{GroupMetadata, GroupRecord, MemberMetadata, OffsetAndMetadata, OffsetKey};

/// Written for offsets that expire by the broker's retention.
const OFFSET_COMMIT_VALUE_VERSION: i16 = 4;
/// Written for offsets with an expiry of their own: the only version that has the field.
const OFFSET_COMMIT_VALUE_VERSION_WITH_EXPIRY: i16 = 1;
/// Kafka stays below the first flexible version so that older brokers can read it.
const GROUP_METADATA_VALUE_VERSION: i16 = 3;
/// Keys carry their version in their type.
const KEY_VERSION: i16 = 0;

/// A record of `__consumer_offsets` that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("a group record does not fit Kafka's format: {0}")]
    Encode(#[from] EncodeError),
    #[error("a group record cannot be read: {0}")]
    Decode(#[from] DecodeError),
}

pub(super) fn encode(record: &GroupRecord) -> Result<(Vec<u8>, Option<Vec<u8>>), RecordError> {
    match record {
        GroupRecord::Offset { key, value } => {
            let key = OffsetCommitKey {
                group: Cow::Borrowed(&key.group_id),
                topic: Cow::Borrowed(&key.topic),
                partition: key.partition,
            };
            let value = value.as_ref().map(encode_offset).transpose()?;
            Ok((encode_key(&key)?, value))
        }
        GroupRecord::Group { group_id, value } => {
            let key = GroupMetadataKey { group: Cow::Borrowed(group_id) };
            let value = value.as_ref().map(encode_group).transpose()?;
            Ok((encode_key(&key)?, value))
        }
    }
}

fn encode_offset(offset: &OffsetAndMetadata) -> Result<Vec<u8>, EncodeError> {
    let version = if offset.expire_timestamp_ms.is_some() {
        OFFSET_COMMIT_VALUE_VERSION_WITH_EXPIRY
    } else {
        OFFSET_COMMIT_VALUE_VERSION
    };
    let value = OffsetCommitValue {
        offset: offset.offset,
        leader_epoch: offset.leader_epoch,
        metadata: Cow::Borrowed(&offset.metadata),
        commit_timestamp: offset.commit_timestamp_ms,
        expire_timestamp: offset.expire_timestamp_ms.unwrap_or(-1),
        topic_id: offset.topic_id,
    };
    encode_value(&value, version)
}

fn encode_group(metadata: &GroupMetadata) -> Result<Vec<u8>, EncodeError> {
    let members = metadata.members.iter().map(|member| MemberMetadataRecord {
        member_id: Cow::Borrowed(&member.member_id),
        group_instance_id: member.group_instance_id.as_deref().map(Cow::Borrowed),
        client_id: Cow::Borrowed(&member.client_id),
        client_host: Cow::Borrowed(&member.client_host),
        rebalance_timeout: member.rebalance_timeout_ms,
        session_timeout: member.session_timeout_ms,
        subscription: Cow::Borrowed(&member.subscription),
        assignment: Cow::Borrowed(&member.assignment),
    });
    let value = GroupMetadataValue {
        protocol_type: Cow::Borrowed(&metadata.protocol_type),
        generation: metadata.generation,
        protocol: metadata.protocol.as_deref().map(Cow::Borrowed),
        leader: metadata.leader.as_deref().map(Cow::Borrowed),
        current_state_timestamp: metadata.current_state_timestamp_ms,
        members: members.collect(),
    };
    encode_value(&value, GROUP_METADATA_VALUE_VERSION)
}

pub(super) fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<GroupRecord>, RecordError> {
    let mut reader = Reader::new(key);
    match reader.i16()? {
        OffsetCommitKey::API_KEY => {
            let key = OffsetCommitKey::decode(&mut reader, KEY_VERSION)?;
            let key = OffsetKey::new(&key.group, &key.topic, key.partition);
            Ok(Some(GroupRecord::Offset { key, value: value.map(decode_offset).transpose()? }))
        }
        // Offsets were once keyed by another type, with the same fields and the same values.
        LegacyOffsetCommitKey::API_KEY => {
            let key = LegacyOffsetCommitKey::decode(&mut reader, KEY_VERSION)?;
            let key = OffsetKey::new(&key.group, &key.topic, key.partition);
            Ok(Some(GroupRecord::Offset { key, value: value.map(decode_offset).transpose()? }))
        }
        GroupMetadataKey::API_KEY => {
            let key = GroupMetadataKey::decode(&mut reader, KEY_VERSION)?;
            let value = value.map(decode_group).transpose()?;
            Ok(Some(GroupRecord::Group { group_id: key.group.into_owned(), value }))
        }
        _ => Ok(None),
    }
}

fn decode_offset(bytes: &[u8]) -> Result<OffsetAndMetadata, DecodeError> {
    let value: OffsetCommitValue<'_> = decode_value(bytes)?;
    Ok(OffsetAndMetadata {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata.into_owned(),
        commit_timestamp_ms: value.commit_timestamp,
        expire_timestamp_ms: Some(value.expire_timestamp).filter(|&timestamp_ms| timestamp_ms != -1),
        topic_id: value.topic_id,
    })
}

fn decode_group(bytes: &[u8]) -> Result<GroupMetadata, DecodeError> {
    let value: GroupMetadataValue<'_> = decode_value(bytes)?;
    let members = value.members.into_iter().map(|member| MemberMetadata {
        member_id: member.member_id.into_owned(),
        group_instance_id: member.group_instance_id.map(Cow::into_owned),
        client_id: member.client_id.into_owned(),
        client_host: member.client_host.into_owned(),
        rebalance_timeout_ms: member.rebalance_timeout,
        session_timeout_ms: member.session_timeout,
        subscription: member.subscription.into_owned(),
        assignment: member.assignment.into_owned(),
    });
    Ok(GroupMetadata {
        protocol_type: value.protocol_type.into_owned(),
        generation: value.generation,
        protocol: value.protocol.map(Cow::into_owned),
        leader: value.leader.map(Cow::into_owned),
        current_state_timestamp_ms: value.current_state_timestamp,
        members: members.collect(),
    })
}

#[cfg(test)]
mod tests {
    use logspine_protocol::types::TopicId;

    use super::*;

    fn offset(expire_timestamp_ms: Option<i64>, leader_epoch: i32, topic_id: TopicId) -> GroupRecord {
        let metadata = "m".to_owned();
        let value = OffsetAndMetadata {
            offset: 42,
            leader_epoch,
            metadata,
            commit_timestamp_ms: 7,
            expire_timestamp_ms,
            topic_id,
        };
        GroupRecord::Offset { key: OffsetKey::new("g", "orders", 3), value: Some(value) }
    }

    fn group() -> GroupRecord {
        let member = MemberMetadata {
            member_id: "a-1".into(),
            group_instance_id: Some("i".into()),
            client_id: "a".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: 60_000,
            session_timeout_ms: 10_000,
            subscription: vec![1, 2],
            assignment: vec![3],
        };
        let metadata = GroupMetadata {
            protocol_type: "consumer".into(),
            generation: 5,
            protocol: Some("range".into()),
            leader: Some("a-1".into()),
            current_state_timestamp_ms: 99,
            members: vec![member],
        };
        GroupRecord::group("g", Some(metadata))
    }

    #[test]
    fn every_kind_of_record_survives_the_way_to_disk_and_back() {
        let removals =
            [GroupRecord::offset_tombstone(OffsetKey::new("g", "t", 0)), GroupRecord::group("g", None)];
        let id = TopicId([7; 16]);
        let values = [offset(None, 4, id), offset(None, -1, TopicId::ZERO), group()];
        // Version 1 has no room for leader epoch and topic id.
        let with_expiry = [offset(Some(1_000), -1, TopicId::ZERO)];
        for record in removals.into_iter().chain(values).chain(with_expiry) {
            let (key, value) = record.encode().unwrap();
            assert_eq!(GroupRecord::decode(&key, value.as_deref()).unwrap(), Some(record));
        }
    }

    #[test]
    fn the_bytes_are_those_of_kafka_4_3_1() {
        let (key, value) = offset(None, 4, TopicId([7; 16])).encode().unwrap();
        assert_eq!(key, b"\0\x01\0\x01g\0\x06orders\0\0\0\x03");
        let mut expected = b"\0\x04\0\0\0\0\0\0\0\x2a\0\0\0\x04\x02m\0\0\0\0\0\0\0\x07\x01\0\x10".to_vec();
        expected.extend([7; 16]);
        assert_eq!(value.unwrap(), expected);
        let (key, value) = group().encode().unwrap();
        assert_eq!(key, b"\0\x02\0\x01g");
        assert_eq!(&value.unwrap()[..12], b"\0\x03\0\x08consumer");
        let (_, value) = offset(Some(1_000), -1, TopicId::ZERO).encode().unwrap();
        assert_eq!(&value.unwrap()[..2], b"\0\x01");
    }

    #[test]
    fn records_of_other_group_kinds_are_skipped() {
        assert_eq!(GroupRecord::decode(b"\0\x03whatever", None).unwrap(), None);
        assert!(GroupRecord::decode(b"\0", None).is_err());
    }
}
