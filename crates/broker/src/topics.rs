//! Topic names: which are allowed, and which the brokers keep for themselves. Source: `Topic.java`.

/// Committed offsets and group metadata.
pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";
/// States of transactions.
pub const TRANSACTION_STATE: &str = "__transaction_state";

/// KRaft's log of metadata. No topic of clients may have its name.
pub const CLUSTER_METADATA: &str = "__cluster_metadata";

/// Longest topic name: with `-<partition>` and a suffix it has to fit into a file name.
const NAME_LENGTH_MAX: usize = 249;

/// Whether only brokers write to this topic.
pub fn is_internal(name: &str) -> bool {
    [CONSUMER_OFFSETS, TRANSACTION_STATE].contains(&name)
}

/// Why a text is no topic name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopicName {
    #[error("a topic name cannot be empty")]
    Empty,
    #[error("a topic name cannot be \".\" or \"..\"")]
    Dots,
    #[error("the topic name has {length} characters; at most {NAME_LENGTH_MAX} are allowed")]
    TooLong { length: usize },
    #[error("topic name {name:?} has characters other than ASCII letters, digits, '.', '_' and '-'")]
    Characters { name: String },
}

/// Checks a name as Kafka does.
///
/// # Errors
/// What is wrong with it.
pub fn validate_name(name: &str) -> Result<(), InvalidTopicName> {
    if name.is_empty() {
        return Err(InvalidTopicName::Empty);
    }
    if name == "." || name == ".." {
        return Err(InvalidTopicName::Dots);
    }
    if NAME_LENGTH_MAX < name.len() {
        return Err(InvalidTopicName::TooLong { length: name.chars().count() });
    }
    if !name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-')) {
        return Err(InvalidTopicName::Characters { name: name.to_owned() });
    }
    Ok(())
}

/// Whether another name could collide with this one: names of metrics have '_' for every '.'.
pub fn may_collide(name: &str) -> bool {
    name.contains(['.', '_'])
}

/// Names with the same key collide: only one of them can be a topic.
pub fn collision_key(name: &str) -> String {
    name.replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_kafka_allows() {
        assert_eq!(validate_name("orders.v1_eu-west"), Ok(()));
        assert_eq!(validate_name(""), Err(InvalidTopicName::Empty));
        assert_eq!(validate_name(".."), Err(InvalidTopicName::Dots));
        assert!(validate_name(&"x".repeat(249)).is_ok());
        assert!(matches!(validate_name(&"x".repeat(250)), Err(InvalidTopicName::TooLong { length: 250 })));
        assert!(matches!(validate_name("a b"), Err(InvalidTopicName::Characters { .. })));
    }
}
