//! Offsets of consumers from before 0.9, in `/consumers/<group>/offsets/<topic>/<partition>` as decimal text. Source:
//! Kafka 3.9 `ConsumerOffset` in `ZkData.scala`.

use zookeeper_client::Error;

use super::Coordination;
use super::codec::DecodeError;
use super::error::CoordinationError;

impl Coordination {
    /// The offset that OffsetCommit version 0 stored; `None` if it did not.
    ///
    /// # Errors
    /// The session is lost, the group's name cannot be part of a path, or the node does not hold a number.
    pub async fn consumer_offset(
        &self,
        group: &str,
        topic: &str,
        partition: i32,
    ) -> Result<Option<i64>, CoordinationError> {
        let path = path(group, topic, partition);
        let Some((text, _)) = self.read(&path).await? else { return Ok(None) };
        let offset = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
        let not_a_number = || DecodeError::Content("not a decimal number".to_owned());
        offset.map(Some).ok_or_else(|| CoordinationError::content(&path, not_a_number()))
    }

    /// Stores an offset for OffsetCommit version 0.
    ///
    /// # Errors
    /// The session is lost, or the group's name cannot be part of a path.
    pub async fn set_consumer_offset(
        &self,
        group: &str,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<(), CoordinationError> {
        let path = path(group, topic, partition);
        let text = offset.to_string();
        let text = text.as_bytes();
        loop {
            match self.inner.session.call(&path, async |client| client.set_data(&path, text, None).await).await {
                Err(CoordinationError::Operation { source: Error::NoNode, .. }) => {}
                result => return result.map(|_| ()),
            }
            if self.create_with_parents(&path, text).await? {
                return Ok(());
            }
            // Somebody else has created it: theirs may be older.
        }
    }
}

fn path(group: &str, topic: &str, partition: i32) -> String {
    format!("/consumers/{group}/offsets/{topic}/{partition}")
}
