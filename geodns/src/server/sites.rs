//! Other sites, and all else as it is.
//!
//! In: names of sites, and of which revision they are. Out: answers for these, under serials that the
//! revision is part of. Always: what cannot be taken leaves the former ones in
//! force; no file is read again but the geo data, and those only if they changed. It does not know
//! where sites come from.

use geodns_core::problem::Problem;

use super::{Plan, PlanError, Server};

/// Sites, as of a revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sites {
    /// Their names.
    pub names: Vec<Box<str>>,
    /// Which of the states of the sites that all name servers share this is; 0 where there is one alone,
    /// that of the file. It counts in the serial of each zone.
    pub revision: u64,
}

impl Server {
    /// Answers for other sites, and goes on with all else.
    ///
    /// # Errors
    /// As [`Server::reload`].
    pub fn take_sites(&self, sites: Sites) -> Result<Vec<Problem>, PlanError> {
        let mut loading = self.0.loading.lock();
        if loading.plan.sites == sites {
            return Ok(Vec::new());
        }
        // A certificate that is being replaced has nothing to do with them.
        let plan = Plan { sites, certificate: None, ..loading.plan.clone() };
        let certificate = loading.plan.certificate.clone();
        let problems = self.take(&mut loading, plan)?;
        loading.plan.certificate = certificate;
        Ok(problems)
    }
}
