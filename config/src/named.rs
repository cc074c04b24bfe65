//! The files that settings name: whether they are there and hold what they must.
//!
//! In: the tree, and the sections that were sound. Out: findings, at the keys that name a file.
//! Always: what passes here is not refused by the process for what the file holds, so that `check`
//! and `run` say the same; nothing is written, and nothing but regular files is opened.
//! Does not know: who will run the node, so it cannot tell whether that user may write the log.
//! Clause: RFC 7468 (certificates in PEM).

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use edge_core::settings::SiteSettings;
use nearcast_daemon::settings::{AccessTarget, LogSettings};
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use crate::{
    check::Findings,
    kind::Complaint,
    problem::harmless,
    tree::{self, Node},
};

/// Opens a regular file. To open anything else may wait for ever, as a FIFO does for its writer.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    if fs::metadata(path)?.is_file() {
        File::open(path)
    } else {
        Err(io::Error::other("not a regular file"))
    }
}

/// The certificate authorities of each site.
pub(crate) fn sites(
    root: &Node<'_>,
    base: &Path,
    sites: &[Option<SiteSettings>],
    findings: &mut Findings,
) {
    for (at, site) in sites.iter().enumerate() {
        let Some(ca) = site.as_ref().and_then(|site| site.origin.ca.as_ref()) else { continue };
        let path = base.join(ca);
        findings.reads(&path);
        let complaint = match open(&path) {
            Ok(_) => authorities(&path),
            Err(error) => Err(Complaint::new(
                format!("cannot be read: {error}"),
                "a file that this user may read",
            )),
        };
        let key = format!("{}.origin.ca", tree::item("site", at));
        tell(root, &key, &path, complaint, findings);
    }
}

/// As the origin side reads them: all must be usable, and one at least must be there.
fn authorities(path: &Path) -> Result<(), Complaint> {
    let wrong = |fault: &str| {
        let allowed = "a PEM file with at least one CERTIFICATE, each of them whole";
        Err(Complaint::new(fault, allowed))
    };
    let certificates =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let Ok(certificates) = certificates else { return wrong("holds broken PEM") };
    match RootCertStore::empty().add_parsable_certificates(certificates) {
        (0, 0) => wrong("holds no certificate"),
        (_, 0) => Ok(()),
        _ => wrong("holds a broken certificate"),
    }
}

/// The access log is made where it is not there; its folder is not.
pub(crate) fn log(root: &Node<'_>, base: &Path, log: &LogSettings, findings: &mut Findings) {
    if let AccessTarget::Path(path) = &log.access {
        log_file(root, base, "log.access", path, findings);
    }
}

/// A log file that `key` names.
pub(crate) fn log_file(
    root: &Node<'_>,
    base: &Path,
    key: &str,
    path: &Path,
    findings: &mut Findings,
) {
    let path = base.join(path);
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder_is_there = folder.is_none_or(Path::is_dir);
    let complaint = match (folder_is_there, path.is_dir()) {
        (true, false) => Ok(()),
        (true, true) => Err(Complaint::new("a folder", "the path of a file or FIFO")),
        (false, _) => {
            Err(Complaint::new("its folder is not there", "a path in a folder that there is"))
        }
    };
    tell(root, key, &path, complaint, findings);
}

/// Notes what was found wrong with the file at `path`, which `key` names.
pub(crate) fn tell(
    root: &Node<'_>,
    key: &str,
    path: &Path,
    complaint: Result<(), Complaint>,
    findings: &mut Findings,
) {
    if let (Err(complaint), Some(node)) = (complaint, tree::find(root, key)) {
        findings.wrong(
            key,
            node,
            complaint.advising(format!("looked for {}", harmless(&path.display().to_string()))),
        );
    }
}
