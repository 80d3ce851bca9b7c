//! Who a data directory says we are: `meta.properties`, written at the first start and compared at every other.
//!
//! An empty directory formats itself. A directory of another cluster or node, or one that holds partitions and
//! no `meta.properties`, stops the start: serving it could mix two clusters' data. Called by `server.rs`.

use std::io::Read;

use logspine_protocol::types::TopicId;
use logspine_storage::{LogDir, MetaProperties, StorageError};
use thiserror::Error;

use crate::config::BrokerConfig;
use crate::kafka::import::target::UNFINISHED;

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
        "the data directory {directory} holds partitions and no meta.properties, so nobody can say whose they \
         are; restore that file or use another directory"
    )]
    Unidentified { directory: String },
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
    let Some(meta) = log_dir.meta_properties()? else {
        return format(log_dir, config, directory);
    };
    if let Some(wanted) = config.cluster_id.clone().filter(|wanted| *wanted != meta.cluster_id) {
        return Err(IdentityError::OtherCluster { directory, found: meta.cluster_id, wanted });
    }
    if meta.node_id != config.node_id {
        return Err(IdentityError::OtherNode { directory, found: meta.node_id, wanted: config.node_id });
    }
    Ok(Identity { cluster_id: meta.cluster_id, node_id: meta.node_id, directory_id: meta.directory_id })
}

fn format(log_dir: &LogDir, config: &BrokerConfig, directory: String) -> Result<Identity, IdentityError> {
    if !log_dir.contents()?.partitions.is_empty() {
        return Err(IdentityError::Unidentified { directory });
    }
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
    }
}
