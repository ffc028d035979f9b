//! Messages of every API at every version: against themselves, against another implementation, and against hostile
//! bytes.

mod allocation;
mod differential;
mod hostile;
mod round_trip;
mod sample;
