//! The members of a group, and which protocols they have in common.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::messages::{CallerId, JoinRequest, JoinedMember, MemberSnapshot};

/// A protocol (an assignor, for consumers) that a member supports, with what it has to say under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    pub name: Arc<str>,
    /// Opaque to the coordinator.
    pub metadata: Bytes,
}

#[derive(Debug)]
pub(super) struct Member {
    pub id: Arc<str>,
    pub instance_id: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub session_timeout: Duration,
    pub rebalance_timeout: Duration,
    /// In order of preference. After a fail-over only the chosen one is known.
    pub protocols: Vec<Protocol>,
    pub assignment: Bytes,
    /// Its JoinGroup waits for the rebalance to complete. Counted by `Members::awaiting_join_count`.
    pub awaiting_join: Option<CallerId>,
    /// Its SyncGroup waits for the leader's assignment.
    pub awaiting_sync: Option<CallerId>,
    /// Has not completed a rebalance yet, so that it does not know its id and cannot send heartbeats.
    pub is_new: bool,
    /// It has to be heard of before this.
    pub session_deadline: Duration,
    /// When the session timer in force fires; `None` if none is. Never after `session_deadline`.
    pub session_timer: Option<Duration>,
}

impl Member {
    pub fn join(request: &JoinRequest, id: Arc<str>, caller: CallerId) -> Self {
        Self {
            id,
            instance_id: request.instance_id.clone(),
            client_id: request.client_id.clone(),
            client_host: request.client_host.clone(),
            session_timeout: request.session_timeout,
            rebalance_timeout: request.rebalance_timeout,
            protocols: request.protocols.clone(),
            assignment: Bytes::new(),
            awaiting_join: Some(caller),
            awaiting_sync: None,
            is_new: true,
            session_deadline: Duration::ZERO,
            session_timer: None,
        }
    }

    pub fn restore(snapshot: MemberSnapshot, protocol: Arc<str>) -> Self {
        Self {
            id: snapshot.member_id,
            instance_id: snapshot.instance_id,
            client_id: snapshot.client_id,
            client_host: snapshot.client_host,
            session_timeout: snapshot.session_timeout,
            rebalance_timeout: snapshot.rebalance_timeout,
            protocols: vec![Protocol { name: protocol, metadata: snapshot.subscription }],
            assignment: snapshot.assignment,
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
            session_deadline: Duration::ZERO,
            session_timer: None,
        }
    }

    pub fn snapshot(&self, protocol: &str, assignment: Bytes) -> MemberSnapshot {
        MemberSnapshot {
            member_id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout: self.rebalance_timeout,
            session_timeout: self.session_timeout,
            subscription: self.metadata(protocol),
            assignment,
        }
    }

    pub fn joined(&self, protocol: &str) -> JoinedMember {
        JoinedMember {
            member_id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            metadata: self.metadata(protocol),
        }
    }

    /// What it has to say under a protocol; empty if it does not support it.
    pub fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols.iter().find(|p| &*p.name == protocol).map(|p| p.metadata.clone()).unwrap_or_default()
    }

    pub fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }
}

/// Members by id, with two sums over them kept up to date.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// Sorted, so that the same events give the same leader and the same order everywhere.
    by_id: BTreeMap<Arc<str>, Member>,
    awaiting_join_count: usize,
    /// How many members support a protocol; no zeros.
    supporters: BTreeMap<Arc<str>, usize>,
}

impl Members {
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub fn contains(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    pub fn get(&self, id: &str) -> Option<&Member> {
        self.by_id.get(id)
    }

    /// For changes to anything but `awaiting_join` and `protocols`, which are counted.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut Member> {
        self.by_id.get_mut(id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.by_id.values()
    }

    /// As [`get_mut`](Self::get_mut); call [`recount`](Self::recount) after a change to `awaiting_join`.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.by_id.values_mut()
    }

    pub fn ids(&self) -> Vec<Arc<str>> {
        self.by_id.keys().cloned().collect()
    }

    pub fn first_id(&self) -> Option<&Arc<str>> {
        self.by_id.keys().next()
    }

