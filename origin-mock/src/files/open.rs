//! From a path to an open file, and never out of the root.
//!
//! In: the root and a decoded relative path. Out: a regular file, opened, with what the response
//! says of it.
//! Always holds: the file that was opened is the one that was found below the root, after every
//! symbolic link was followed; nothing but a regular file is opened, so that a FIFO cannot hold a
//! thread.
//! It deliberately trusts whoever may write below the root while it looks: such a writer decides
//! what is served anyway.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};
use std::time::SystemTime;

use crate::files::media_type;

/// What a path came to.
#[derive(Debug)]
pub(crate) enum Found {
    File(Opened),
    /// A directory that was asked for without its slash.
    Directory,
    Nothing,
}

/// A file that is served.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) bytes: u64,
    pub(crate) modified: SystemTime,
    /// A strong entity tag.
    pub(crate) etag: String,
    pub(crate) media_type: &'static str,
}

/// Opens the file that a path names; of a directory its `index.html`.
pub(crate) fn open(root: &Path, path: &str, wants_directory: bool) -> io::Result<Found> {
    let relative = Path::new(path);
    let mut components = relative.components();
    if !components.all(|component| matches!(component, Component::Normal(_))) {
        return Ok(Found::Nothing);
    }
    let wanted = root.join(relative);
    let wanted = if wants_directory { wanted.join("index.html") } else { wanted };
    let Some(resolved) = absent_is_none(wanted.canonicalize())? else {
        return Ok(Found::Nothing);
    };
    if !resolved.starts_with(root) {
        return Ok(Found::Nothing);
    }
    let before = fs::symlink_metadata(&resolved)?;
    if before.is_dir() && !wants_directory {
        return Ok(Found::Directory);
    }
    if !before.is_file() {
        return Ok(Found::Nothing);
    }
    let Some(file) = absent_is_none(File::open(&resolved))? else { return Ok(Found::Nothing) };
    let metadata = file.metadata()?;
    if (metadata.dev(), metadata.ino()) != (before.dev(), before.ino()) {
        return Err(io::Error::other("the file was replaced while it was opened"));
    }
    Ok(Found::File(Opened {
        bytes: metadata.len(),
        modified: metadata.modified()?,
        etag: etag(&metadata),
        media_type: media_type::of(&wanted),
        file,
    }))
}

/// A missing file, one that may not be read, or a file where a directory should be is no fault of
/// ours: the client asked for what it cannot have.
fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound, PermissionDenied};
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => match error.kind() {
            NotFound | NotADirectory | PermissionDenied | InvalidFilename => Ok(None),
            _ => Err(error),
        },
    }
}

/// Length, modification and change time to the nanosecond, and the inode: an edited file differs
/// in one of them, even one of the same length whose modification time was set back.
fn etag(metadata: &Metadata) -> String {
    format!(
        "\"{:x}-{:x}.{:x}-{:x}.{:x}-{:x}\"",
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
        metadata.ino(),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn found(root: &Path, path: &str) -> &'static str {
        let wants_directory = path.is_empty() || path.ends_with('/');
        match open(root, path, wants_directory) {
            Ok(Found::File(_)) => "file",
            Ok(Found::Directory) => "directory",
            Ok(Found::Nothing) => "nothing",
            Err(_) => "error",
        }
    }

    #[test]
    fn nothing_outside_the_root_and_nothing_but_regular_files() {
        let outer = tempfile::tempdir().unwrap();
        let outer = outer.path().canonicalize().unwrap();
        let root = outer.join("root");
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::create_dir(root.join("empty")).unwrap();
        fs::write(outer.join("secret"), "secret").unwrap();
        fs::write(root.join("a.txt"), "a").unwrap();
        fs::write(root.join("sub/index.html"), "index").unwrap();
        symlink(outer.join("secret"), root.join("escape")).unwrap();
        symlink("../secret", root.join("relative-escape")).unwrap();
        symlink(&outer, root.join("up")).unwrap();
        symlink("a.txt", root.join("inside")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        let long = "x".repeat(5000);
        let rows = [
            ("a.txt", "file"),
            ("inside", "file"),
            ("sub/", "file"),
            ("sub", "directory"),
            ("empty/", "nothing"),
            ("", "nothing"),
            ("a.txt/", "nothing"),
            ("a.txt/b", "nothing"),
            ("none", "nothing"),
            ("../secret", "nothing"),
            ("sub/../../secret", "nothing"),
            ("sub/../a.txt", "nothing"),
            ("/etc/passwd", "nothing"),
            ("escape", "nothing"),
            ("relative-escape", "nothing"),
            ("up/secret", "nothing"),
            ("loop", "error"),
            ("socket", "nothing"),
            (long.as_str(), "nothing"),
        ];
        for (path, expected) in rows {
            assert_eq!(found(&root, path), expected, "{path}");
        }
    }

    #[test]
    fn the_entity_tag_changes_with_the_file() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let etag = || match open(&root, "a", false).unwrap() {
            Found::File(opened) => opened.etag,
            other => panic!("{other:?}"),
        };
        fs::write(root.join("a"), "one").unwrap();
        let first = etag();
        assert_eq!(etag(), first);
        // The same length, and the very same modification time.
        let modified = fs::metadata(root.join("a")).unwrap().modified().unwrap();
        fs::write(root.join("b"), "two").unwrap();
        File::open(root.join("b")).unwrap().set_modified(modified).unwrap();
        fs::rename(root.join("b"), root.join("a")).unwrap();
        assert_ne!(etag(), first);
    }
}
