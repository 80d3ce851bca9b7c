//! The cluster as a whole: its id, its controller, its brokers.
//!
//! DescribeCluster (KIP-700), which alone tells fenced brokers apart (KIP-1073); a broker that does not serve
//! it is asked by Metadata, as Kafka's own admin client does.

use std::collections::BTreeMap;

use logspine_protocol::messages::describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
use logspine_protocol::types::BrokerId;

use super::Admin;
use crate::error::ClientError;
use crate::metadata::BrokerEndpoint;

/// The cluster's identity and members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDescription {
    /// As clients and metrics see it; 22 characters where Kafka chose it.
    pub cluster_id: String,
    /// Who answers changes of metadata.
    pub controller: Option<BrokerId>,
    /// In order of id.
    pub brokers: Vec<BrokerDescription>,
}

/// One broker of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerDescription {
    /// Its id and where it listens.
    pub endpoint: BrokerEndpoint,
    /// Registered, but not allowed to lead or to serve.
    pub fenced: bool,
}

impl Admin {
    /// Asks any broker about the cluster.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, ClientError> {
        self.client.retrying(|| self.describe_cluster_once()).await
    }

    async fn describe_cluster_once(&self) -> Result<ClusterDescription, ClientError> {
        let connection = self.client.any_connection().await?;
        let Ok(version) = connection.version_of::<DescribeClusterRequest>(i16::MAX) else {
            return Ok(self.cluster_from_metadata());
        };
        let request = DescribeClusterRequest { include_fenced_brokers: version >= 2, ..Default::default() };
        let reply = connection.call_at(&request, version, self.client.request_timeout()).await?;
        let response = reply.decode::<DescribeClusterResponse<'_>>()?;
        reply.check(response.error_code, "cluster", response.error_message.as_deref())?;
        let brokers = response.brokers.iter().filter_map(|broker| {
            let endpoint = BrokerEndpoint {
                id: BrokerId(broker.broker_id),
                host: broker.host.clone().into_owned(),
                port: u16::try_from(broker.port).ok()?,
                rack: broker.rack.clone().map(|rack| rack.into_owned()),
            };
            Some((endpoint.id, BrokerDescription { endpoint, fenced: broker.is_fenced }))
        });
        let brokers: BTreeMap<_, _> = brokers.collect();
        Ok(ClusterDescription {
            cluster_id: response.cluster_id.clone().into_owned(),
            controller: (response.controller_id >= 0).then_some(BrokerId(response.controller_id)),
            brokers: brokers.into_values().collect(),
        })
    }

    /// What the last Metadata answer said; `Client::connect` has asked for one.
    fn cluster_from_metadata(&self) -> ClusterDescription {
        let view = self.client.view();
        let describe =
            |endpoint: &BrokerEndpoint| BrokerDescription { endpoint: endpoint.clone(), fenced: false };
        ClusterDescription {
            cluster_id: view.cluster_id.clone().unwrap_or_default(),
            controller: view.controller,
            brokers: view.brokers.values().map(describe).collect(),
        }
    }
}
