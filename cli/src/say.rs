//! Results on standard output, and nothing but results.
//!
//! In: a text. Out: the text as lines, or why they could not be written.
//! Always: a reader that has gone (`nearcast … | head -1`) has what it wanted, so that is success;
//! everything else that keeps a result from its reader is a failure of the verb, never a panic.

use std::io::{self, Write as _};

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
