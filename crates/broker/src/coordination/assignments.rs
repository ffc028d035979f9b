//! A controller's changes of where replicas are: the assignments in topics' nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use whimbrel_model::{TopicPartition, Uuid};
use whimbrel_state::controller::{PartitionAssignment, Written};
use zookeeper_client::Error;

use super::codec::TopicNode;
use super::controller::{FencedWriter, Outcome};
use super::error::CoordinationError;
use super::paths;

/// New assignments of partitions of one topic, which is to have this id.
type OfTopic = (Uuid, Vec<PartitionAssignment>);

impl FencedWriter {
    /// Replaces the assignments of these partitions and leaves those of all others as they are.
    pub(super) async fn set_assignments(
        &self,
        assignments: BTreeMap<Arc<str>, OfTopic>,
        written: &mut Vec<Written>,
    ) -> Result<(), CoordinationError> {
        for (topic, (id, changed)) in assignments {
            let is_done = self.set_assignments_of(&topic, id, &changed).await?;
            written.extend(changed.into_iter().map(|assignment| {
                let partition = TopicPartition { topic: Arc::clone(&topic), partition: assignment.index };
                if is_done {
                    Written::Assignment { partition, assignment }
                } else {
                    Written::AssignmentLost { partition }
                }
            }));
        }
        Ok(())
    }

    /// False if the topic is gone or is another one.
    async fn set_assignments_of(
        &self,
        topic: &str,
        id: Uuid,
        changed: &[PartitionAssignment],
    ) -> Result<bool, CoordinationError> {
        let path = paths::topic(topic);
        loop {
            let current = self.coordination().topic(topic).await?.filter(|current| current.assignment.id == id);
            let Some(current) = current else { return Ok(false) };
            let mut partitions = current.assignment.partitions.clone();
            for one in &mut partitions {
                if let Some(new) = changed.iter().find(|new| new.index == one.index) {
                    one.clone_from(new);
                }
            }
            // What an earlier round wrote, unheard, is not written again.
            if partitions == current.assignment.partitions {
                return Ok(true);
            }
            let json = TopicNode::new(id, &partitions).encode();
            let client = self.coordination().client();
            let mut multi = self.fenced(&client)?;
            multi
                .add_set_data(&path, &json, Some(current.version()))
                .map_err(|source| CoordinationError::operation(&path, source))?;
            match self.commit(multi, &path).await? {
                Outcome::Done => return Ok(true),
                // Partitions were added meanwhile, or the answer was lost: look again.
                Outcome::Refused(Error::BadVersion) | Outcome::Unknown => {}
                Outcome::Refused(Error::NoNode) => return Ok(false),
                Outcome::Refused(source) => return Err(CoordinationError::operation(&path, source)),
            }
        }
    }
}
