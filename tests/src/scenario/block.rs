//! The shape of a `.scn` file: a header, then blocks.
//!
//! In: the file's text. Out: the header's pairs and the blocks: one line at the margin and the
//! indented lines under it, without comments, each with its number.
//! Always holds: what a line means is not known here.

/// One line of a file, trimmed, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) number: usize,
    pub(super) text: &'a str,
}

/// A line at the margin and those indented under it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block<'a> {
    pub(super) head: Line<'a>,
    pub(super) details: Vec<Line<'a>>,
}

/// The header's lines (title first), and the blocks.
pub(super) fn split(text: &str) -> Result<(Vec<Line<'_>>, Vec<Block<'_>>), (usize, String)> {
    let mut header = Vec::new();
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut in_header = true;
    for (index, whole) in text.lines().enumerate() {
        let line = Line { number: index + 1, text: whole.trim() };
        if line.text.starts_with('#') {
            continue;
        }
        if line.text.is_empty() {
            in_header &= header.is_empty();
        } else if in_header {
            header.push(line);
        } else if !whole.starts_with([' ', '\t']) {
            blocks.push(Block { head: line, details: Vec::new() });
        } else if let Some(block) = blocks.last_mut() {
            block.details.push(line);
        } else {
            return Err((
                line.number,
                "an indented line belongs to a line at the margin".to_owned(),
            ));
        }
    }
    Ok((header, blocks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_header_and_blocks_without_comments() {
        let text = "# c\nTitle\nclause: x\n\n> GET /\n  A: b\n\n  # c\n  C: d\n< 200\n";
        let (header, blocks) = split(text).unwrap();
        let texts: Vec<&str> = header.iter().map(|line| line.text).collect();
        assert_eq!(texts, ["Title", "clause: x"]);
        assert_eq!(blocks.len(), 2);
        assert_eq!(blocks[0].details[1], Line { number: 9, text: "C: d" });
        assert_eq!(split("T\n\n  x\n").unwrap_err().0, 3);
    }
}
