//! The files of the repository, as text.
//!
//! In: nothing. Out: every file that git tracks or would offer to add, with its path from the root.
//! What always holds: ignored files (build output, installed packages) are not there, so tidy never
//! judges what nobody wrote; files that are not UTF-8 are left out.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One text file of the repository.
pub(crate) struct Source {
    /// From the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// A made-up file, for the tests that show a check going red.
    pub(crate) fn sample(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The file's own name, without folders.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// The folder that holds the workspace's manifest.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every text file of the repository.
pub(crate) fn files() -> io::Result<Vec<Source>> {
    // A CI job may run as another user than the one who cloned; git would refuse to list.
    let listing = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z"])
        .args(["--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()?;
    if !listing.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&listing.stderr).into_owned()));
    }
    let names = String::from_utf8_lossy(&listing.stdout).into_owned();
    let mut files = Vec::new();
    for path in names.split_terminator('\0') {
        // A file that is deleted but not yet committed so is still listed.
        if let Ok(text) = std::fs::read_to_string(root().join(path)) {
            files.push(Source { path: path.to_owned(), text });
        }
    }
    Ok(files)
}

/// The lines of a complaint list, for an assertion's message.
pub(crate) fn list(complaints: &[String]) -> String {
    complaints.iter().map(|c| format!("\n  {c}")).collect()
}

#[test]
fn the_listing_has_this_very_file() -> io::Result<()> {
    let files = files()?;
    assert!(files.iter().any(|f| f.path == "tests/tests/tidy/tree.rs"), "{} files", files.len());
    assert!(files.iter().any(|f| f.path == "Cargo.toml"));
    Ok(())
}
