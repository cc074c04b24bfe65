//! `nearcast site apply FILE`.
//!
//! In: a file. Out: every `[[site]]` of it in the ledger. Always: all of them are checked first, also
//! beside each other, and nothing is written if one has a problem; problems are told at the file's own lines; one that says
//! what the ledger has already is left alone.

use std::{collections::HashMap, time::Duration};

use axum::http::Method;
use nearcast_config::{
    problem::Problem,
    site_text::{Part, split},
};
use serde_json::{Value, json};

use super::{Apply, TOML, number, path, put, read};
use crate::{
    client::{Order, Told},
    failure::Failure,
    say::say,
};

pub(super) fn apply(arguments: &Apply) -> Result<(), Failure> {
    arguments.wait.check()?;
    let parts = split(&arguments.file).map_err(|report| Failure::new(report.to_string()))?;
    check(arguments, &parts)?;
    let mut told = Vec::new();
    if arguments.dry_run {
        let checked = |part: &Part| json!({ "name": part.name, "done": "checked" });
        told.extend(parts.iter().map(checked));
    } else {
        for (index, part) in parts.iter().enumerate() {
            match write(arguments, part, index) {
                Ok(written) => told.push(written),
                Err(failure) => {
                    // What was done before is done.
                    tell(arguments, &told)?;
                    if arguments.api.json {
                        say(&json!({ "sites": told }).to_string())?;
                    }
                    return Err(failure);
                }
            }
        }
    }
    tell(arguments, &told)?;
    let newest = told.iter().map(|site| number(&site["revision"])).max().unwrap_or_default();
    let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
    arguments.wait.wait(&arguments.api, (newest, Some(&names)), json!({ "sites": told }))
}

/// Checks all of them, and tells every problem of each, and between them.
fn check(arguments: &Apply, parts: &[Part]) -> Result<(), Failure> {
    let file = arguments.file.display();
    let (mut names, mut hosts) = (HashMap::new(), HashMap::new());
    let mut wrong: Vec<String> = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        if let Some(first) = names.insert(&part.name, index) {
            let name = &part.name;
            wrong
                .push(format!("{file}: site[{index}].name = \"{name}\": site[{first}] has it too"));
            continue;
        }
        let path = format!("{}?dry_run=true", path(&part.name)?);
        let content = Some((TOML, part.text.clone()));
        let order = Order { method: Method::PUT, path: &path, fields: &[], content };
        let told = arguments.api.order(order, Duration::ZERO)?;
        for host in told.said["hosts"].as_array().into_iter().flatten() {
            let host = super::text(host).trim_end_matches('.').to_ascii_lowercase();
            match hosts.get(&host) {
                Some(first) => wrong.push(format!(
                    "{file}: site[{index}].hosts: \"{host}\" is a host of site[{first}] too"
                )),
                None => drop(hosts.insert(host, index)),
            }
        }
        if !told.status.is_success() {
            let by = told.said["site"].as_str().map(str::to_owned);
            let mut line = refused(arguments, told, (part, index));
            if let Some(by) = by.filter(|by| parts.iter().any(|other| other.name == *by)) {
                line.push_str(&format!(
                    "; where the host moves, apply site {by} without it first, by itself"
                ));
            }
            wrong.push(line);
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("{}\nnothing was written", wrong.join("\n"))))
}

fn write(arguments: &Apply, part: &Part, index: usize) -> Result<Value, Failure> {
    let there = read(&arguments.api, &part.name)?;
    let said = |done: &str, revision: &Value| json!({ "name": part.name, "done": done, "revision": revision });
    let at = match there {
        Some((revision, text)) if text == part.text.trim_start_matches('\n') => {
            return Ok(said("unchanged", &json!(revision)));
        }
        there => there.map(|(revision, _)| revision),
    };
    let told = put(&arguments.api, &path(&part.name)?, &part.text, at)?;
    if !told.status.is_success() {
        return Err(Failure::new(refused(arguments, told, (part, index))));
    }
    Ok(said(if at.is_some() { "replaced" } else { "made" }, &told.said["revision"]))
}

/// What is wrong, at the file's own places.
fn refused(arguments: &Apply, told: Told, (part, index): (&Part, usize)) -> String {
    let file = arguments.file.display();
    let problems = serde_json::from_value::<Vec<Problem>>(told.said["problems"].clone());
    match problems {
        Ok(problems) if !problems.is_empty() => {
            let line = |mut problem: Problem| {
                // The node saw this site alone.
                problem.key = problem.key.replacen("site[0]", &format!("site[{index}]"), 1);
                let separator = if problem.place.is_some() { ":" } else { ": " };
                format!("{file}{separator}{problem}")
            };
            problems.into_iter().map(line).collect::<Vec<_>>().join("\n")
        }
        _ => match told.done() {
            Err(failure) => format!("{file}: site {}: {failure}", part.name),
            Ok(_) => String::new(),
        },
    }
}

/// Tells people.
fn tell(arguments: &Apply, told: &[Value]) -> Result<(), Failure> {
    let line = |site: &Value| {
        let (name, done) = (super::text(&site["name"]), super::text(&site["done"]));
        match site["revision"].as_u64() {
            Some(revision) => format!("site {name}: {done}, revision {revision}"),
            None => format!("site {name}: {done}, no problems"),
        }
    };
    if told.is_empty() || arguments.api.json {
        return Ok(());
    }
    say(&told.iter().map(line).collect::<Vec<_>>().join("\n"))
}
