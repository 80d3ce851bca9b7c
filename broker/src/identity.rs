//! Who a data directory says we are: `meta.properties`, written at the first start and compared at every other.
//!
//! An empty directory formats itself. A directory of another cluster or node stops the start: serving it could mix two
//! clusters' data. If the file is lost, or does not read back, it is written anew where everything that it says is
//! known from elsewhere: the cluster's id from the configuration, node and directory from the metadata log; else the
//! start stops (Kafka stops always). Called by `server.rs`.

use std::io::Read;

use logspine_cluster::metadata::CLUSTER_METADATA_TOPIC_NAME;
use logspine_protocol::types::{BrokerId, TopicId};
use logspine_storage::{LogDir, MetaProperties, StorageError, aside};
use thiserror::Error;

use crate::config::BrokerConfig;
use crate::kafka::import::target::UNFINISHED;
use crate::kafka::metadata::KafkaMetadata;
use crate::kafka::metadata_log::Tail;

/// Cluster, node and directory; fixed while the process lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub cluster_id: String,
    pub node_id: i32,
    pub directory_id: TopicId,
}

/// Why the directory is not ours.
#[derive(Debug, Error)]
pub enum IdentityError {
    #[error(
        "the data directory {directory} belongs to cluster {found}, and cluster.id asks for {wanted}; use the \
         directory of that cluster or an empty one"
    )]
    OtherCluster { directory: String, found: String, wanted: String },
    #[error(
        "the data directory {directory} belongs to node {found}, and node.id is {wanted}; set node.id={found} \
         or use another directory"
    )]
    OtherNode { directory: String, found: i32, wanted: i32 },
    #[error(
        "the data directory {directory} holds partitions, and {problem}, so nobody can say whose they are; {advice}"
    )]
    Unidentified { directory: String, problem: String, advice: String },
    #[error(
        "the data directory {directory} holds an import from Kafka that did not finish; run logspine import-kafka \
         again, or use another directory"
    )]
    UnfinishedImport { directory: String },
    #[error("cannot draw a random id: {0}")]
    Random(std::io::Error),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Reads the identity, or makes it.
pub fn establish(log_dir: &LogDir, config: &BrokerConfig) -> Result<Identity, IdentityError> {
    let directory = log_dir.path().display().to_string();
    if log_dir.path().join(UNFINISHED).exists() {
        return Err(IdentityError::UnfinishedImport { directory });
    }
    let meta = match log_dir.meta_properties() {
        Ok(Some(meta)) => meta,
        Ok(None) if log_dir.contents()?.partitions.is_empty() => return format(log_dir, config, directory),
        Ok(None) => {
            let meta = recall(log_dir, config, &directory, "there is no meta.properties")?;
            log_dir.write_meta_properties(&meta)?;
            meta
        }
        Err(StorageError::Unreadable { path, position, reason }) => {
            let problem = format!("meta.properties does not read back at byte {position} ({reason})");
            let meta = recall(log_dir, config, &directory, &problem)?;
            // A crash between the two finds no file, and recalls again.
            aside::move_aside(&**log_dir.disk(), &path, position, reason)?;
            log_dir.write_meta_properties(&meta)?;
            meta
        }
        Err(error) => return Err(error.into()),
    };
    if let Some(wanted) = config.cluster_id.clone().filter(|wanted| *wanted != meta.cluster_id) {
        return Err(IdentityError::OtherCluster { directory, found: meta.cluster_id, wanted });
    }
    if meta.node_id != config.node_id {
        return Err(IdentityError::OtherNode { directory, found: meta.node_id, wanted: config.node_id });
    }
    Ok(Identity { cluster_id: meta.cluster_id, node_id: meta.node_id, directory_id: meta.directory_id })
}

