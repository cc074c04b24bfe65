//! From the settings as typed to a [`Site`], with every problem at once.
//!
//! In: [`SiteSettings`] and [`EdgeSettings`]. Out: a site, or all [`Problem`]s. Bounds of numbers
//! are the schema's business; what is checked here is what a value cannot be built without.

use std::{borrow::Cow, net::Ipv6Addr, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, StatusCode};
use humantime_serde::re::humantime;

use super::{
    BucketPlan, CheckPlan, Host, HostChoice, HostPattern, Identity, OriginPlan, PathPattern,
    Policy, Problem, Rule, ServerAddress, Site, SiteId, origin, path,
};
use crate::{
    forward::is_of_peer,
    key::{NamePattern, Parameters, QueryPlan},
    purge::FOR_CACHES,
    settings::{
        EdgeSettings, OriginCheckKind, OriginSettings, QueryMode, QuerySettings, RuleSettings,
        SiteSettings,
    },
};

impl Site {
    /// The site that the settings describe.
    ///
    /// # Errors
    /// Everything in the settings that no site can be built from.
    pub fn build(
        settings: &SiteSettings,
        edge: &EdgeSettings,
        id: SiteId,
    ) -> Result<Self, Vec<Problem>> {
        let mut faults = Faults::default();
        let shared = Shared::of(edge);
        if !is_label(&settings.name) {
            faults.add("name".to_owned(), &settings.name, "a DNS label: a-z, 0-9 and inner -");
        }
        let hosts = hosts(&settings.hosts, &mut faults);
        let origin = origin(&settings.name, &settings.origin, &mut faults);
        let mut rules = Vec::new();
        for (index, rule) in settings.rules.iter().enumerate() {
            let at = format!("rule[{index}]");
            let policy = policy(rule, &shared, &at, &mut faults);
            let path = path::normal(&rule.path);
            match (PathPattern::parse(&path), PathPattern::parse(&path::resolved(&path))) {
                (Some(pattern), Some(resolved)) => rules.push(Rule { pattern, resolved, policy }),
                _ => faults.add(format!("{at}.path"), &rule.path, "a path from / on, or *"),
            }
        }
        if !faults.0.is_empty() {
            return Err(faults.0);
        }
        let mut site = Self {
            id,
            name: settings.name.as_str().into(),
            hosts,
            origin: Arc::new(origin),
            rules,
            ambiguous: Policy { cache: false, ..shared.fallback() },
            fallback: shared.fallback(),
        };
        if site.origin.bucket.is_some() {
            site.leave_out_queries();
        }
        Ok(site)
    }

    /// No query reaches the origin, and so none tells responses apart.
    fn leave_out_queries(&mut self) {
        let rules = self.rules.iter_mut().map(|rule| &mut rule.policy);
        for policy in rules.chain([&mut self.ambiguous, &mut self.fallback]) {
            policy.query = QueryPlan { keep: Parameters::None, sort: false };
        }
    }

    /// The policy of a path: that of the first rule whose pattern matches.
    ///
    /// Many origins decode and resolve a path before they route, so that it leaves the rule it
    /// seems to be under: `/static/..%2Faccount` would store an account by the rule for `/static/*`
    /// (RFC 3986 §6.2.2, §6.2.3). A path is therefore looked at in both readings. Where they fall
    /// under different rules, or where a dot segment says to go elsewhere, which no client leaves
    /// in a path, nothing is stored.
    #[must_use]
    pub fn policy(&self, path: &str) -> &Policy {
        if self.rules.is_empty() || path::is_plain(path) {
            return self.policy_of(self.rule(|rule| rule.pattern.matches(path)));
        }
        let normal = path::normal(path);
        let resolved = path::resolved(&normal);
        if path::has_dot_segment(&resolved) {
            return &self.ambiguous;
        }
        let as_it_came = self.rule(|rule| rule.pattern.matches(&normal));
        let as_resolved = match &resolved {
            Cow::Borrowed(_) => as_it_came,
            Cow::Owned(path) => self.rule(|rule| rule.resolved.matches(path)),
        };
        if as_it_came == as_resolved { self.policy_of(as_it_came) } else { &self.ambiguous }
    }

    fn rule(&self, matches: impl Fn(&Rule) -> bool) -> Option<usize> {
        self.rules.iter().position(matches)
    }

    fn policy_of(&self, rule: Option<usize>) -> &Policy {
        rule.and_then(|index| self.rules.get(index)).map_or(&self.fallback, |rule| &rule.policy)
    }
}

impl Default for Policy {
    /// The policy of a rule that says nothing, without targeted and withheld fields.
    fn default() -> Self {
        Shared::default().fallback()
    }
}

/// What the policies of all rules and sites share.
#[derive(Default)]
struct Shared {
    targeted_fields: Arc<[HeaderName]>,
    withheld_fields: Arc<[HeaderName]>,
}

