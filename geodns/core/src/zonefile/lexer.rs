//! The entries of a master file: what stands on one line, or within parentheses on several.
//!
//! In: text. Out: [`Entry`]s of [`Token`]s, which borrow it, escapes untouched.
//! Always holds: comments, and line ends within parentheses, separate nothing that quotes hold
//! together; what is wrong with an entry is said, and the next line begins afresh.
//!
//! RFC 1035 §5.1.

/// A word or a quoted string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'t> {
    /// Its text with all escapes; without the quotes, if it begins with one.
    pub(super) raw: &'t [u8],
    /// Whether it begins with a quote.
    pub(super) quoted: bool,
    /// Where it begins.
    pub(super) line: u32,
}

/// What belongs together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry<'t> {
    /// Where it begins.
    pub(super) line: u32,
    /// Whether white space stands before it: its owner is the one before.
    pub(super) indented: bool,
    pub(super) tokens: Vec<Token<'t>>,
    /// What is wrong with its form.
    pub(super) fault: Option<(u32, LexError)>,
}

/// Why text cannot be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LexError {
    #[error("a quoted string does not end on its line")]
    Quote,
    #[error("a parenthesis is closed that was not opened")]
    Closed,
    #[error("a parenthesis is not closed")]
    Open,
}

/// See the module.
pub(super) struct Lexer<'t> {
    text: &'t [u8],
    at: usize,
    line: u32,
}

impl<'t> Lexer<'t> {
    pub(super) const fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0, line: 1 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    const fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn next_line(&mut self) {
        self.step();
        self.line = self.line.saturating_add(1);
    }

    /// Moves on to the end of the line.
    fn skip_line(&mut self) {
        while self.peek().is_some_and(|byte| byte != b'\n') {
            self.step();
        }
    }

    /// Reads to the end of an entry.
    fn read_entry(&mut self, entry: &mut Entry<'t>) {
        let mut open: u32 = 0;
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' => {
                    self.next_line();
                    if open == 0 {
                        return;
                    }
                }
                b' ' | b'\t' | b'\r' => self.step(),
                b';' => self.skip_line(),
                b'(' => {
                    open = open.saturating_add(1);
                    self.step();
                }
                b')' => {
                    if open == 0 {
                        entry.blame(self.line, LexError::Closed);
                    }
                    open = open.saturating_sub(1);
                    self.step();
                }
                _ => match self.token() {
                    Some(token) => entry.tokens.push(token),
                    None => {
                        entry.blame(self.line, LexError::Quote);
                        self.skip_line();
                    }
                },
            }
        }
        if open > 0 {
            entry.blame(entry.line, LexError::Open);
        }
    }

    /// Reads a token; nothing, if its quote does not end.
    fn token(&mut self) -> Option<Token<'t>> {
        let line = self.line;
        if self.peek() == Some(b'"') {
            self.step();
            let begin = self.at;
            self.quoted()?;
            let raw = self.text.get(begin..self.at.saturating_sub(1))?;
            return Some(Token { raw, quoted: true, line });
        }
        let begin = self.at;
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' | b')' => break,
                b'"' => {
                    self.step();
                    self.quoted()?;
                }
                b'\\' => self.escape(),
                _ => self.step(),
            }
        }
        Some(Token { raw: self.text.get(begin..self.at)?, quoted: false, line })
    }

    /// Moves past the quote that ends a string; nothing, if the line ends first.
    fn quoted(&mut self) -> Option<()> {
        loop {
            match self.peek()? {
                // A string over several lines is nearly always a forgotten quote.
                b'\n' => return None,
                b'"' => {
                    self.step();
                    return Some(());
                }
                b'\\' => self.escape(),
                _ => self.step(),
            }
        }
    }

    /// Moves past a backslash and what it escapes, unless that is the end of the line.
    fn escape(&mut self) {
        self.step();
        if self.peek().is_some_and(|byte| byte != b'\n') {
            self.step();
        }
    }
}

impl Entry<'_> {
    fn blame(&mut self, line: u32, fault: LexError) {
        self.fault = self.fault.or(Some((line, fault)));
    }
}

