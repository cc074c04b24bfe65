//! What a filling has for its leader alone.

use std::sync::Arc;

use edge_core::{directives::ResponseDirectives, site::Policy};
use http::{HeaderMap, Response, header};
use parking_lot::Mutex;

use super::response::OriginBody;
use crate::store::StoredResponse;

/// Where the leader picks up a response that nobody else may have.
#[derive(Default)]
pub struct PrivateSlot {
    pub(super) response: Mutex<Option<Response<OriginBody>>>,
    pub(super) validated: Mutex<Option<Arc<StoredResponse>>>,
    withheld: Mutex<HeaderMap>,
}

impl PrivateSlot {
    /// The response, once.
    pub fn take(&self) -> Option<Response<OriginBody>> {
        self.response.lock().take()
    }

    /// What was validated for the leader but may not be stored any more, once.
    pub fn take_validated(&self) -> Option<Arc<StoredResponse>> {
        self.validated.lock().take()
    }

    /// Keeps for the leader the fields of a response that its stored head does not have.
    pub fn withhold(&self, fields: &HeaderMap, stored: &HeaderMap) {
        let mut withheld = self.withheld.lock();
        for (name, value) in fields {
            if !stored.contains_key(name) && *name != header::AGE && *name != header::TRAILER {
                withheld.append(name, value.clone());
            }
        }
    }

    /// The same for the answer to a validation and what it has freshened: the fields that it has for
    /// this request alone, and cookies that are not for all. Its others speak of the stored content,
    /// or of itself.
    pub fn withhold_of_validation(&self, fields: &HeaderMap, fresh: &HeaderMap, policy: &Policy) {
        let directives = ResponseDirectives::parse(fresh, &policy.targeted_fields);
        let mut withheld = self.withheld.lock();
        let named = directives.no_cache.fields().iter().chain(directives.private.fields());
        for name in named.chain([&header::SET_COOKIE]) {
            if withheld.contains_key(name) {
                continue;
            }
            for value in fields.get_all(name) {
                if !fresh.get_all(name).iter().any(|kept| kept == value) {
                    withheld.append(name, value.clone());
                }
            }
        }
    }

    /// Adds the fields that the response had for the leader alone: a qualified `no-cache` or
    /// `private` keeps them out of what is stored, not from who asked (RFC 9111 §5.2.2.4, §5.2.2.7).
    pub fn add_withheld(&self, fields: &mut HeaderMap) {
        let mut name = None;
        for (next, value) in std::mem::take(&mut *self.withheld.lock()) {
            name = next.or(name);
            if let Some(name) = &name {
                fields.append(name, value);
            }
        }
    }
}
