//! A line of the query log.
//!
//! In: a query and what came of it. Out: one object of JSON (RFC 8259) on one line.
//! Always holds: what a client wrote is escaped twice, as a name (RFC 1035 §5.1) and as JSON, and
//! so moves nobody's terminal; a line has a few hundred bytes, since a name and an address have.
//! The numbers: times are seconds since the epoch.

use std::fmt::Write as _;

use geodns_core::{
    answer::{Facts, Reply, Silence},
    wire::query::{Decoded, Dropped, Query, decode},
};
use nearcast_daemon::json::json_string;

use super::{
    Noted,
    labels::Labels,
    page::{class_word, origin_word, standing_word},
};

/// See the module.
pub(super) struct Line<'a> {
    pub(super) noted: &'a Noted<'a>,
    pub(super) labels: &'a Labels,
    /// Room to write names in.
    pub(super) text: &'a mut String,
}

impl Line<'_> {
    pub(super) fn write(mut self, line: &mut Vec<u8>) {
        let Noted { asked, port, now, .. } = *self.noted;
        line.extend_from_slice(b"{\"time\":");
        let unix = now.unix;
        self.show(line, format_args!("{}.{:03}", unix.as_secs(), unix.subsec_millis()));
        self.said(line, "client", format_args!("{}", asked.peer.to_canonical()));
        line.extend_from_slice(b",\"port\":");
        self.show(line, format_args!("{port}"));
        self.said(line, "transport", format_args!("{}", asked.transport.as_str()));
        if let Decoded::Asked(query) | Decoded::Faulty { query, .. } = decode(asked.message) {
            self.write_query(line, &query);
        }
        match self.noted.reply {
            Reply::Send { bytes, facts } => {
                self.write_facts(line, facts);
                line.extend_from_slice(b",\"bytes\":");
                self.show(line, format_args!("{bytes}"));
            }
            Reply::Drop(Silence::Limited(facts)) => {
                self.write_facts(line, facts);
                self.said(line, "dropped", format_args!("limited"));
            }
            Reply::Drop(Silence::NoQuery(Dropped::TooShort)) => {
                self.said(line, "dropped", format_args!("too short"));
            }
            Reply::Drop(Silence::NoQuery(Dropped::Response)) => {
                self.said(line, "dropped", format_args!("response"));
            }
            Reply::Drop(Silence::NoRoom) => self.said(line, "dropped", format_args!("no room")),
        }
        line.push(b'}');
    }

    fn write_query(&mut self, line: &mut Vec<u8>, query: &Query<'_>) {
        if let Some(question) = query.question {
            self.said(line, "name", format_args!("{}", question.name));
            self.said(line, "type", format_args!("{}", question.rtype));
        }
        if let Some(ecs) = query.edns.and_then(|edns| edns.ecs) {
            let length = ecs.source_prefix_length();
            self.said(line, "subnet", format_args!("{}/{length}", ecs.address()));
        }
    }

    fn write_facts(&mut self, line: &mut Vec<u8>, facts: &Facts) {
        let labels = self.labels;
        self.said(line, "rcode", format_args!("{}", facts.rcode.as_str()));
        self.said(line, "class", format_args!("{}", class_word(facts.class)));
        if let Some(zone) = facts.zone.and_then(|zone| labels.zone_name(zone)) {
            self.said(line, "zone", format_args!("{zone}"));
        }
        if let Some(scope) = facts.scope {
            line.extend_from_slice(b",\"scope\":");
            self.show(line, format_args!("{scope}"));
        }
        if let Some(routed) = &facts.routed {
            if let Some(pop) = routed.pop.and_then(|pop| labels.pop_name(pop)) {
                self.said(line, "pop", format_args!("{pop}"));
            }
            self.said(line, "located", format_args!("{}", origin_word(routed.origin)));
            self.said(line, "known", format_args!("{}", routed.known.as_str()));
        }
        if facts.cookie.is_some() {
            self.said(line, "cookie", format_args!("{}", standing_word(facts.cookie)));
        }
        if let Some(emptied) = facts.emptied {
            self.said(line, "truncated", format_args!("{}", emptied.as_str()));
        }
    }

    /// A key, and text as a string.
    fn said(&mut self, line: &mut Vec<u8>, key: &str, value: std::fmt::Arguments<'_>) {
        line.extend_from_slice(b",\"");
        line.extend_from_slice(key.as_bytes());
        line.extend_from_slice(b"\":");
        self.text.clear();
        // Nothing that is shown here fails to be.
        if self.text.write_fmt(value).is_ok() {
            json_string(line, self.text.as_bytes());
        }
    }

    /// A number.
    fn show(&mut self, line: &mut Vec<u8>, value: std::fmt::Arguments<'_>) {
        self.text.clear();
        if self.text.write_fmt(value).is_ok() {
            line.extend_from_slice(self.text.as_bytes());
        }
    }
}
