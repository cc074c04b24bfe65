//! Tidy: what no compiler checks and no review should have to.
//!
//! In: the files that git knows, and the manifests among them. Out: one red test per kind of fault,
//! naming every place. What always holds: each check is a pure function over text, and each has a
//! test of its own that feeds it a bad sample and sees it complain, so that a check which has gone
//! blind is noticed. What this deliberately does not know: whether examples load and reference
//! pages are current (the config package's tests do), and anything that clippy already says.

mod tidy {
    pub(crate) mod clauses;
    pub(crate) mod floors;
    pub(crate) mod image;
    pub(crate) mod needs;
    pub(crate) mod papers;
    pub(crate) mod sources;
    pub(crate) mod tree;
}
