//! The schema that the settings types derive is one that the checker understands wholly.

use super::*;
use crate::compose;

/// Every schema object that `x-…` keys, bounds or a type may stand in.
fn objects<'v>(value: &'v Value, found: &mut Vec<&'v Map<String, Value>>) {
    match value {
        Value::Object(keys) => {
            found.push(keys);
            keys.values().for_each(|value| objects(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| objects(value, found)),
        _ => {}
    }
}

#[test]
fn every_kind_in_the_schema_is_known_and_every_key_of_ours_is_spelt_right() {
    let schema = compose::schema();
    let mut found = Vec::new();
    objects(&schema, &mut found);
    let mut kinds = 0;
    for object in found {
        for (key, value) in object.iter().filter(|(key, _)| key.starts_with("x-")) {
            assert!(
                ["x-kind", "x-min", "x-max", "x-words", "x-example"].contains(&&**key),
                "{key}"
            );
            if key == "x-kind" {
                kinds += 1;
                assert_ne!(Kind::of(value.as_str().unwrap()), Kind::Plain, "{value}");
            }
        }
    }
    assert!(kinds > 30);
}

fn each<'s>(shape: &'s Shape, path: &str, visit: &mut dyn FnMut(&'s Entry, &str)) {
    for entry in shape.entries() {
        let path = format!("{path}.{}", entry.name);
        visit(entry, &path);
        each(&entry.shape, &path, visit);
    }
}

fn check(shape: &Shape, value: &Value, path: &str) {
    match (shape, value) {
        (Shape::Text(text) | Shape::Short { text, .. }, Value::String(value)) => {
            assert_eq!(text.check(value), Ok(()), "{path}");
        }
        (Shape::List { item, .. }, Value::Array(items)) => {
            items.iter().for_each(|value| check(item, value, path));
        }
        (Shape::Integer { min, max }, Value::Number(number)) => {
            assert!((*min..=*max).contains(&number.as_i128().unwrap()), "{path}");
        }
        (Shape::Number { min, max }, Value::Number(number)) => {
            assert!((*min..=*max).contains(&number.as_f64().unwrap()), "{path}");
        }
        (Shape::Choice(words), Value::String(value)) => {
            assert!(words.iter().any(|word| word.word == *value), "{path}");
        }
        (Shape::Boolean, Value::Bool(_)) | (Shape::Map(_), Value::Object(_)) => {}
        _ => panic!("{path}: {value} is of another type"),
    }
}

#[test]
fn every_default_and_example_keeps_its_own_bounds() {
    let mut checked = 0;
    each(&Shape::of(&compose::schema()), "", &mut |entry, path| {
        for value in entry.default.iter().chain(&entry.example) {
            if !entry.shape.is_section() {
                check(&entry.shape, value, path);
                checked += 1;
            }
        }
    });
    assert!(checked > 50);
}

#[test]
fn everything_that_has_a_size_is_bounded() {
    each(&Shape::of(&compose::schema()), "", &mut |entry, path| match &entry.shape {
        Shape::Integer { min, max } => {
            assert!(*min > i128::from(i64::MIN) && *max < i128::from(i64::MAX), "{path}");
        }
        Shape::Number { min, max } => assert!(*min > f64::MIN && *max < f64::MAX, "{path}"),
        Shape::Text(text) if matches!(text.kind, Kind::Duration | Kind::Bytes) => {
            let bound =
                |bound: &Option<String>| bound.as_ref().and_then(|text_| text.amount(text_));
            assert!(bound(&text.min).unwrap() < bound(&text.max).unwrap(), "{path}");
        }
        _ => {}
    });
}

#[test]
fn only_what_holds_a_secret_hides() {
    let shape = Shape::of(&compose::schema());
    let mut hidden = Vec::new();
    each(&shape, "", &mut |entry, path| {
        if entry.shape.hides() {
            hidden.push(path.to_owned());
        }
    });
    assert_eq!(hidden, [".geodns", ".geodns.cookies", ".geodns.cookies.secrets"]);
}
