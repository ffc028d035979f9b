//! Harm, planned: `kill broker 1 at 5s for 3s`. [`plan`] reads what is wanted, [`inject`] does it to a target that the
//! bench started.

mod inject;
mod plan;

pub use inject::{check, inject};
pub use plan::FaultPlan;