impl Shared {
    fn of(edge: &EdgeSettings) -> Self {
        // A fault of [edge] is reported there, by its own check.
        let targeted = edge.targeted_fields.iter().filter_map(|name| name.parse().ok());
        let withheld_fields = if edge.tags_to_clients { Arc::default() } else { FOR_CACHES.into() };
        Self { targeted_fields: targeted.collect(), withheld_fields }
    }

    /// The policy of a rule that says nothing.
    fn fallback(&self) -> Policy {
        policy(&RuleSettings::default(), self, "", &mut Faults::default())
    }
}

/// What was found wrong so far.
#[derive(Default)]
pub(super) struct Faults(pub(super) Vec<Problem>);

impl Faults {
    pub(super) fn add(&mut self, at: String, value: &str, allowed: &str) {
        self.0.push(Problem { at, message: format!("\"{value}\" is not {allowed}") });
    }
}

fn hosts(texts: &[String], faults: &mut Faults) -> Vec<HostPattern> {
    if texts.is_empty() {
        faults.0.push(Problem { at: "hosts".to_owned(), message: "at least one host".to_owned() });
    }
    let mut hosts = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match HostPattern::parse(text) {
            Some(host) => hosts.push(host),
            None => faults.add(
                format!("hosts[{index}]"),
                text,
                "a host name without port, *.name, or *",
            ),
        }
    }
    hosts
}

fn origin(site: &str, settings: &OriginSettings, faults: &mut Faults) -> OriginPlan {
    let servers = origin::servers(&settings.servers, faults);
    if let Some(sni) = &settings.sni
        && !is_name(sni)
    {
        faults.add("origin.sni".to_owned(), sni, "a host name");
    }
    let (bucket, check) = bucket_and_check(settings, faults);
    OriginPlan {
        site: site.into(),
        servers,
        host: host_choice(&settings.host, faults),
        sni: settings.sni.clone(),
        ca: settings.ca.clone(),
        identity: identity(settings, faults),
        protocol: settings.protocol,
        proxy_protocol: settings.proxy_protocol,
        connections_max: settings.connections_max,
        queue_max: settings.queue_max,
        queue_timeout: settings.queue_timeout,
        connect_timeout: settings.connect_timeout,
        first_byte_timeout: settings.first_byte_timeout,
        idle_timeout: settings.idle_timeout,
        keep_alive: settings.keep_alive,
        ejection: origin::ejection(settings),
        error_statuses: origin::error_statuses(&settings.error_statuses, faults),
        retry_percent: settings.retry_percent,
        balance: origin::balance(settings),
        takeover_after: settings.takeover_after,
        slow_start: settings.slow_start,
        concurrency: settings.concurrency,
        hedge_after: settings.hedge_after,
        check: check.map(Arc::new),
        bucket,
    }
}

/// The bucket, and the check, which has to ask for what a bucket is asked for.
fn bucket_and_check(
    settings: &OriginSettings,
    faults: &mut Faults,
) -> (Option<BucketPlan>, Option<CheckPlan>) {
    let bucket = settings.bucket.as_ref().map(|bucket| BucketPlan::build(bucket, faults));
    let check = settings.check.as_ref().map(|check| CheckPlan::build(check, faults));
    let (Some(plan), Some(asks)) = (&bucket, &check) else { return (bucket, check) };
    if asks.kind == OriginCheckKind::Http
        && let Err(withheld) = plan.object_path(asks.target.path())
    {
        let message = format!("never asked of a bucket, so never passed: {withheld}");
        faults.0.push(Problem { at: "origin.check.path".to_owned(), message });
    }
    (bucket, check)
}

/// A certificate with its key.
fn identity(settings: &OriginSettings, faults: &mut Faults) -> Option<Identity> {
    let missing = match (settings.certificate.clone(), settings.key.clone()) {
        (Some(certificate), Some(key)) => return Some(Identity { certificate, key }),
        (None, None) => return None,
        (Some(_), None) => "key",
        (None, Some(_)) => "certificate",
    };
    let message = "missing, and one is of no use without the other".to_owned();
    faults.0.push(Problem { at: format!("origin.{missing}"), message });
    None
}

fn host_choice(text: &str, faults: &mut Faults) -> HostChoice {
    match text {
        "server" => return HostChoice::Server,
        "client" => return HostChoice::Client,
        _ => {}
    }
    // The operator's own form is sent, port included.
    let value = Host::parse(text).and_then(|_| HeaderValue::from_str(text).ok());
    value.map_or_else(
        || {
            faults.add("origin.host".to_owned(), text, "server, client or a host name");
            HostChoice::Server
        },
        HostChoice::Name,
    )
}

