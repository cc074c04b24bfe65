//! Results on standard output, and nothing but results.
//!
//! In: a text. Out: the text as lines, or why they could not be written.
//! Always: a reader that has gone (`nearcast … | head -1`) has what it wanted, so that is success;
//! everything else that keeps a result from its reader is a failure of the verb, never a panic.

use std::{
    io::{self, Write as _},
    path::Path,
};

use crate::failure::Failure;

/// Says `text` and ends its last line.
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// A path as an argument of a command that a user may copy into a shell (POSIX.1 *Quoting*).
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@%,=".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_reads_a_quoted_path_as_it_is() {
        for path in ["/tmp/plain-1.log", "/tmp/my data/it's $HOME `x`", "/tmp/a\"b;c&d", "~", ""] {
            let shown = quoted(Path::new(path));
            let command = format!("printf %s {shown}");
            let output = Command::new("sh").args(["-c", &command]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), path, "{shown}");
        }
        assert_eq!(quoted(Path::new("/tmp/plain")), "/tmp/plain");
    }
}
