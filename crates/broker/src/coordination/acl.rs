//! Who may do what with the nodes that this broker creates (`zookeeper.set.acl`), and as whom it speaks to ZooKeeper.
//! Source: Kafka 3.9 `ZkData.defaultAcls`.

use std::fmt;

use zookeeper_client::{Acl, Acls, Permission};

/// As whom a broker speaks to ZooKeeper. Brokers of one cluster with `zookeeper.set.acl` must all be the same.
#[derive(Clone, PartialEq, Eq)]
pub struct ZooKeeperAuth {
    /// `digest` and the like: ZooKeeper's name of the way of authentication.
    pub scheme: String,
    /// For `digest`: `user:password`.
    pub credentials: String,
}

/// The credentials are never shown.
impl fmt::Debug for ZooKeeperAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZooKeeperAuth").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

/// Below these everything belongs to the brokers; the rest (`/consumers`) stays open to old consumers.
const SECURE_ROOTS: [&str; 15] = [
    "/admin",
    "/brokers",
    "/cluster",
    "/config",
    "/controller",
    "/controller_epoch",
    "/isr_change_notification",
    "/latest_producer_id_block",
    "/log_dir_event_notification",
    "/delegation_token",
    "/kafka-acl",
    "/kafka-acl-changes",
    "/kafka-acl-extended",
    "/kafka-acl-extended-changes",
    "/feature",
];

/// Below these are secrets: nobody else may even read.
const SENSITIVE_ROOTS: [&str; 3] = ["/config/users", "/config/brokers", "/delegation_token/tokens"];

static CREATOR_ALL_WORLD_READ: [Acl; 2] =
    [Acl::new_const(Permission::ALL, "auth", ""), Acl::new_const(Permission::READ, "world", "anyone")];

/// The list of a node that is created at `path` (without the chroot) while `zookeeper.set.acl` is on.
pub(super) fn secured(path: &str) -> Acls<'static> {
    let below = |root: &&str| path.strip_prefix(*root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if SENSITIVE_ROOTS.iter().any(&below) {
        Acls::creator_all()
    } else if SECURE_ROOTS.iter().any(below) {
        Acls::new(&CREATOR_ALL_WORLD_READ)
    } else {
        Acls::anyone_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_for_brokers_alone_and_the_rest_can_be_read() {
        for private in ["/config/users/alice", "/config/brokers/<default>", "/delegation_token/tokens"] {
            assert_eq!(secured(private), Acls::creator_all(), "{private}");
        }
        for readable in
            ["/brokers/ids/1", "/controller", "/config/changes/config_change_0000000000", "/controller_epoch"]
        {
            assert_eq!(secured(readable), Acls::new(&CREATOR_ALL_WORLD_READ), "{readable}");
        }
        for open in ["/consumers/g", "/controllers", "/"] {
            assert_eq!(secured(open), Acls::anyone_all(), "{open}");
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        let auth = ZooKeeperAuth { scheme: "digest".into(), credentials: "kafka:secret".into() };
        assert!(!format!("{auth:?}").contains("secret"));
    }
}
