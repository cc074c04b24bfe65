//! What `--wait` of a verb waits for, as far as the node that is asked sees it.
//!
//! In: what is asked, a time. Out: a line for each change, and the last answer; a failure where the time is
//! over before. Always: each request waits at the node that is asked, which watches what others say; what
//! cannot be known for now is asked again; this process's own clock says when the time is over. It does not
//! know what is waited for.
//! Clause: docs/operate.md *Draining a node*, *Sites*.

use std::time::Duration;

use axum::http::Method;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    client::{Api, rest},
    failure::Failure,
    say::say,
};

/// The longest wait of one request; the node may cut it.
const STEP_MAX: Duration = Duration::from_secs(20);

/// The longest wait: nobody waits for longer in front of a terminal.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// After what is not known for now is asked again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Something that is waited for.
pub(crate) trait Awaited {
    /// Where the node says how far it is, once that is further than what it told before.
    fn path(&self, told: Option<&Value>) -> String;
    /// Whether there is nothing more to wait for.
    fn is_over(&self, told: &Value) -> bool;
    /// How far it is, for people.
    fn line(&self, told: &Value) -> String;
    /// Why it is not done, and what there is to do about that.
    fn failure(&self, told: &Value) -> Option<Failure>;
}

/// A time on the command line.
pub(crate) fn time(text: &str) -> Result<Duration, Failure> {
    let wrong = |why: &str| {
        Failure::usage(format!(
            "--wait {text:?}: {why}; allowed: a duration such as 10m, a day at most"
        ))
    };
    match humantime::parse_duration(text) {
        Ok(wait) if wait > WAIT_MAX => Err(wrong("too long")),
        Ok(wait) => Ok(wait),
        Err(error) => Err(wrong(&error.to_string())),
    }
}

/// Waits until it is over, or the time is; out comes what was told last, and why it is not done.
pub(crate) fn wait(
    api: &Api,
    awaited: &dyn Awaited,
    wait: Duration,
) -> Result<(Value, Option<Failure>), Failure> {
    let until = Instant::now() + wait;
    let mut told: Option<Value> = None;
    let mut is_unknown = false;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if let Some(told) = told.take_if(|told| left.is_zero() || awaited.is_over(told)) {
            let failure = awaited.failure(&told);
            return Ok((told, failure));
        }
        // The first one tells how far it is now.
        let step = if told.is_some() { left.min(STEP_MAX) } else { Duration::ZERO };
        let path = format!("{}&wait={}ms", awaited.path(told.as_ref()), step.as_millis());
        match api.ask(Method::GET, &path, None, step) {
            Ok(now) => {
                let before = told.as_ref().map(|told| awaited.line(told));
                let after = awaited.line(&now);
                if !api.json && (is_unknown || before.as_ref() != Some(&after)) {
                    say(&after)?;
                }
                (told, is_unknown) = (Some(now), false);
            }
            Err(failure) if failure.may_pass() && !left.is_zero() => {
                if !api.json && !is_unknown {
                    say(&format!("not known for now, and asked again: {failure}"))?;
                }
                is_unknown = true;
                rest(AGAIN_AFTER.min(left))?;
            }
            Err(failure) => return Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_day_at_most() {
        assert_eq!(time("1day").unwrap(), WAIT_MAX);
        for (text, why) in [
            ("18446744073709551615s", "too long"),
            ("86401s", "too long"),
            ("x", "expected number"),
        ] {
            let failure = time(text).unwrap_err();
            assert!(failure.to_string().contains(why), "{failure}");
            assert!(failure.to_string().contains("a day at most"), "{failure}");
            assert_eq!(failure.code(), 2);
        }
    }
}