impl<'t> Iterator for Lexer<'t> {
    type Item = Entry<'t>;

    fn next(&mut self) -> Option<Entry<'t>> {
        while self.at < self.text.len() {
            let indented = self.peek().is_some_and(|byte| matches!(byte, b' ' | b'\t'));
            let tokens = Vec::new();
            let mut entry = Entry { line: self.line, indented, tokens, fault: None };
            self.read_entry(&mut entry);
            if !entry.tokens.is_empty() || entry.fault.is_some() {
                return Some(entry);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn entries_are_told_apart() {
        type Row<'a> = (&'a str, &'a str, &'a [&'a str], Option<(u32, LexError)>);
        let rows: &[Row<'_>] = &[
            ("§5.1 nothing", "\n ; only\n\n", &[], None),
            ("§5.1 a line", "a b\nc", &["1:a|b", "2:c"], None),
            ("§5.1 no line end", "a", &["1:a"], None),
            ("§5.1 carriage returns", "a\r\nb\r\n", &["1:a", "2:b"], None),
            ("§5.1 a blank in front", " a\n\tb", &["1: a", "2: b"], None),
            ("§5.1 a comment", "a;b c\nd ; e", &["1:a", "2:d"], None),
            ("§5.1 parentheses", "a ( b ; c\n d\n) e\nf", &["1:a|b|d|e", "4:f"], None),
            ("§5.1 parentheses at words", "a(b)c", &["1:a|b|c"], None),
            ("§5.1 in parentheses", "(a (b)\n c)", &["1:a|b|c"], None),
            ("§5.1 a string", "a \"b c;()\" d", &["1:a|\"b c;()|d"], None),
            ("§5.1 an empty string", "a \"\"", &["1:a|\""], None),
            ("§5.1 a quote within", "\"a\\\"b\"", &["1:\"a\\\"b"], None),
            ("§5.1 two strings", "\"a\"\"b\"", &["1:\"a|\"b"], None),
            ("§5.1 escapes", "a\\;b\\ c\\(", &["1:a\\;b\\ c\\("], None),
            ("RFC 9460 §2.1 quotes in a word", "k=\"a b\" c", &["1:k=\"a b\"|c"], None),
            ("§5.1 an open string", "a \"b\nc", &["1:a", "2:c"], Some((1, LexError::Quote))),
            (
                "§5.1 an open string, escaped",
                "\"b\\\nc",
                &["1:", "2:c"],
                Some((1, LexError::Quote)),
            ),
            ("§5.1 closed too often", "a )\nb", &["1:a", "2:b"], Some((1, LexError::Closed))),
            ("§5.1 not closed", "a\n( b\nc", &["1:a", "2:b|c"], Some((2, LexError::Open))),
        ];
        for (row, text, expected, fault) in rows {
            let entries: Vec<_> = Lexer::new(text.as_bytes()).collect();
            let lines: Vec<_> = entries.iter().map(print).collect();
            assert_eq!(lines, *expected, "RFC 1035 {row}");
            assert_eq!(entries.iter().find_map(|entry| entry.fault), *fault, "RFC 1035 {row}");
        }
    }

    fn print(entry: &Entry<'_>) -> String {
        let tokens = entry.tokens.iter().map(|token| {
            let raw = String::from_utf8_lossy(token.raw);
            format!("{}{raw}", if token.quoted { "\"" } else { "" })
        });
        let blank = if entry.indented { " " } else { "" };
        format!("{}:{blank}{}", entry.line, tokens.collect::<Vec<_>>().join("|"))
    }

    #[test]
    fn tokens_know_their_lines() {
        let entries: Vec<_> = Lexer::new(b"a (\nb\n\nc )").collect();
        let lines: Vec<_> = entries[0].tokens.iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 2, 4]);
    }

    proptest! {
        #[test]
        fn no_text_panics_or_loops(text in "[ab \\t\\n\\\\();\"]{0,200}") {
            prop_assert!(Lexer::new(text.as_bytes()).count() <= text.lines().count());
        }
    }
}
