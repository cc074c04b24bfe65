//! From a check's settings to its plan.
//!
//! In: [`OriginCheckSettings`]. Out: a [`CheckPlan`]; every problem of the settings on the way.

use std::time::Duration;

use ground::state::{Pace, StateWord};
use http::{HeaderValue, Method, Uri};

use super::build::Faults;
use crate::{
    settings::{OriginCheckKind, OriginCheckMethod, OriginCheckSettings},
    site::Problem,
};

/// How an origin's servers are asked whether they work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckPlan {
    /// What is done.
    pub kind: OriginCheckKind,
    /// The method of the request.
    pub method: Method,
    /// The target of the request.
    pub target: Uri,
    /// The Host that is sent; else that of requests.
    pub host: Option<HeaderValue>,
    /// The statuses that pass.
    pub statuses: Vec<u16>,
    /// What the content has to hold.
    pub body: Option<String>,
    /// Time for an answer.
    pub timeout: Duration,
    interval: Duration,
    rise: u32,
    fall: u32,
    jitter: u32,
    before: StateWord,
}

impl CheckPlan {
    /// The check that the settings describe; what is wrong with them goes to `faults`.
    pub(super) fn build(settings: &OriginCheckSettings, faults: &mut Faults) -> Self {
        let mut fault = |key: &str, message: String| {
            faults.0.push(Problem { at: format!("origin.check.{key}"), message });
        };
        let target = settings.path.parse::<Uri>().ok();
        let target =
            target.filter(|target| settings.path.starts_with('/') && target.authority().is_none());
        if target.is_none() {
            fault("path", "not the path of a URL".to_owned());
        }
        let host = settings.host.as_ref().map(|host| HeaderValue::from_str(host).ok());
        if host == Some(None) {
            fault("host", "not what a Host field can say".to_owned());
        }
        for (index, status) in settings.status.iter().enumerate() {
            if !(100..=599).contains(status) {
                fault(&format!("status[{index}]"), "not a status from 100 to 599".to_owned());
            }
        }
        if settings.timeout > settings.interval {
            let message = "longer than site.origin.check.interval: lower it or raise that";
            fault("timeout", message.to_owned());
        }
        let has_content =
            settings.kind == OriginCheckKind::Http && settings.method == OriginCheckMethod::Get;
        if settings.body.is_some() && !has_content {
            fault("body", "of no effect without kind = \"http\" and method = \"GET\"".to_owned());
        }
        Self {
            kind: settings.kind,
            method: match settings.method {
                OriginCheckMethod::Get => Method::GET,
                OriginCheckMethod::Head => Method::HEAD,
            },
            target: target.unwrap_or_default(),
            host: host.flatten(),
            statuses: settings.status.clone(),
            body: settings.body.clone(),
            timeout: settings.timeout,
            interval: settings.interval,
            rise: settings.rise,
            fall: settings.fall,
            jitter: settings.jitter,
            before: settings.before,
        }
    }

    /// Whether it asks the same question as another, however often, and whatever follows from the
    /// answers.
    #[must_use]
    pub fn asks_as(&self, other: &Self) -> bool {
        let asks = |check: &Self| {
            let (method, target) = (check.method.clone(), check.target.clone());
            (check.kind, method, target, check.host.clone())
        };
        asks(self) == asks(other)
    }
}

impl Pace for CheckPlan {
    fn rise(&self) -> u32 {
        self.rise
    }
    fn fall(&self) -> u32 {
        self.fall
    }
    fn before(&self) -> StateWord {
        self.before
    }
    fn interval(&self) -> Duration {
        self.interval
    }
    fn jitter(&self) -> u32 {
        self.jitter
    }
}
