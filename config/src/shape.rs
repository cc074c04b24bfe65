//! The shape that a node file must have, read out of the schema that the settings types derive.
//!
//! In: a JSON Schema as `schemars` derives it, with our keys `x-kind`, `x-min`, `x-max`, `x-words`
//! and `x-example`. Out: a [`Shape`] that the checker and the reference pages walk.
//! Always: every `$ref` is resolved; `x-kind` on a list speaks of its items.
//! Does not know: any key or section by name, nor how a value is written in TOML.
//! Clause: ARCHITECTURE.md *Floors* (each part's settings hold their own bounds).

use serde_json::{Map, Value};

use crate::kind::Kind;

/// What a value must look like.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// A table with known keys.
    Table(Vec<Entry>),
    /// A table whose keys are the operator's own (`x-kind` speaks of key and value).
    Map(Text),
    /// A table that may be written as the string of its first key alone.
    Short { text: Text, table: Box<Self> },
    /// A list; at least so many items, at most so many.
    List { item: Box<Self>, min: u64, max: Option<u64> },
    /// A string.
    Text(Text),
    /// One of these words.
    Choice(Vec<Word>),
    /// A whole number.
    Integer { min: i128, max: i128 },
    /// A number that may have a fraction.
    Number { min: f64, max: f64 },
    /// `true` or `false`.
    Boolean,
}

/// A string's further law.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) kind: Kind,
    pub(crate) min: Option<String>,
    pub(crate) max: Option<String>,
    /// Words that are allowed beside what the kind allows.
    pub(crate) words: Vec<String>,
}

/// A word of a [`Shape::Choice`].
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) word: String,
    pub(crate) meaning: String,
}

/// A key of a [`Shape::Table`].
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) meaning: String,
    pub(crate) required: bool,
    /// The default; absent where a key that is left out means something else than any value.
    pub(crate) default: Option<Value>,
    /// A value for the reference and the examples.
    pub(crate) example: Option<Value>,
    pub(crate) shape: Shape,
}

impl Shape {
    /// The shape that the root of `schema` describes.
    pub(crate) fn of(schema: &Value) -> Self {
        let none = Map::new();
        let definitions = schema.get("$defs").and_then(Value::as_object).unwrap_or(&none);
        Reader { definitions }.shape(schema)
    }

    /// The entries, if this is a table or a list of tables.
    pub(crate) fn entries(&self) -> &[Entry] {
        match self {
            Self::Table(entries) => entries,
            Self::List { item, .. } => item.entries(),
            Self::Short { table, .. } => table.entries(),
            _ => &[],
        }
    }

    /// Whether what stands here may be a secret, or a part of it may.
    pub(crate) fn hides(&self) -> bool {
        match self {
            Self::Text(text) | Self::Map(text) => text.kind == Kind::CookieSecret,
            Self::List { item, .. } => item.hides(),
            Self::Table(entries) => entries.iter().any(|entry| entry.shape.hides()),
            Self::Short { table, .. } => table.hides(),
            Self::Choice(_) | Self::Integer { .. } | Self::Number { .. } | Self::Boolean => false,
        }
    }

    /// Whether this is a table, or a list of tables.
    pub(crate) fn is_section(&self) -> bool {
        !self.is_short() && !self.entries().is_empty()
    }

    /// Whether this may be written as strings although it has keys.
    pub(crate) fn is_short(&self) -> bool {
        match self {
            Self::Short { .. } => true,
            Self::List { item, .. } => item.is_short(),
            _ => false,
        }
    }
}

struct Reader<'s> {
    definitions: &'s Map<String, Value>,
}

