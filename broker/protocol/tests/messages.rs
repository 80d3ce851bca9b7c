//! What a caller of the generated messages relies on, shown on messages that everybody knows.

use logspine_protocol::messages::fetch::FetchRequest;
use logspine_protocol::messages::join_group::JoinGroupRequest;
use logspine_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use logspine_protocol::messages::offset_commit::OffsetCommitRequest;
use logspine_protocol::records::group::{GroupKey, GroupValue, OffsetCommitKey, OffsetCommitValue};
use logspine_protocol::records::metadata::{MetadataRecord, TopicRecord};
use logspine_protocol::types::TopicId;
use logspine_protocol::wire::{DecodeError, EncodeError, IntoStatic, Message, Reader, Request, Writer};
use std::borrow::Cow;

fn encoded<'a, M: Message<'a>>(message: &M, version: i16) -> Result<Vec<u8>, EncodeError> {
    let mut w = Writer::new();
    message.encode(&mut w, version)?;
    Ok(w.into_bytes())
}

#[test]
fn defaults_are_kafkas() {
    assert_eq!(FetchRequest::default().max_bytes, 0x7fff_ffff);
    assert_eq!(JoinGroupRequest::default().rebalance_timeout_ms, -1);
    assert_eq!(JoinGroupRequest::default().group_instance_id, None);
    // Nullable, but without the default null: empty, as in Kafka.
    assert_eq!(MetadataRequest::default().topics, Some(vec![]));
    assert!(MetadataRequest::default().allow_auto_topic_creation);
}

#[test]
fn strings_are_borrowed_from_the_frame() {
    let request = JoinGroupRequest { group_id: "payments".into(), ..Default::default() };
    let bytes = encoded(&request, 9).unwrap();
    let decoded = JoinGroupRequest::decode(&mut Reader::new(&bytes), 9).unwrap();
    assert!(matches!(decoded.group_id, Cow::Borrowed("payments")));
    let kept: JoinGroupRequest<'static> = decoded.into_static();
    drop(bytes);
    assert_eq!(kept, request);
}

#[test]
fn a_version_that_does_not_exist_is_refused() {
    let error = DecodeError::UnsupportedVersion { message: "MetadataRequest", version: 14 };
    assert_eq!(MetadataRequest::decode(&mut Reader::new(&[]), 14), Err(error));
    let error = EncodeError::UnsupportedVersion { message: "MetadataRequest", version: -1 };
    assert_eq!(encoded(&MetadataRequest::default(), -1), Err(error));
}

#[test]
fn a_value_that_the_version_cannot_carry_is_refused_with_its_name() {
    let request = MetadataRequest { allow_auto_topic_creation: false, ..Default::default() };
    assert_eq!(
        encoded(&request, 3),
        Err(EncodeError::unsupported("MetadataRequest", "AllowAutoTopicCreation", 3))
    );
    assert!(encoded(&request, 4).is_ok());
}

#[test]
fn a_value_that_may_be_ignored_is_left_out() {
    let request = JoinGroupRequest { reason: Some("deploy".into()), ..Default::default() };
    assert_eq!(encoded(&request, 7), encoded(&JoinGroupRequest::default(), 7));
    assert_ne!(encoded(&request, 8), encoded(&JoinGroupRequest::default(), 8));
}

#[test]
fn null_is_refused_in_the_versions_that_do_not_allow_it() {
    let all = MetadataRequest { topics: None, ..Default::default() };
    assert_eq!(encoded(&all, 0), Err(EncodeError::null("MetadataRequest", "Topics", 0)));
    assert_eq!(encoded(&all, 1).map(|bytes| bytes[..4].to_vec()), Ok(vec![0xff; 4]));
    let refused = DecodeError::InvalidLength { what: "an array", length: -1 };
    assert_eq!(MetadataRequest::decode(&mut Reader::new(&[0xff; 4]), 0), Err(refused));
    let by_id = MetadataRequestTopic { topic_id: TopicId([1; 16]), name: None };
    let by_id = MetadataRequest { topics: Some(vec![by_id]), ..Default::default() };
    assert_eq!(encoded(&by_id, 9), Err(EncodeError::null("MetadataRequestTopic", "Name", 9)));
    assert!(encoded(&by_id, 12).is_ok());
}

#[test]
fn a_request_names_its_response() {
    fn response_of<'a, R: Request<'a>>(_: &R) -> &'static str {
        R::Response::NAME
    }
    assert_eq!(response_of(&OffsetCommitRequest::default()), "OffsetCommitResponse");
    assert_eq!(MetadataResponse::API_KEY, 3);
}

/// As `DumpLogSegments --offsets-decoder` reads them: type 1 and version 3 in front.
#[test]
fn a_committed_offset_is_a_key_and_a_value_with_prefixes() {
    let key = OffsetCommitKey { group: "g".into(), topic: "t".into(), partition: 2 };
    let bytes = GroupKey::from(key.clone()).encode().unwrap();
    assert_eq!(bytes, [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 2]);
    assert_eq!(GroupKey::decode(&bytes), Ok(GroupKey::OffsetCommit(key)));

    let value = OffsetCommitValue { offset: 7, commit_timestamp: 9, ..Default::default() };
    let bytes = GroupValue::from(value.clone()).encode(3).unwrap();
    assert_eq!(bytes[..10], [0, 3, 0, 0, 0, 0, 0, 0, 0, 7]);
    assert_eq!(GroupValue::decode(1, &bytes), Ok(GroupValue::OffsetCommit(value)));
    assert_eq!(GroupKey::decode(&[0, 99, 0]), Err(DecodeError::UnknownType { what: "GroupKey", value: 99 }));
    let trailing = [&bytes[..], &[0]].concat();
    assert!(matches!(GroupValue::decode(1, &trailing), Err(DecodeError::TrailingBytes { remaining: 1, .. })));
}

#[test]
fn a_metadata_record_stands_in_kafkas_frame() {
    let record = MetadataRecord::from(TopicRecord { name: "t".into(), topic_id: TopicId([3; 16]) });
    let bytes = record.encode(0).unwrap();
    assert_eq!(bytes[..5], [1, 2, 0, 2, b't'], "frame version 1, type 2, version 0, then the name");
    assert_eq!(MetadataRecord::decode(&bytes), Ok(record.clone()));
    assert_eq!((record.record_type(), record.name(), record.max_version()), (2, "TopicRecord", 0));
    let newer = [&[2], &bytes[1..]].concat();
    let refused = DecodeError::UnknownType { what: "metadata frame version", value: 2 };
    assert_eq!(MetadataRecord::decode(&newer), Err(refused));
}
