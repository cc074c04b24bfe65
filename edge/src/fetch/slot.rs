//! What a filling has for its leader alone.

use std::sync::Arc;

use http::{HeaderMap, Response, header};
use parking_lot::Mutex;

use super::response::OriginBody;
use crate::store::StoredResponse;

/// Where the leader picks up a response that nobody else may have.
#[derive(Default)]
pub struct PrivateSlot {
    pub(super) response: Mutex<Option<Response<OriginBody>>>,
    pub(super) validated: Mutex<Option<Arc<StoredResponse>>>,
    pub(super) withheld: Mutex<HeaderMap>,
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

/// Fields of a response that its stored head does not have.
pub(super) fn withheld(fields: &HeaderMap, stored: &HeaderMap) -> HeaderMap {
    let mut withheld = HeaderMap::new();
    for (name, value) in fields {
        if !stored.contains_key(name) && *name != header::AGE && *name != header::TRAILER {
            withheld.append(name, value.clone());
        }
    }
    withheld
}
