//! What a page for operators says is to be typed.
//!
//! In: a page in Markdown, a heading. Out: the section's blocks for a shell, as they are written.
//! Always holds: a section ends at the next heading of any height. It knows no shell.

/// The blocks of the section with this heading, `#` and all, that are for a shell.
#[must_use]
pub fn blocks(page: &str, heading: &str) -> Vec<String> {
    let (mut blocks, mut is_here, mut fence) = (Vec::new(), false, None);
    for line in page.lines() {
        match (line, fence) {
            ("```", Some(_)) => fence = None,
            (_, Some(is_typed)) => {
                if let Some(block) = blocks.last_mut().filter(|_| is_typed) {
                    *block = format!("{block}{line}\n");
                }
            }
            (line, None) if line.starts_with("```") => {
                let is_typed = is_here && line == "```sh";
                fence = Some(is_typed);
                if is_typed {
                    blocks.push(String::new());
                }
            }
            (line, None) if line.starts_with('#') => is_here = line == heading,
            _ => {}
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::blocks;

    #[test]
    fn a_section_has_its_own_blocks_for_a_shell_and_no_others() {
        let page = "## A\n```sh\n# no heading\na\n```\n```toml\nb\n```\n### B\n```sh\nc\n```\n\
                    ## A\n```sh\nd\n\ne\n```\n";
        assert_eq!(blocks(page, "## A"), ["# no heading\na\n", "d\n\ne\n"]);
        assert_eq!(blocks(page, "### B"), ["c\n"]);
        assert!(blocks(page, "## C").is_empty());
    }
}
