//! The rules of the controller that tests take out one at a time, to show that each of them is needed.

/// One rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// A member of an ISR is one incarnation of a broker (KIP-903).
    Incarnation,
    /// Whoever came back leads only with proof that nothing of its log is lost.
    Proof,
    /// While a member may come back with everything, nobody who lost something leads (KIP-966).
    WaitForMembers,
    /// Eligible leaders are kept while the ISR is small (KIP-966).
    EligibleLeaders,
    /// Eligible leaders are forgotten when the ISR is large enough without them.
    ForgetEligible,
    /// No broker is told of a state that the facts contradict.
    TellSettled,
    /// Only the leader changes its ISR.
    LeaderOnly,
    /// A change is based on the state that is there.
    PartitionEpoch,
    /// A broker that is suspected or about to stop does not join an ISR (KIP-841).
    JoinAlive,
    /// Nothing of a topic is erased before every replica of it is gone.
    ReplicasFirst,
    /// A partition has moved when every target replica is in sync.
    TargetInSync,
    /// Brokers hear of nothing that coordination does not hold.
    WrittenFirst,
}

#[cfg(not(test))]
#[inline(always)]
pub(super) const fn holds(_: Rule) -> bool {
    true
}

#[cfg(test)]
thread_local! {
    static TAKEN_OUT: std::cell::Cell<Option<Rule>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
pub(super) fn holds(rule: Rule) -> bool {
    TAKEN_OUT.get() != Some(rule)
}

/// Runs `test` as if `rule` had never been written.
#[cfg(test)]
pub(super) fn without<T>(rule: Rule, test: impl FnOnce() -> T) -> T {
    TAKEN_OUT.set(Some(rule));
    let result = test();
    TAKEN_OUT.set(None);
    result
}