impl ServerAddress {
    /// Reads `http://host[:port]`, or `http+srv://name` for a service, or the same with `https`; a
    /// slash at its end is allowed.
    #[must_use]
    pub fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (tls, is_service) = match scheme {
            "http" => (false, false),
            "https" => (true, false),
            "http+srv" => (false, true),
            "https+srv" => (true, true),
            _ => return None,
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let host = Host::parse(authority)?;
        if is_service {
            return Self::of_service(tls, authority, host.as_str());
        }
        let default = if tls { 443 } else { 80 };
        let after_address = authority.rsplit(']').next().unwrap_or_default();
        let port = match after_address.split_once(':') {
            Some((_, digits)) => digits.parse().ok().filter(|port| *port != 0)?,
            None => default,
        };
        let name = host.as_str();
        let authority = if port == default { name.to_owned() } else { format!("{name}:{port}") };
        let host = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        let service = None;
        (is_name(&host) || host.parse::<Ipv6Addr>().is_ok()).then_some(Self {
            tls,
            host,
            port,
            service,
            authority,
        })
    }

    /// A service by its own name, `_service._tcp.name`, or by that of its domain. The domain is who
    /// is asked for, by Host and in the certificate: what SRV records say is not authentic
    /// (RFC 6125 §6.2.1, RFC 9525 §6.1).
    fn of_service(tls: bool, authority: &str, name: &str) -> Option<Self> {
        let has_letters = name.rsplit('.').next()?.bytes().any(|byte| byte.is_ascii_alphabetic());
        if authority.contains([':', '[']) || !is_name(name) || !has_letters {
            return None;
        }
        let (default, port) = if tls { ("_https", 443) } else { ("_http", 80) };
        let (service, host) = if name.starts_with('_') {
            let (_, rest) = name.split_once('.')?;
            let host = rest.strip_prefix("_tcp.")?;
            (name.to_owned(), host.to_owned())
        } else {
            (format!("{default}._tcp.{name}"), name.to_owned())
        };
        let authority = host.clone();
        (!host.is_empty()).then_some(Self { tls, host, port, service: Some(service), authority })
    }
}

/// A host name or an IPv4 address, as DNS and certificates know them.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

/// A DNS label in lower case (RFC 1123 §2.1).
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn policy(rule: &RuleSettings, shared: &Shared, at: &str, faults: &mut Faults) -> Policy {
    if let (Some(min_ttl), Some(max_ttl)) = (rule.min_ttl, rule.max_ttl)
        && min_ttl > max_ttl
    {
        let message = "min_ttl is greater than max_ttl".to_owned();
        faults.0.push(Problem { at: format!("{at}.min_ttl"), message });
    }
    Policy {
        cache: rule.cache,
        default_ttl: rule.default_ttl,
        min_ttl: rule.min_ttl,
        max_ttl: rule.max_ttl,
        negative_ttl: negative_ttl(rule, at, faults),
        heuristic_percent: rule.heuristic_percent,
        heuristic_max: rule.heuristic_max,
        stale_while_revalidate: rule.stale_while_revalidate,
        stale_if_error: rule.stale_if_error,
        stale_on_failure: rule.stale_on_failure,
        honour_client_reload: rule.honour_client_reload,
        query: query(&rule.query),
        key_fields: key_fields(&rule.key_fields, at, faults),
        targeted_fields: Arc::clone(&shared.targeted_fields),
        withheld_fields: Arc::clone(&shared.withheld_fields),
    }
}

fn negative_ttl(rule: &RuleSettings, at: &str, faults: &mut Faults) -> Vec<(StatusCode, Duration)> {
    let mut ttls = Vec::new();
    for (status, ttl) in &rule.negative_ttl {
        let at = format!("{at}.negative_ttl.{status}");
        let code =
            status.parse().ok().filter(|code: &StatusCode| (400..600).contains(&code.as_u16()));
        match (code, humantime::parse_duration(ttl)) {
            (Some(code), Ok(ttl)) => ttls.push((code, ttl)),
            (None, _) => faults.add(at, status, "an error status from 400 to 599"),
            (Some(_), Err(_)) => faults.add(at, ttl, "a duration such as \"10s\""),
        }
    }
    ttls
}

fn key_fields(names: &[String], at: &str, faults: &mut Faults) -> Vec<HeaderName> {
    let mut fields = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let at = format!("{at}.key_fields[{index}]");
        match name.parse() {
            Ok(field) if is_of_peer(&field) => {
                faults.add(
                    at,
                    name,
                    "a field that clients set: the edge writes it for each of them",
                );
            }
            Ok(field) => fields.push(field),
            Err(_) => faults.add(at, name, "a field name"),
        }
    }
    fields
}

fn query(settings: &QuerySettings) -> QueryPlan {
    let patterns = || settings.names.iter().map(|name| NamePattern::parse(name)).collect();
    let keep = match settings.mode {
        QueryMode::All => Parameters::All,
        QueryMode::None => Parameters::None,
        QueryMode::Keep => Parameters::Only(patterns()),
        QueryMode::Drop => Parameters::Except(patterns()),
    };
    QueryPlan { keep, sort: settings.sort }
}
