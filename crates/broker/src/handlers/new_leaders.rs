//! Answers that wait until it is known who leads in place of a broker that has just vanished.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use whimbrel_model::NodeId;

use crate::Broker;
use crate::metadata_cache::MetadataImage;

/// How long an answer may wait for leaders to be moved off a broker that has just vanished; many times what that takes.
const NEW_LEADERS_WAIT: Duration = Duration::from_millis(500);

/// How often a doubt is looked at again.
const DOUBT_INTERVAL: Duration = Duration::from_millis(20);

/// Waits while `is_led_by` says that one of these brokers leads what is asked for.
///
/// A client asks for leaders when it loses its connection to one, or its patience with it, and does so sooner than any
/// controller can move the leadership. Told the old leader it asks again after its back-off only, which is up to a second:
/// so whoever asks for what a broker leads that has just vanished or fallen silent waits for the controller's word, for a
/// moment.
pub async fn await_new_leaders(broker: &Broker, is_led_by: impl Fn(&MetadataImage, &BTreeSet<NodeId>) -> bool) {
    let Some(liveness) = broker.liveness() else { return };
    let deadline = Instant::now() + NEW_LEADERS_WAIT;
    let mut updates = broker.metadata.updates();
    loop {
        let doubted = liveness.doubted();
        if doubted.is_empty() || !is_led_by(&broker.metadata.image(), &doubted) {
            return;
        }
        // The broker may also turn out to be alive, of which no update tells.
        let until = deadline.min(Instant::now() + DOUBT_INTERVAL);
        if tokio::time::timeout_at(until, updates.changed()).await.is_err() && deadline <= Instant::now() {
            return;
        }
    }
}
