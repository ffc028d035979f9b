//! Other work that a cluster has while it is measured: `create 1000 topics at 10s`, `read 5 GB back at 10s`. Unlike a
//! fault it harms nothing, and any cluster can be asked for it. [`plan`] reads what is wanted, [`carry_out`] does it.

mod carry_out;
mod plan;

pub use carry_out::Disturber;
pub use plan::Disturbance;
