//! What was found, for people and for programs.

pub mod hgrm;
pub mod lines;
pub mod live;
pub mod results;
pub mod table;
mod uptime;
