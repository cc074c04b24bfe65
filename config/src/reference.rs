//! The pages that are generated from the schema: for people, for editors, and an example file.
//!
//! In: nothing but the settings types. Out: texts, which `cargo run -p nearcast-config --example
//! reference` writes into docs/reference/ and config/examples/.
//! Always: every key of the schema stands on every page; the same schema gives the same bytes.
//! Does not know: where the pages lie.
//! Clause: ARCHITECTURE.md *Floors*, *What never happens* 10.

use serde_json::Value;

use crate::{
    compose,
    kind::Kind,
    shape::{Entry, Shape, Text, Word},
    tree,
};

/// How the generated pages are rewritten.
pub const COMMAND: &str = "cargo run -p nearcast-config --example reference";

/// The reference of all settings, in Markdown.
#[must_use]
pub fn settings_page() -> String {
    let mut page = format!(
        "# Settings of a node file\n\n\
         Generated from the settings types by `{COMMAND}`; do not edit.\n\n\
         A node file is TOML.\n\
         `nearcast check FILE` names every problem of a file at once.\n\
         Durations and sizes are strings of numbers with units: \
         `ns`, `us`, `ms`, `s`, `m`, `h`, `day`, `week`, `month`, `year`; \
         `B`, `kB`, `MB`, `GB`, `TB` (powers of 1000), `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024).\n\
         A relative path starts at the folder of the file.\n\
         \"None\" as a default means that leaving the key out is a choice of its own; \
         the meaning says which.\n"
    );
    let shape = Shape::of(&compose::schema());
    for entry in shape.entries() {
        page_section(entry, "", &mut page);
    }
    page
}

