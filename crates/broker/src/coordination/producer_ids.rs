//! Blocks of producer ids (KIP-98). Source: Kafka 3.9 `ProducerIdManager` and `ZkProducerIdManager`.

use std::ops::RangeInclusive;

use tracing::warn;
use whimbrel_model::{BrokerEpoch, NodeId, ProducerId};

use super::codec::ProducerIdBlockNode;
use super::error::CoordinationError;
use super::{Coordination, paths};

/// How many ids a broker takes at a time.
const BLOCK_IDS: i64 = 1000;

/// Why a broker gets no block of producer ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockRefusal {
    NotRegistered,
    OtherIncarnation,
}

impl Coordination {
    /// A producer id that was never given to anyone. A new block of ids comes from `ask`, or, where that has none (this
    /// broker is the controller), from coordination.
    ///
    /// # Errors
    /// When a new block of ids is due and `ask` fails, the session is lost, the node is not readable, or all ids are used
    /// up.
    pub async fn next_producer_id<E: From<CoordinationError>>(
        &self,
        ask: impl AsyncFnOnce() -> Result<Option<RangeInclusive<i64>>, E>,
    ) -> Result<ProducerId, E> {
        // Held while a block is taken: two calls at once could not tell whose write of the same block took effect.
        let mut left = self.inner.producer_ids.lock().await;
        if let Some(id) = left.as_mut().and_then(Iterator::next) {
            return Ok(ProducerId(id));
        }
        let block = match ask().await? {
            Some(block) => block,
            None => self.take_block(self.registered_id()).await?,
        };
        let mut block = block;
        let first =
            block.next().ok_or_else(|| CoordinationError::NotWritable("a block without producer ids".into()))?;
        *left = Some(block);
        Ok(ProducerId(first))
    }

    /// The next block of ids, for another broker that this controller serves. `None` if that incarnation is not
    /// registered.
    ///
    /// # Errors
    /// As [`Coordination::next_producer_id`].
    pub async fn producer_ids_for(
        &self,
        broker: NodeId,
        epoch: BrokerEpoch,
    ) -> Result<Result<RangeInclusive<i64>, BlockRefusal>, CoordinationError> {
        let path = paths::broker(broker);
        match self.read(&path).await? {
            None => return Ok(Err(BlockRefusal::NotRegistered)),
            Some((_, stat)) if stat.czxid != epoch.0 => return Ok(Err(BlockRefusal::OtherIncarnation)),
            Some(_) => {}
        }
        let _one_at_a_time = self.inner.producer_ids.lock().await;
        self.take_block(broker).await.map(Ok)
    }

    /// Takes the next block of ids for a broker.
    async fn take_block(&self, broker: NodeId) -> Result<RangeInclusive<i64>, CoordinationError> {
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
            let next = ProducerIdBlockNode::new(broker, first, last);
            match self.client().set_data(path, &next.encode(), Some(version)).await {
                Ok(_) => return range(&next),
                Err(zookeeper_client::Error::BadVersion) => {}
                Err(zookeeper_client::Error::ConnectionLoss | zookeeper_client::Error::Custom(_)) => {
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