    pub fn insert(&mut self, member: Member) {
        self.awaiting_join_count += usize::from(member.awaiting_join.is_some());
        count_protocols(&mut self.supporters, &member.protocols);
        let previous = self.by_id.insert(member.id.clone(), member);
        assert!(previous.is_none(), "two members with one id");
    }

    pub fn remove(&mut self, id: &str) -> Option<Member> {
        let member = self.by_id.remove(id)?;
        self.awaiting_join_count -= usize::from(member.awaiting_join.is_some());
        discount_protocols(&mut self.supporters, &member.protocols);
        Some(member)
    }

    /// Parks a join; returns the caller that waited before, if any.
    pub fn park_join(&mut self, id: &str, caller: CallerId) -> Option<CallerId> {
        let previous = self.by_id.get_mut(id)?.awaiting_join.replace(caller);
        self.awaiting_join_count += usize::from(previous.is_none());
        previous
    }

    pub fn unpark_join(&mut self, id: &str) -> Option<CallerId> {
        let caller = self.by_id.get_mut(id)?.awaiting_join.take()?;
        self.awaiting_join_count -= 1;
        Some(caller)
    }

    pub fn set_protocols(&mut self, id: &str, protocols: Vec<Protocol>) -> Vec<Protocol> {
        let Some(member) = self.by_id.get_mut(id) else { return protocols };
        let previous = std::mem::replace(&mut member.protocols, protocols);
        discount_protocols(&mut self.supporters, &previous);
        count_protocols(&mut self.supporters, &member.protocols);
        previous
    }

    pub fn recount(&mut self) {
        self.awaiting_join_count = self.by_id.values().filter(|m| m.awaiting_join.is_some()).count();
    }

    pub fn awaiting_join_count(&self) -> usize {
        self.awaiting_join_count
    }

    /// True if every member supports the protocol; of no members, all do.
    pub fn all_support(&self, protocol: &str) -> bool {
        self.supporters.get(protocol).copied().unwrap_or(0) == self.by_id.len()
    }

    /// How long a rebalance may take: the longest that any member grants.
    pub fn rebalance_timeout(&self) -> Duration {
        self.by_id.values().map(|m| m.rebalance_timeout).max().unwrap_or_default()
    }

    /// The protocol with the most votes. Each member votes for the first of its protocols that all members support;
    /// between equals, the order of preference of `arbiter` (the leader) decides.
    pub fn elect_protocol(&self, arbiter: Option<&str>) -> Option<Arc<str>> {
        let mut votes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for member in self.by_id.values() {
            let choice = member.protocols.iter().find(|p| self.all_support(&p.name))?;
            *votes.entry(&choice.name).or_default() += 1;
        }
        let preferences = arbiter.and_then(|id| self.get(id)).map(|m| m.protocols.as_slice()).unwrap_or_default();
        let rank = |name: &str| preferences.iter().position(|p| &*p.name == name).unwrap_or(usize::MAX);
        votes
            .into_iter()
            .max_by_key(|&(name, count)| (count, std::cmp::Reverse(rank(name))))
            .map(|(name, _)| name.clone())
    }
}

fn count_protocols(supporters: &mut BTreeMap<Arc<str>, usize>, protocols: &[Protocol]) {
    for (i, protocol) in protocols.iter().enumerate() {
        if is_first_of_its_name(protocols, i) {
            *supporters.entry(protocol.name.clone()).or_default() += 1;
        }
    }
}

fn discount_protocols(supporters: &mut BTreeMap<Arc<str>, usize>, protocols: &[Protocol]) {
    for (i, protocol) in protocols.iter().enumerate() {
        if !is_first_of_its_name(protocols, i) {
            continue;
        }
        if let Some(count) = supporters.get_mut(&protocol.name) {
            *count -= 1;
            if *count == 0 {
                supporters.remove(&protocol.name);
            }
        }
    }
}

/// A client may name a protocol twice; it is one supporter all the same.
fn is_first_of_its_name(protocols: &[Protocol], index: usize) -> bool {
    protocols.iter().position(|p| p.name == protocols[index].name) == Some(index)
}
