//! Blocks of producer ids (KIP-98). Source: Kafka 3.9 `ProducerIdManager` and `ZkProducerIdManager`.

use std::ops::RangeInclusive;

use tracing::warn;
use whimbrel_model::ProducerId;

use super::codec::ProducerIdBlockNode;
use super::error::CoordinationError;
use super::{Coordination, paths};

/// How many ids a broker takes at a time.
const BLOCK_IDS: i64 = 1000;

impl Coordination {
    /// A producer id that was never given to anyone.
    ///
    /// # Errors
    /// When a new block of ids is due and the session is lost, the node is not readable, or all ids are used up.
    pub async fn next_producer_id(&self) -> Result<ProducerId, CoordinationError> {
        // Held while a block is taken: two calls at once could not tell whose write of the same block took effect.
        let mut left = self.inner.producer_ids.lock().await;
        if let Some(id) = left.as_mut().and_then(Iterator::next) {
            return Ok(ProducerId(id));
        }
        let mut block = self.take_block().await?;
        let first = *block.start();
        block.next();
        *left = Some(block);
        Ok(ProducerId(first))
    }

    /// Takes the next block of ids for this broker.
    async fn take_block(&self) -> Result<RangeInclusive<i64>, CoordinationError> {
        let path = paths::PRODUCER_IDS;
        let content = |source| CoordinationError::content(path, source);
        // A write whose answer was lost, and the version that the node has if it took effect.
        let mut unheard: Option<(ProducerIdBlockNode, i32)> = None;
        loop {
            let (json, version) = match self.read(path).await? {
                Some((json, stat)) => (json, stat.version),
                None => {
                    self.create_with_parents(path, b"").await?;
                    continue;
                }
            };
            let current = ProducerIdBlockNode::decode(&json).map_err(content)?;
            if let (Some(current), Some((block, at))) = (&current, &unheard)
                && current == block
                && version == *at
            {
                return range(current);
            }
            let first = match &current {
                Some(block) => block.last().map_err(content)?.checked_add(1),
                None => Some(0),
            };
            let block = first.and_then(|first| Some((first, first.checked_add(BLOCK_IDS - 1)?)));
            let Some((first, last)) = block else {
                return Err(CoordinationError::NotWritable("all producer ids are used up".into()));
            };
            let next = ProducerIdBlockNode::new(self.registered_id(), first, last);
            match self.client().set_data(path, &next.encode(), Some(version)).await {
                Ok(_) => return range(&next),
                Err(zookeeper_client::Error::BadVersion) => {}
                Err(zookeeper_client::Error::ConnectionLoss) => {
                    warn!("the connection broke while a block of producer ids was taken; reading again");
                    unheard = Some((next, version + 1));
                }
                Err(source) => return Err(CoordinationError::operation(path, source)),
            }
        }
    }
}

fn range(block: &ProducerIdBlockNode) -> Result<RangeInclusive<i64>, CoordinationError> {
    let last = block.last().map_err(|source| CoordinationError::content(paths::PRODUCER_IDS, source))?;
    Ok(last - BLOCK_IDS + 1..=last)
}
