//! Whatever a file says, it is either a configuration or a list of problems with places in it.
//!
//! In: valid files, mutated at random. Out: no panic, no empty report, no place outside the file.
//! Always: a failure prints the text that caused it.
//! Does not know: which mutations are still valid.
//! Clause: CONTRIBUTING.md *Tests* (property tests for every parser).
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use nearcast_config::{parse, reference};
use proptest::prelude::*;

const EDGE: &str = include_str!("../examples/edge.toml");
const GEODNS: &str = include_str!("../examples/geodns.toml");

/// Fragments that files are made of, right and wrong.
const PIECES: [&str; 34] = [
    "\n",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ",",
    ".",
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "#",
    "\\",
    "\\u0000",
    "edge",
    "site",
    "rule",
    "geodns",
    "pop",
    "name = \"fra\"",
    "-1.5",
    "map",
    "route",
    "true",
    "1_000",
    "-0x1",
    "99999999999999999999",
    "1979-05-27",
    "nan",
    "\u{202e}",
    "é",
];

#[derive(Clone, Debug)]
enum Mutation {
    Cut(usize, usize),
    Insert(usize, &'static str),
    Repeat(usize, usize),
    SwapLines(usize, usize),
    Replace(usize, char),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<usize>;
    prop_oneof![
        (at(), 0_usize..40).prop_map(|(at, length)| Mutation::Cut(at, length)),
        (at(), proptest::sample::select(&PIECES[..]))
            .prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        (at(), 1_usize..80).prop_map(|(at, length)| Mutation::Repeat(at, length)),
        (at(), at()).prop_map(|(a, b)| Mutation::SwapLines(a, b)),
        (at(), any::<char>()).prop_map(|(at, with)| Mutation::Replace(at, with)),
    ]
}

fn mutated(text: &str, mutation: &Mutation) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    if letters.is_empty() {
        return String::new();
    }
    let place = |at: usize| at % letters.len();
    match *mutation {
        Mutation::Cut(at, length) => {
            let start = place(at);
            let end = letters.len().min(start + length);
            letters.drain(start..end);
        }
        Mutation::Insert(at, piece) => {
            let start = place(at);
            letters.splice(start..start, piece.chars());
        }
        Mutation::Repeat(at, length) => {
            let start = place(at);
            let copy = letters[start..letters.len().min(start + length)].to_vec();
            letters.splice(start..start, copy);
        }
        Mutation::SwapLines(a, b) => {
            let mut lines: Vec<&str> = text.split('\n').collect();
            let count = lines.len();
            lines.swap(a % count, b % count);
            return lines.join("\n");
        }
        Mutation::Replace(at, with) => {
            let start = place(at);
            letters[start] = with;
        }
    }
    letters.into_iter().collect()
}

fn holds(text: &str) {
    let Err(report) = parse(text, "mutated.toml") else { return };
    assert!(!report.problems.is_empty());
    let lines: Vec<&str> = text.split('\n').collect();
    for problem in &report.problems {
        let place = problem.place.expect("a text has places");
        assert!((1..=lines.len()).contains(&place.line), "{problem}");
        let length = lines[place.line - 1].chars().count();
        assert!((1..=length + 1).contains(&place.column.unwrap()), "{problem}");
        assert_eq!(problem.file, None, "a text names no place in another file");
        // A report is read on a terminal: one line per problem, no control characters.
        assert!(!problem.to_string().chars().any(char::is_control), "{problem}");
        assert!(
            !problem.fault.contains("cannot be used"),
            "the schema let this through: {problem}"
        );
    }
    assert!(!report.to_string().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_file_is_a_configuration_or_has_problems_inside_it(
        start in 0..3,
        mutations in proptest::collection::vec(mutation(), 1..8),
    ) {
        let start = match start {
            0 => reference::every_setting(),
            1 => EDGE.to_owned(),
            _ => GEODNS.to_owned(),
        };
        holds(&mutations.iter().fold(start, |text, mutation| mutated(&text, mutation)));
    }

    #[test]
    fn any_text_is_a_configuration_or_has_problems_inside_it(text in "(?s).{0,200}") {
        holds(&text);
    }

    #[test]
    fn any_value_of_any_setting_is_taken_or_refused(
        line in 0_usize..1000,
        value in prop_oneof![
            "[0-9]{1,20} ?(ns|s|m|M|h|d|day|years|B|KB|KiB|GiB|EiB)?".prop_map(|text| format!("\"{text}\"")),
            "[a-z*./:\\[\\]@-]{0,20}".prop_map(|text| format!("\"{text}\"")),
            any::<i64>().prop_map(|number| number.to_string()),
            any::<f64>().prop_map(|number| format!("{number:?}").replace("NaN", "nan")),
            Just("[[], {}]".to_owned()), Just("{ a = 1 }".to_owned()), Just("07:32:00".to_owned()),
        ],
    ) {
        let every = reference::every_setting();
        let mut lines: Vec<String> = every.lines().map(str::to_owned).collect();
        let settings: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].contains(" = ")).collect();
        let at = settings[line % settings.len()];
        let key = lines[at].trim_start_matches("# ").split(" = ").next().unwrap().to_owned();
        lines[at] = format!("{key} = {value}");
        holds(&lines.join("\n"));
    }
}

#[test]
fn deep_nesting_is_refused_without_recursion_to_match() {
    for (open, close) in [("[", "]"), ("{a=", "}")] {
        let text = format!("edge = {}1{}", open.repeat(100_000), close.repeat(100_000));
        let report = parse(&text, "deep.toml").unwrap_err();
        assert!(!report.problems.is_empty());
    }
    let dotted = format!("{}a = 1", "a.".repeat(20_000));
    assert!(parse(&dotted, "deep.toml").is_err());
}
