//! The one place that looks into what members say: the topics of a consumer's subscription.

use std::collections::BTreeSet;

use super::{CONSUMER_PROTOCOL_TYPE, Group};

impl Group {
    /// True unless it is known that no member subscribes to the topic.
    #[must_use]
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.subscribed_topics.as_ref().is_none_or(|topics| topics.contains(topic))
    }

    /// Union of the members' subscriptions; `None` for other protocol types and if any subscription is not readable.
    pub(super) fn compute_subscribed_topics(&self) -> Option<BTreeSet<String>> {
        if self.protocol_type.as_deref() != Some(CONSUMER_PROTOCOL_TYPE) {
            return None;
        }
        let mut topics = BTreeSet::new();
        if self.members.is_empty() {
            return Some(topics);
        }
        let protocol = self.protocol_name.as_deref()?;
        for member in self.members.iter() {
            read_topics(&member.metadata(protocol), &mut topics)?;
        }
        Some(topics)
    }
}

/// Reads `version i16, [topic string], …`: the layout of version 0, with which every later version begins
/// (`ConsumerProtocolSubscription.json`). `None` if the bytes are not that.
fn read_topics(subscription: &[u8], topics: &mut BTreeSet<String>) -> Option<()> {
    let (version, rest) = subscription.split_first_chunk()?;
    if i16::from_be_bytes(*version) < 0 {
        return None;
    }
    let (count, mut rest) = rest.split_first_chunk()?;
    let count = u32::try_from(i32::from_be_bytes(*count)).ok()?;
    for _ in 0..count {
        let (length, tail) = rest.split_first_chunk()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let (name, tail) = tail.split_at_checked(length)?;
        let name = std::str::from_utf8(name).ok()?;
        if !topics.contains(name) {
            topics.insert(name.to_owned());
        }
        rest = tail;
    }
    Some(())
}
