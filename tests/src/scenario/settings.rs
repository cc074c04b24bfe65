//! What the operator said, as TOML: the `edge`, `site` and `rule` blocks.
//!
//! In: the blocks' lines. Out: one `[edge]` table and the `[[site]]` tables, defaults filled in.
//! Always holds: there is at least one site, and every site has a name, hosts, an origin.

use toml::{Table, Value};

/// One `[[site]]`.
pub type SiteTable = Table;

/// The settings of a scenario.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// `[edge]`, only what differs from the defaults.
    pub edge: Table,
    /// The sites.
    pub sites: Vec<SiteTable>,
}

impl Settings {
    /// Takes an `edge` block in.
    pub(super) fn add_edge(&mut self, text: &str) -> Result<(), String> {
        merge(&mut self.edge, table(text)?);
        Ok(())
    }

    /// Takes a `site [NAME]` block in.
    pub(super) fn add_site(&mut self, name: &str, text: &str) -> Result<(), String> {
        let more = table(text)?;
        merge(self.site(name), more);
        Ok(())
    }

    /// Takes a `rule [SITE]` block in.
    pub(super) fn add_rule(&mut self, site: &str, text: &str) -> Result<(), String> {
        let mut rule = table(text)?;
        rule.entry("path").or_insert_with(|| Value::from("*"));
        let rules = self.site(site).entry("rule").or_insert_with(|| Value::Array(Vec::new()));
        let Value::Array(rules) = rules else { return Err("rule is no list".to_owned()) };
        rules.push(Value::Table(rule));
        Ok(())
    }

    /// Sees to it that there is a site.
    pub(super) fn complete(&mut self) {
        if self.sites.is_empty() {
            self.site("www");
        }
    }

    fn site(&mut self, name: &str) -> &mut SiteTable {
        let named = |site: &SiteTable| site.get("name").and_then(Value::as_str) == Some(name);
        let at = match self.sites.iter().position(named) {
            Some(at) => at,
            None => {
                self.sites.push(default_site(name));
                self.sites.len() - 1
            }
        };
        &mut self.sites[at]
    }
}

fn default_site(name: &str) -> SiteTable {
    let mut site = Table::new();
    site.insert("name".to_owned(), name.into());
    site.insert("hosts".to_owned(), Value::Array(vec![format!("{name}.example").into()]));
    let mut origin = Table::new();
    origin.insert("servers".to_owned(), Value::Array(vec!["http://origin.example".into()]));
    site.insert("origin".to_owned(), Value::Table(origin));
    site
}

fn table(text: &str) -> Result<Table, String> {
    text.parse::<Table>().map_err(|error| error.to_string())
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(own)), Value::Table(more)) => merge(own, more),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_change_only_what_they_name() {
        let mut settings = Settings::default();
        settings.add_site("www", "origin.queue_max = 3\nhosts = [\"a.example\"]").unwrap();
        settings.add_rule("www", "default_ttl = \"1s\"").unwrap();
        settings.add_edge("limits.uri_bytes_max = \"1 KiB\"").unwrap();
        settings.complete();
        let site = &settings.sites[0];
        assert_eq!(site["origin"]["queue_max"].as_integer(), Some(3));
        assert!(site["origin"]["servers"].is_array());
        assert_eq!(site["hosts"].as_array().map(Vec::len), Some(1));
        assert_eq!(site["rule"][0]["path"].as_str(), Some("*"));
        assert!(settings.add_edge("nonsense").is_err());
    }
}
