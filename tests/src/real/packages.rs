//! The files of real packages, as a site has them.
//!
//! In: the folder that `tests/run` fills. Out: every file's target and content's place.
//! Always holds: the order is that of the targets, so that every run asks in the same one.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use super::Tested;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// The target that asks for it.
    pub target: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Its size.
    pub length: usize,
}

impl File {
    /// Its content.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn content(&self) -> Tested<Vec<u8>> {
        Ok(fs::read(&self.path)?)
    }
}

/// Every file below `root`.
///
/// # Errors
/// When one cannot be looked at.
pub fn files(root: &Path) -> Tested<Vec<File>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let target = target(path.strip_prefix(root)?);
                let length = usize::try_from(entry.metadata()?.len())?;
                files.push(File { target, path, length });
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The path, percent-encoded where it must be (RFC 3986 §3.3).
fn target(path: &Path) -> String {
    let mut target = String::new();
    for octet in path.to_string_lossy().bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~/@".contains(&octet) {
            target.push(char::from(octet));
        } else {
            // Writing into a String cannot fail.
            write!(target, "%{octet:02X}").unwrap_or_default();
        }
    }
    format!("/{target}")
}
