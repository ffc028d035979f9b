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

/// A process that dies closes its connections one after the other. Who asks in between, because its own was the first, may
/// do so before this broker's is closed: so where others lead there is a second look after this time.
const SECOND_LOOK: Duration = Duration::from_millis(5);

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
    let mut is_second_look = false;
    loop {
        let doubted = liveness.doubted();
        if doubted.is_empty() || !is_led_by(&broker.metadata.image(), &doubted) {
            if std::mem::replace(&mut is_second_look, true) || !is_led_by_another(broker, &is_led_by) {
                return;
            }
            tokio::time::sleep(SECOND_LOOK).await;
            continue;
        }
        is_second_look = true;
        // The broker may also turn out to be alive, of which no update tells.
        let until = deadline.min(Instant::now() + DOUBT_INTERVAL);
        if tokio::time::timeout_at(until, updates.changed()).await.is_err() && deadline <= Instant::now() {
            return;
        }
    }
}

fn is_led_by_another(broker: &Broker, is_led_by: &impl Fn(&MetadataImage, &BTreeSet<NodeId>) -> bool) -> bool {
    let image = broker.metadata.image();
    let others: BTreeSet<NodeId> = image.brokers.keys().copied().filter(|id| *id != broker.node_id).collect();
    !others.is_empty() && is_led_by(&image, &others)
}
