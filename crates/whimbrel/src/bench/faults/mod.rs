//! Harm, planned: `kill broker 1 at 5s for 3s`. [`plan`] reads what is wanted, [`inject`] does it to a target that the
//! bench started.

mod inject;
mod plan;

use std::time::Instant;

pub use inject::{check, inject};
pub use plan::FaultPlan;

/// Milliseconds since `began`; negative before it.
pub fn ms_since(began: Instant) -> i64 {
    let now = Instant::now();
    let (after, before) = (now.saturating_duration_since(began), began.saturating_duration_since(now));
    after.as_millis() as i64 - before.as_millis() as i64
}
