//! What DescribeGroups and ListGroups show.

use std::sync::Arc;

use bytes::Bytes;

use super::{Group, GroupState};

/// One line of ListGroups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOverview {
    pub group_id: Arc<str>,
    /// Empty for a group that only stores offsets.
    pub protocol_type: Arc<str>,
    pub state: GroupState,
}

/// One group of DescribeGroups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    pub state: GroupState,
    /// Empty for a group that only stores offsets.
    pub protocol_type: Arc<str>,
    /// Empty unless the group is stable.
    pub protocol_name: Arc<str>,
    pub members: Vec<MemberDescription>,
}

/// One member of DescribeGroups. Metadata and assignment are empty unless the group is stable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberDescription {
    pub member_id: Arc<str>,
    pub instance_id: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub metadata: Bytes,
    pub assignment: Bytes,
}

impl Group {
    #[must_use]
    pub fn overview(&self) -> GroupOverview {
        GroupOverview {
            group_id: self.id.clone(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            state: self.state,
        }
    }

    #[must_use]
    pub fn describe(&self) -> GroupDescription {
        let protocol_name = self.protocol_name.clone().filter(|_| self.state == GroupState::Stable).unwrap_or_default();
        let members = self.members.iter().map(|member| {
            let is_shown = self.state == GroupState::Stable;
            MemberDescription {
                member_id: member.id.clone(),
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                metadata: if is_shown { member.metadata(&protocol_name) } else { Bytes::new() },
                assignment: if is_shown { member.assignment.clone() } else { Bytes::new() },
            }
        });
        GroupDescription {
            state: self.state,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            members: members.collect(),
            protocol_name: protocol_name.clone(),
        }
    }
}
