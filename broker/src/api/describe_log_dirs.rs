//! DescribeLogDirs, v1 to v5: the data directory, the partitions in it and their sizes. v3 brought a code for the
//! whole answer, v4 the file system's room, v5 cordoned directories.

use std::collections::BTreeMap;
use std::sync::Arc;

use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeLogDirsResult,
    DescribeLogDirsTopic,
};

use super::RequestContext;

pub async fn handle(
    context: &RequestContext,
    request: DescribeLogDirsRequest<'_>,
) -> DescribeLogDirsResponse<'static> {
    let asked = asked(&request);
    let registry = Arc::clone(&context.broker.partitions);
    // On the blocking pool: the file system is asked for its room.
    let described = tokio::task::spawn_blocking(move || {
        let mut topics: BTreeMap<String, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
        for partition in registry.all() {
            if asked.as_ref().is_none_or(|asked| is_asked(asked, &partition.topic, partition.index)) {
                topics.entry(partition.topic.to_string()).or_default().push(DescribeLogDirsPartition {
                    partition_index: partition.index,
                    partition_size: i64::try_from(partition.view().size_bytes()).unwrap_or(i64::MAX),
                    offset_lag: 0,
                    is_future_key: false,
                });
            }
        }
        result(registry.log_dir(), topics)
    });
    let result = match described.await {
        Ok(result) => result,
        Err(_) => DescribeLogDirsResult {
            error_code: ErrorCode::UnknownServerError.code(),
            ..DescribeLogDirsResult::default()
        },
    };
    DescribeLogDirsResponse { results: vec![result], ..DescribeLogDirsResponse::default() }
}

type Asked = BTreeMap<String, Vec<i32>>;

/// `None` asks for all.
fn asked(request: &DescribeLogDirsRequest<'_>) -> Option<Asked> {
    let topics = request.topics.as_ref()?;
    let mut asked = Asked::new();
    for topic in topics {
        asked.entry(topic.topic.to_string()).or_default().extend(&topic.partitions);
    }
    Some(asked)
}

fn is_asked(asked: &Asked, topic: &str, index: i32) -> bool {
    asked.get(topic).is_some_and(|indexes| indexes.contains(&index))
}

fn result(
    log_dir: &logspine_storage::LogDir,
    topics: BTreeMap<String, Vec<DescribeLogDirsPartition>>,
) -> DescribeLogDirsResult<'static> {
    let path = std::path::absolute(log_dir.path()).unwrap_or_else(|_| log_dir.path().to_path_buf());
    let topics = topics.into_iter().map(|(name, mut partitions)| {
        partitions.sort_by_key(|partition| partition.partition_index);
        DescribeLogDirsTopic { name: name.into(), partitions }
    });
    // -1 = unknown, Kafka's own default.
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(-1);
    let (total_bytes, usable_bytes) = match log_dir.space() {
        Ok(space) => (bytes(space.total_bytes), bytes(space.available_bytes)),
        Err(_) => (-1, -1),
    };
    DescribeLogDirsResult {
        error_code: ErrorCode::None.code(),
        log_dir: path.display().to_string().into(),
        topics: topics.collect(),
        total_bytes,
        usable_bytes,
        ..DescribeLogDirsResult::default()
    }
}

#[cfg(test)]
mod tests {
    use logspine_protocol::messages::describe_log_dirs::DescribableLogDirTopic;

    use super::*;

    #[test]
    fn null_asks_for_all_and_a_list_for_what_it_names() {
        assert_eq!(asked(&DescribeLogDirsRequest { topics: None }), None);
        let topic =
            |name: &'static str, partitions| DescribableLogDirTopic { topic: name.into(), partitions };
        let request = DescribeLogDirsRequest { topics: Some(vec![topic("a", vec![0]), topic("a", vec![2])]) };
        let asked = asked(&request).unwrap();
        assert!(is_asked(&asked, "a", 0) && is_asked(&asked, "a", 2));
        assert!(!is_asked(&asked, "a", 1) && !is_asked(&asked, "b", 0));
    }
}