/// What `meta.properties` said, if it is known from elsewhere. The metadata log names the nodes that registered in it,
/// so the directory of another node is not taken for ours.
fn recall(
    log_dir: &LogDir,
    config: &BrokerConfig,
    directory: &str,
    problem: &str,
) -> Result<MetaProperties, IdentityError> {
    let refuse = |advice: String| IdentityError::Unidentified {
        directory: directory.to_owned(),
        problem: problem.to_owned(),
        advice,
    };
    let unknown = "set cluster.id to its cluster's id, or restore that file from a copy";
    let cluster_id = config.cluster_id.clone().ok_or_else(|| refuse(unknown.to_owned()))?;
    let metadata_dir = log_dir.partition_path(CLUSTER_METADATA_TOPIC_NAME, 0);
    let metadata = KafkaMetadata::read(&metadata_dir, Tail::MayBeTorn)
        .map_err(|error| refuse(format!("its metadata log does not tell either ({error})")))?;
    let node_id = config.node_id;
    let Some(directories) = metadata.brokers.get(&BrokerId(node_id)) else {
        return Err(refuse(format!(
            "node {node_id} never registered in its metadata log; use the directory of this node"
        )));
    };
    let directory_id = directories.first().copied().unwrap_or(TopicId::ZERO);
    let meta = MetaProperties { cluster_id, node_id, directory_id };
    tracing::warn!(
        directory,
        problem,
        cluster_id = meta.cluster_id,
        node_id,
        "meta.properties is written anew"
    );
    Ok(meta)
}

fn format(log_dir: &LogDir, config: &BrokerConfig, directory: String) -> Result<Identity, IdentityError> {
    let cluster_id = match &config.cluster_id {
        Some(given) => given.clone(),
        None => random_id().map_err(IdentityError::Random)?.to_string(),
    };
    let directory_id = random_id().map_err(IdentityError::Random)?;
    let meta = MetaProperties { cluster_id: cluster_id.clone(), node_id: config.node_id, directory_id };
    log_dir.write_meta_properties(&meta)?;
    tracing::info!(%directory, %cluster_id, node_id = config.node_id, "formatted an empty data directory");
    Ok(Identity { cluster_id, node_id: config.node_id, directory_id })
}

