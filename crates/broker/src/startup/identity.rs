//! The ids of the cluster and of this broker, and that the log directories are theirs.

use std::path::PathBuf;

use whimbrel_model::NodeId;
use whimbrel_storage::MetaProperties;

use super::StartError;
use crate::config::BrokerConfig;
use crate::coordination::{BrokerIdSettings, Coordination};

/// The ids of the cluster and of this broker, checked against every log directory and written where they are missing.
pub(super) async fn identify(
    config: &BrokerConfig,
    coordination: &Coordination,
) -> Result<(NodeId, String), StartError> {
    let cluster_id = coordination.cluster_id().await?;
    let mut stored: Option<(PathBuf, i32)> = None;
    let mut missing = Vec::new();
    for dir in &config.log.dirs {
        let Some(meta) = whimbrel_storage::read_meta_properties(dir)? else {
            missing.push(dir);
            continue;
        };
        if let Some(found) = meta.cluster_id.filter(|found| *found != cluster_id) {
            return Err(StartError::WrongCluster { path: dir.clone(), found, expected: cluster_id });
        }
        match (&stored, meta.broker_id) {
            (Some((first, first_id)), Some(id)) if *first_id != id => {
                let (first, second) = (first.clone(), dir.clone());
                return Err(StartError::MixedBrokers { first, first_id: *first_id, second, second_id: id });
            }
            (None, Some(id)) => stored = Some((dir.clone(), id)),
            _ => {}
        }
    }
    let node_id = coordination
        .broker_id(BrokerIdSettings {
            configured: config.node_id,
            stored: stored.map(|(_, id)| NodeId(id)),
            may_generate: config.node_id_generation,
            reserved_max: config.node_id_reserved_max,
        })
        .await?;
    for dir in missing {
        let meta =
            MetaProperties { cluster_id: Some(cluster_id.clone()), broker_id: Some(node_id.0), other: Vec::new() };
        whimbrel_storage::write_meta_properties(dir, &meta)?;
    }
    Ok((node_id, cluster_id))
}
