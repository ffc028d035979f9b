//! The rules of replication that tests take out one at a time, to show that each of them is needed.

/// One rule; the number is that of the project's list of rules of the ISR core, where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// R1: a follower cuts its log by leader epochs, not at its high watermark (KIP-101).
    TruncateByEpoch,
    /// A follower that does not know the leader's epoch walks back epoch by epoch (KIP-279).
    WalkBack,
    /// R2: fetches count only between equal leader epochs (KIP-320).
    EqualEpochs,
    /// R5: the high watermark waits for those who are being added to the in-sync set (KIP-497).
    MaximalIsr,
    /// R6: a member of the in-sync set is one incarnation of a broker (KIP-903).
    Incarnation,
    /// R7: the high watermark stands while fewer than `min.insync.replicas` are in sync (KIP-966).
    MinIsr,
    /// The committed set stays in force until the controller has agreed to another.
    PendingShrink,
    /// What the leader knew of its followers is forgotten when somebody else may have led in between.
    ForgetAfterGap,
    /// An answer counts only for the change that it was asked for.
    OwnAnswer,
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
