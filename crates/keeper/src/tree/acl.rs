//! Access rules: which are well formed, and whom they let in.
//!
//! The schemes are `world`, `auth` (expands to the asker's own identities), `digest` and `ip`, as in a ZooKeeper
//! server without further providers.

use std::net::IpAddr;

use super::types::{Acl, AclList, ErrorCode, Id};

/// Whether one of `ids` may do `wanted` with a node of these rules (`ZooKeeperServer.checkACL`).
pub fn check(acl: &[Acl], wanted: i32, ids: &[Id]) -> Result<(), ErrorCode> {
    if acl.is_empty() || ids.iter().any(|id| id.scheme == "super") {
        return Ok(());
    }
    let allowed = acl.iter().any(|rule| rule.perms & wanted != 0 && lets_in(&rule.id, ids));
    if allowed { Ok(()) } else { Err(ErrorCode::NoAuth) }
}

fn lets_in(rule: &Id, ids: &[Id]) -> bool {
    match rule.scheme.as_str() {
        "world" => rule.id == "anyone",
        "digest" => ids.contains(rule),
        "ip" => ids.iter().any(|id| id.scheme == "ip" && ip_matches(&id.id, &rule.id)),
        _ => false,
    }
}

/// The rules as they are stored: duplicates dropped, `auth` expanded (`PrepRequestProcessor.fixupACL`).
///
/// # Errors
/// `InvalidAcl` for an empty list, an unknown scheme, a malformed id, or `auth` from an asker without identity.
pub fn resolve(wanted: &[Acl], ids: &[Id]) -> Result<AclList, ErrorCode> {
    let mut resolved: Vec<Acl> = Vec::with_capacity(wanted.len());
    for (index, rule) in wanted.iter().enumerate() {
        if wanted.iter().take(index).any(|earlier| earlier == rule) {
            continue;
        }
        match rule.id.scheme.as_str() {
            "world" if rule.id.id == "anyone" => resolved.push(rule.clone()),
            "auth" => expand_auth(rule.perms, ids, &mut resolved)?,
            "digest" if is_digest(&rule.id.id) => resolved.push(rule.clone()),
            "ip" if is_ip(&rule.id.id) => resolved.push(rule.clone()),
            _ => return Err(ErrorCode::InvalidAcl),
        }
    }
    if resolved.is_empty() { Err(ErrorCode::InvalidAcl) } else { Ok(resolved.into()) }
}

/// Only a digest proves who somebody is; an address does not.
fn expand_auth(perms: i32, ids: &[Id], resolved: &mut Vec<Acl>) -> Result<(), ErrorCode> {
    let before = resolved.len();
    let proven = ids.iter().filter(|id| id.scheme == "digest");
    resolved.extend(proven.map(|id| Acl { perms, id: id.clone() }));
    if before == resolved.len() { Err(ErrorCode::InvalidAcl) } else { Ok(()) }
}

/// Two parts around one colon. Empty parts at the end do not count, as Java's `split` drops them.
fn is_digest(id: &str) -> bool {
    id.trim_end_matches(':').split(':').count() == 2 && !id.trim_end_matches(':').is_empty()
}

fn is_ip(rule: &str) -> bool {
    parse_ip_rule(rule).is_some()
}

/// An address with an optional prefix length, which defaults to the whole address.
fn parse_ip_rule(rule: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = match rule.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (rule, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        Some(bits) => bits.parse().ok().filter(|bits| *bits <= width)?,
        None => width,
    };
    Some((address, bits))
}

fn ip_matches(remote: &str, rule: &str) -> bool {
    let (Ok(remote), Some((address, bits))) = (remote.parse::<IpAddr>(), parse_ip_rule(rule)) else { return false };
    match (remote, address) {
        (IpAddr::V4(remote), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            u32::from(remote) & mask == u32::from(address) & mask
        }
        (IpAddr::V6(remote), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            u128::from(remote) & mask == u128::from(address) & mask
        }
        _ => false,
    }
}

/// The rules as shown to somebody without the right to administer the node: digests are masked.
pub fn masked(acl: &[Acl]) -> Vec<Acl> {
    let mask = |rule: &Acl| {
        let Some((user, _)) = rule.id.id.split_once(':').filter(|_| rule.id.scheme == "digest") else {
            return rule.clone();
        };
        Acl { perms: rule.perms, id: Id::new("digest", format!("{user}:x")) }
    };
    acl.iter().map(mask).collect()
}