fn page_section(section: &Entry, parent: &str, page: &mut String) {
    let path = tree::join(parent, &section.name);
    let header = header(&path, &section.shape);
    let about = if section.shape.is_short() {
        format!(
            "An item of `{}` as a table, which may also stand in it as `{{ … }}`.",
            section.name
        )
    } else {
        section.meaning.clone()
    };
    page.push_str(&format!("\n## `{header}`\n\n{about}\n\n"));
    page.push_str("| key | type | default | allowed | meaning |\n|---|---|---|---|---|\n");
    let entries = section.shape.entries();
    for entry in entries.iter().filter(|entry| !entry.shape.is_section()) {
        let default = match (&entry.default, entry.required) {
            (Some(value), _) => format!("`{}`", toml_value(value, &entry.shape)),
            (None, true) => "required".to_owned(),
            (None, false) => "none".to_owned(),
        };
        let (key, meaning) = (format!("`{}`", entry.name), cell(&meaning(entry)));
        let cells = [key, kind(&entry.shape), default, cell(&bounds(&entry.shape)), meaning];
        page.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    for entry in entries.iter().filter(|entry| !entry.shape.entries().is_empty()) {
        page_section(entry, &path, page);
    }
}

fn kind(shape: &Shape) -> String {
    match shape {
        Shape::List { item, .. } if item.is_short() => {
            format!("list, each {} or a table", item.noun())
        }
        Shape::List { item, .. } => format!("list, each {}", item.noun()),
        Shape::Choice(_) => "word".to_owned(),
        _ => {
            let noun = shape.noun();
            noun.trim_start_matches("an ").trim_start_matches("a ").to_owned()
        }
    }
}

/// What is allowed, in fewer words than a message has.
fn bounds(shape: &Shape) -> String {
    match shape {
        Shape::Integer { min, max } => format!("{min} to {max}"),
        Shape::Number { min, max } => format!("{min} to {max}"),
        Shape::Text(Text { min: Some(min), max: Some(max), .. }) => format!("{min} to {max}"),
        Shape::List { item, min, max } => match max {
            Some(max) => format!("{min} to {max}: {}", item.allowed("")),
            None if *min > 0 => format!("at least {min}: {}", item.allowed("")),
            None => item.allowed(""),
        },
        _ => shape.allowed(""),
    }
}

/// The doc line, and what each word of a choice means.
fn meaning(entry: &Entry) -> String {
    let mut text = entry.meaning.clone();
    if let Shape::Choice(words) = &entry.shape {
        for Word { word, meaning } in words.iter().filter(|word| !word.meaning.is_empty()) {
            text.push_str(&format!(" `{word}`: {meaning}"));
        }
    }
    text
}

fn cell(text: &str) -> String {
    // Outside code spans Markdown would read `*` and `|` as its own.
    let mut out = String::new();
    let mut in_code = false;
    for character in text.chars() {
        match character {
            '`' => in_code = !in_code,
            '|' => out.push('\\'),
            '*' | '_' | '[' | ']' | '<' if !in_code => out.push('\\'),
            _ => {}
        }
        out.push(character);
    }
    out
}

/// The JSON Schema of a node file, for editors.
#[must_use]
pub fn schema_page() -> String {
    let mut schema = compose::schema();
    without_nulls(&mut schema);
    // A value holds no key that is not a string, so it prints.
    format!("{schema:#}\n")
}

/// TOML knows no null: a default of null is no default, and a type or null is that type.
fn without_nulls(schema: &mut Value) {
    match schema {
        Value::Object(keys) => {
            keys.retain(|key, value| key != "default" || !value.is_null());
            if let Some(Value::Array(types)) = keys.get_mut("type") {
                types.retain(|name| name != "null");
            }
            keys.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// A node file in which every setting stands at its default.
#[must_use]
pub fn every_setting() -> String {
    let mut file = format!(
        "# Every setting at its default, generated from the settings types by\n\
         # `{COMMAND}`; do not edit.\n\
         # A setting without a default is commented out, or has a value of an example if a file\n\
         # cannot do without it.\n"
    );
    let shape = Shape::of(&compose::schema());
    for entry in shape.entries() {
        file_section(entry, "", &mut file);
    }
    file
}

fn file_section(section: &Entry, parent: &str, file: &mut String) {
    let path = tree::join(parent, &section.name);
    file.push('\n');
    comment(&section.meaning, file);
    file.push_str(&header(&path, &section.shape));
    file.push('\n');
    let entries = section.shape.entries();
    for entry in entries.iter().filter(|entry| !entry.shape.is_section()) {
        comment(&entry.meaning, file);
        file_line(entry, file);
    }
    for entry in entries.iter().filter(|entry| is_whole_or_absent(entry)) {
        comment(&entry.meaning, file);
        let keys = table_keys(entry, file);
        file.push_str(&format!("# {} = {{ {keys} }}\n", entry.name));
    }
    let sections = entries.iter().filter(|entry| entry.shape.is_section());
    for entry in sections.filter(|entry| !is_whole_or_absent(entry)) {
        file_section(entry, &path, file);
    }
}

/// A table that may be left out, but not be empty: no file can have it at its default.
fn is_whole_or_absent(entry: &Entry) -> bool {
    match &entry.shape {
        Shape::Table(keys) => !entry.required && keys.iter().any(|key| key.required),
        _ => false,
    }
}

fn file_line(entry: &Entry, file: &mut String) {
    let value = |value| toml_value(value, &entry.shape);
    let line = match (&entry.default, &entry.example) {
        // An example beside an empty default: a file cannot do without a value.
        (Some(Value::Array(none)), Some(example)) if none.is_empty() => value(example),
        (Some(default), _) => value(default),
        (None, Some(example)) => value(example),
        (None, None) => fallback(&entry.shape),
    };
    let mark = if entry.default.is_none() && !entry.required { "# " } else { "" };
    file.push_str(&format!("{mark}{} = {line}\n", entry.name));
    if entry.shape.is_short() {
        table_comment(entry, file);
    }
}

/// How an item that stands as a string is written as a table.
fn table_comment(entry: &Entry, file: &mut String) {
    file.push_str(&format!("# An item of {} as a table:\n", entry.name));
    let keys = table_keys(entry, file);
    file.push_str(&format!("#   {} = [{{ {keys} }}]\n", entry.name));
}

/// Says what the keys of a table mean, and gives them with a value each.
fn table_keys(entry: &Entry, file: &mut String) -> String {
    let mut keys = Vec::new();
    for key in entry.shape.entries() {
        comment(&format!("{}: {}", key.name, meaning(key)), file);
        let value = key.default.as_ref().or(key.example.as_ref());
        let value = value.map_or_else(|| fallback(&key.shape), |one| toml_value(one, &key.shape));
        keys.push(format!("{} = {value}", key.name));
    }
    keys.join(", ")
}

/// Some value of the shape, where neither a default nor an example is given.
fn fallback(shape: &Shape) -> String {
    match shape {
        Shape::Integer { min, max } => 4.clamp(*min, *max).to_string(),
        Shape::Number { min, max } => format!("{:?}", 0.0_f64.clamp(*min, *max)),
        Shape::Text(Text { kind: Kind::SocketAddress, .. }) => "\"127.0.0.1:9090\"".to_owned(),
        Shape::Text(Text { kind: Kind::Name, .. }) => "\"fra\"".to_owned(),
        _ => "\"…\"".to_owned(),
    }
}

fn comment(text: &str, file: &mut String) {
    let mut line = String::from("#");
    for word in text.split(' ') {
        if line.chars().count().saturating_add(word.chars().count()) >= 98 {
            file.push_str(&line);
            file.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    file.push_str(&line);
    file.push('\n');
}

fn header(path: &str, shape: &Shape) -> String {
    match shape {
        Shape::List { .. } => format!("[[{path}]]"),
        _ => format!("[{path}]"),
    }
}

/// A value of the schema as an operator writes it.
fn toml_value(value: &Value, shape: &Shape) -> String {
    match value {
        Value::String(text) => match shape {
            // "256.0 MiB" is how the size type prints itself.
            Shape::Text(law) if law.kind == Kind::Bytes => {
                format!("\"{}\"", text.replace(".0 ", " "))
            }
            // "1day" is how a duration prints itself.
            Shape::Text(law) if law.kind == Kind::Duration => format!("\"{}\"", spaced(text)),
            _ => format!("\"{text}\""),
        },
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| toml_value(item, shape)).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}

/// Puts a space before the units that are words.
fn spaced(duration: &str) -> String {
    ["day", "month", "year"]
        .iter()
        .fold(duration.to_owned(), |text, unit| text.replace(unit, &format!(" {unit}")))
}
