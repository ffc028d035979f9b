//! Places where a test can have a controller end, as if it had been killed there.
//!
//! `WHIMBREL_FAILPOINT=NAME:N` in the environment ends the process when it reaches the place NAME for the Nth time. Only
//! builds with debug assertions look; in others [`reached`] is nothing. The tests of this crate end the controller's term
//! instead, see [`testing`].
//!
//! | place | what has happened |
//! |---|---|
//! | `controller-write` | a controller is about to send a transaction to coordination |
//! | `controller-written` | it has been made, and the controller has not acted on it |
//! | `controller-tell` | a control request is about to be queued for a broker |

use crate::coordination::CoordinationError;

/// Ends the process if the environment asks for it here.
///
/// # Errors
/// None, but for a test that ends the controller's term here.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub(crate) fn reached(_place: &str) -> Result<(), CoordinationError> {
    Ok(())
}

/// Ends the process if the environment asks for it here.
///
/// # Errors
/// None, but for a test that ends the controller's term here.
#[cfg(debug_assertions)]
pub(crate) fn reached(place: &str) -> Result<(), CoordinationError> {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    static WANTED: OnceLock<Option<(String, AtomicUsize)>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| {
        let text = std::env::var("WHIMBREL_FAILPOINT").ok()?;
        let (name, count) = text.rsplit_once(':')?;
        Some((name.to_owned(), AtomicUsize::new(count.parse().ok()?)))
    });
    if let Some((name, left)) = wanted
        && name == place
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        tracing::error!(place, "failpoint: the process ends here");
        std::process::abort();
    }
    #[cfg(test)]
    testing::count()?;
    Ok(())
}

/// For tests on one thread: the term that reaches the chosen place ends there.
#[cfg(test)]
pub(crate) mod testing {
    use std::cell::Cell;

    use crate::coordination::CoordinationError;

    thread_local! {
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// The next term that reaches `places` places ends at the last of them.
    pub(crate) fn end_after(places: usize) {
        LEFT.set(Some(places));
    }

    /// Ends no term; whether one had been ended.
    pub(crate) fn disarm() -> bool {
        LEFT.take().is_none()
    }

    pub(super) fn count() -> Result<(), CoordinationError> {
        match LEFT.get() {
            None => Ok(()),
            Some(left) if 1 < left => {
                LEFT.set(Some(left - 1));
                Ok(())
            }
            Some(_) => {
                LEFT.set(None);
                Err(CoordinationError::Conflict("a failpoint".into()))
            }
        }
    }
}