impl Reader<'_> {
    fn shape(&self, schema: &Value) -> Shape {
        let schema = self.resolved(schema);
        if let Some(short) = self.short(schema) {
            return short;
        }
        if let Some(words) = choice(schema) {
            return Shape::Choice(words);
        }
        match type_of(schema) {
            "object" => match schema.get("properties").and_then(Value::as_object) {
                Some(properties) => Shape::Table(self.entries(schema, properties)),
                None => Shape::Map(text(schema)),
            },
            "array" => self.list(schema),
            "integer" => integer(schema),
            "number" => number(schema),
            "boolean" => Shape::Boolean,
            _ => Shape::Text(text(schema)),
        }
    }

    /// Follows `$ref`, and `anyOf` with null, which is how an optional type is written.
    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let name = target.rsplit('/').next().unwrap_or_default();
            return self.definitions.get(name).unwrap_or(schema);
        }
        if self.short(schema).is_some() {
            return schema;
        }
        let options = schema.get("anyOf").and_then(Value::as_array);
        let option = options.and_then(|all| all.iter().find(|one| type_of(one) != "null"));
        option.map_or(schema, |one| self.resolved(one))
    }

    /// An untagged enum of a string and a table.
    fn short(&self, schema: &Value) -> Option<Shape> {
        let options = schema.get("anyOf")?.as_array()?;
        let mut shapes = options.iter().map(|option| self.shape(option));
        let (text, table) = (shapes.next()?, shapes.next()?);
        match (text, table) {
            (Shape::Text(text), table @ Shape::Table(_)) => {
                Some(Shape::Short { text, table: Box::new(table) })
            }
            _ => None,
        }
    }

    fn entries(&self, table: &Value, properties: &Map<String, Value>) -> Vec<Entry> {
        let required: Vec<&str> = strings(table.get("required")).collect();
        let entry = |(name, schema): (&String, &Value)| Entry {
            name: name.clone(),
            meaning: one_line(schema.get("description")),
            required: required.contains(&name.as_str()),
            default: schema.get("default").filter(|value| !value.is_null()).cloned(),
            example: schema.get("x-example").cloned(),
            shape: self.shape(schema),
        };
        properties.iter().map(entry).collect()
    }

    fn list(&self, schema: &Value) -> Shape {
        let mut item = schema
            .get("items")
            .map_or_else(|| Shape::Text(text(&Value::Null)), |items| self.shape(items));
        // schemars cannot extend the schema of a list's items, so the list carries their kind.
        if schema.get("x-kind").is_some() {
            item = Shape::Text(text(schema));
        }
        Shape::List {
            item: Box::new(item),
            min: schema.get("minItems").and_then(Value::as_u64).unwrap_or(0),
            max: schema.get("maxItems").and_then(Value::as_u64),
        }
    }
}

fn type_of(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(name)) => name,
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or("string")
        }
        _ if schema.get("properties").is_some() => "object",
        _ => "string",
    }
}

/// A unit enum, either with documented variants (`oneOf`) or without (`enum`).
fn choice(schema: &Value) -> Option<Vec<Word>> {
    if let Some(words) = schema.get("enum") {
        let word = |word: &str| Word { word: word.to_owned(), meaning: String::new() };
        return Some(strings(Some(words)).map(word).collect());
    }
    let mut words = Vec::new();
    for variant in schema.get("oneOf")?.as_array()? {
        let meaning = one_line(variant.get("description"));
        let constant = variant.get("const").and_then(Value::as_str);
        for word in constant.into_iter().chain(strings(variant.get("enum"))) {
            words.push(Word { word: word.to_owned(), meaning: meaning.clone() });
        }
    }
    Some(words)
}

/// A number without bounds of its own: those of its type, and TOML's.
const MIN: i128 = i64::MIN as i128;
const MAX: i128 = i64::MAX as i128;

fn integer(schema: &Value) -> Shape {
    let bound = |key: &str| schema.get(key).and_then(Value::as_i64).map(i128::from);
    let of_type = match schema.get("format").and_then(Value::as_str) {
        Some("uint8") => i128::from(u8::MAX),
        Some("uint16") => i128::from(u16::MAX),
        Some("uint32") => i128::from(u32::MAX),
        _ => MAX,
    };
    Shape::Integer {
        min: bound("minimum").unwrap_or(MIN),
        max: bound("maximum").unwrap_or(of_type),
    }
}

fn number(schema: &Value) -> Shape {
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    Shape::Number {
        min: bound("minimum").unwrap_or(f64::MIN),
        max: bound("maximum").unwrap_or(f64::MAX),
    }
}

fn text(schema: &Value) -> Text {
    let string = |key: &str| schema.get(key).and_then(Value::as_str);
    let word = string("x-kind").or_else(|| string("format")).unwrap_or("");
    Text {
        kind: Kind::of(word),
        min: string("x-min").map(str::to_owned),
        max: string("x-max").map(str::to_owned),
        words: strings(schema.get("x-words")).map(str::to_owned).collect(),
    }
}

fn strings(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// Doc comments keep their line breaks in the schema; a message or a table cell wants none.
fn one_line(description: Option<&Value>) -> String {
    let text = description.and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