/// A random (version 4) UUID whose text does not start with a dash, as Kafka draws them.
pub fn random_id() -> std::io::Result<TopicId> {
    let mut random = std::fs::File::open("/dev/urandom")?;
    loop {
        let mut bytes = [0_u8; 16];
        random.read_exact(&mut bytes)?;
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let id = TopicId(bytes);
        if !id.to_string().starts_with('-') {
            return Ok(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{BrokerConfig, Properties, properties};
    use logspine_cluster::metadata::{Input, RegisterBroker, Request, Settings};
    use logspine_cluster::quorum::QuorumConfig;
    use logspine_protocol::types::Offset;
    use logspine_replica::metadata_log::MetadataLog;
    use logspine_replica::raft_log::OpenRaftLog;
    use logspine_storage::RealDisk;

    fn config(text: &str) -> BrokerConfig {
        let properties: Properties = properties::parse(text);
        BrokerConfig::from_properties(properties, false, "box").unwrap()
    }

    fn open(path: &std::path::Path) -> LogDir {
        LogDir::open(Arc::new(RealDisk), path).unwrap()
    }

    #[test]
    fn an_empty_directory_is_formatted_once_and_keeps_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let first = establish(&open(dir.path()), &config("node.id=3")).unwrap();
        let second = establish(&open(dir.path()), &config("node.id=3")).unwrap();
        assert_eq!(first, second);
        assert_eq!(first.cluster_id.len(), 22);
    }

    #[test]
    fn another_clusters_or_nodes_directory_is_refused_with_both_names() {
        let dir = tempfile::tempdir().unwrap();
        establish(&open(dir.path()), &config("cluster.id=first")).unwrap();
        let refused = establish(&open(dir.path()), &config("cluster.id=second")).unwrap_err().to_string();
        assert!(refused.contains("first") && refused.contains("second"), "{refused}");
        let refused = establish(&open(dir.path()), &config("node.id=9")).unwrap_err().to_string();
        assert!(refused.contains("node 0") && refused.contains("node.id is 9"), "{refused}");
    }

    #[test]
    fn partitions_without_meta_properties_are_nobodys() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("orders-0")).unwrap();
        let refused = establish(&open(dir.path()), &config("")).unwrap_err();
        assert!(matches!(refused, IdentityError::Unidentified { .. }));
        let refused = establish(&open(dir.path()), &config("cluster.id=c")).unwrap_err().to_string();
        assert!(refused.contains("its metadata log does not tell either"), "{refused}");
    }

    /// A directory in which this node registered, as the controller writes it.
    fn registered(path: &std::path::Path) -> Identity {
        let identity = establish(&open(path), &config("cluster.id=c\nnode.id=3")).unwrap();
        let mut log = MetadataLog::open(
            OpenRaftLog {
                disk: Arc::new(RealDisk),
                data_dir: path.to_path_buf(),
                recovery_point: Offset(0),
                quorum: QuorumConfig::single(3),
                now_ms: 0,
            },
            Settings::default(),
        )
        .unwrap();
        log.advance().unwrap();
        let register = RegisterBroker {
            broker_id: BrokerId(3),
            incarnation_id: TopicId([1; 16]),
            endpoints: Vec::new(),
            rack: None,
            log_dirs: vec![identity.directory_id],
        };
        log.submit(0, Input { token: 1, request: Request::RegisterBroker(register) });
        log.advance().unwrap();
        identity
    }

    #[test]
    fn an_unreadable_file_is_set_aside_and_written_anew_where_all_of_it_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let first = registered(dir.path());
        let meta = dir.path().join("meta.properties");
        for (number, rot) in ["", "\0\0\0\0", "#\nversion=1\nnode.id=3\n"].into_iter().enumerate() {
            std::fs::write(&meta, rot).unwrap();
            let refused = establish(&open(dir.path()), &config("node.id=3")).unwrap_err().to_string();
            assert!(refused.contains("set cluster.id") && !refused.contains('\n'), "{refused}");
            assert_eq!(std::fs::read_to_string(&meta).unwrap(), rot, "nothing is touched without the id");
            let again = establish(&open(dir.path()), &config("cluster.id=c\nnode.id=3")).unwrap();
            assert_eq!(again, first);
            let kept = dir.path().join(format!("meta.properties.unreadable-{number}"));
            assert_eq!(std::fs::read_to_string(kept).unwrap(), rot);
            assert_eq!(establish(&open(dir.path()), &config("node.id=3")).unwrap(), first);
        }
        std::fs::remove_file(&meta).unwrap();
        assert_eq!(establish(&open(dir.path()), &config("cluster.id=c\nnode.id=3")).unwrap(), first);
    }

    #[test]
    fn a_directory_in_which_another_node_registered_is_not_taken_for_ours() {
        let dir = tempfile::tempdir().unwrap();
        registered(dir.path());
        std::fs::write(dir.path().join("meta.properties"), "rot").unwrap();
        let refused = establish(&open(dir.path()), &config("cluster.id=c\nnode.id=4")).unwrap_err();
        assert!(refused.to_string().contains("node 4 never registered"), "{refused}");
        assert_eq!(std::fs::read_to_string(dir.path().join("meta.properties")).unwrap(), "rot");
    }

    #[test]
    fn a_file_of_another_version_is_never_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        registered(dir.path());
        std::fs::write(dir.path().join("meta.properties"), "version=2\ncluster.id=c\n").unwrap();
        let refused = establish(&open(dir.path()), &config("cluster.id=c\nnode.id=3")).unwrap_err();
        assert!(refused.to_string().contains("version 2 where 1 is expected"), "{refused}");
    }
}
