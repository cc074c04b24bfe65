//! What the program takes from its environment, beside the token that clients show.
//!
//! In: variables. Out: their values, or what is allowed. It does not know who goes by them.

use std::num::NonZeroUsize;

use crate::failure::Failure;

/// What the help says of the environment.
pub(crate) const HELP: &str = "Environment:\n  \
    NEARCAST_WORKERS  Serving threads; overrides [node] workers of a node file\n  \
    NEARCAST_TOKEN    Token that purge, site, explain, token, node and status show";

/// NEARCAST_WORKERS overrides the number of serving threads.
pub(crate) fn workers() -> Result<Option<NonZeroUsize>, Failure> {
    let Ok(text) = std::env::var("NEARCAST_WORKERS") else { return Ok(None) };
    match text.parse() {
        Ok(count) => Ok(Some(count)),
        Err(_) => Err(Failure::usage(format!(
            "NEARCAST_WORKERS = \"{text}\": not a number of threads; allowed: 1 and more; unset it \
             for one per core"
        ))),
    }
}
