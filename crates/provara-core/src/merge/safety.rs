//! The safety policies of two vaults that are merged: the most restrictive wins, and what would
//! loosen a tier is refused (`PROVARA_E400`).

use std::cmp::Ordering;

use crate::canonical::token_preserving;
use crate::json::Value;

/// The tiers, from harmless to irreversible.
const TIERS: [&str; 4] = ["L0", "L1", "L2", "L3"];

/// The approvals that a tier may ask for, from the loosest.
const APPROVALS: [&str; 4] = [
    "local_reducer",
    "local_reducer+policy",
    "multi_sensor+signed_policy",
    "remote_signature_or_mfa",
];

/// A rule of a tier that the other vault has looser, or in a form that cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loosening {
    /// `L0` to `L3`.
    pub tier: &'static str,
    /// The member of the tier.
    pub rule: String,
    /// Its JSON in this vault; `nothing` where it is absent.
    pub ours: String,
    /// Its JSON in the other.
    pub theirs: String,
}

impl std::fmt::Display for Loosening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            tier,
            rule,
            ours,
            theirs,
        } = self;
        write!(f, "{tier}: '{rule}' is {ours} here and {theirs} there")
    }
}

/// What comes of two policies.
#[derive(Debug, Clone, PartialEq)]
pub enum Ratchet {
    /// The policy stays as it is.
    Unchanged,
    /// The other vault is stricter somewhere and nowhere looser: this vault's policy with the
    /// stricter rules.
    Tightened(Value<'static>),
    /// The other vault is looser: merged without a word, one of the two would lose a safeguard.
    Loosened(Vec<Loosening>),
}

/// Holds the safety policy of the other vault against this one's.
///
/// Only members that restrict are compared: `offline_allowed` (`true`, then `"within_lease"`, then
/// `false`), `approval` (in the order of the tiers that `init` writes) and `review_on_sync` (true
/// restricts). Any other difference cannot be shown to be no
/// loosening, and counts as one; a `description` restricts nothing.
#[must_use]
pub fn ratchet(ours: &Value<'_>, theirs: &Value<'_>) -> Ratchet {
    let mut result = ours.clone().into_owned();
    let mut tightened = false;
    let mut loosened = Vec::new();
    for tier in TIERS {
        let rules = |policy: &Value<'_>| {
            let class = policy.get("action_classes").and_then(|all| all.get(tier));
            class.map(|class| class.clone().into_owned())
        };
        let (our_class, their_class) = (rules(ours), rules(theirs));
        let mut names: Vec<String> = Vec::new();
        for class in [&our_class, &their_class].into_iter().flatten() {
            let members = class.as_object().into_iter().flatten();
            names.extend(members.map(|(name, _)| name.to_string()));
        }
        names.sort_unstable();
        names.dedup();
        for name in names.into_iter().filter(|name| name != "description") {
            let get = |class: &Option<Value<'static>>| class.as_ref()?.get(&name).cloned();
            let (our_rule, their_rule) = (get(&our_class), get(&their_class));
            match strictness(&name, our_rule.as_ref(), their_rule.as_ref()) {
                Some(Ordering::Equal) => {}
                Some(Ordering::Less) => {
                    tightened = true;
                    set_rule(&mut result, tier, &name, their_rule);
                }
                Some(Ordering::Greater) | None => loosened.push(Loosening {
                    tier,
                    rule: name,
                    ours: shown(our_rule.as_ref()),
                    theirs: shown(their_rule.as_ref()),
                }),
            }
        }
    }
    match (loosened.is_empty(), tightened) {
        (false, _) => Ratchet::Loosened(loosened),
        (true, true) => Ratchet::Tightened(result),
        (true, false) => Ratchet::Unchanged,
    }
}

/// How strict the first is beside the second: greater is stricter. `None` where that cannot be told.
fn strictness(
    name: &str,
    ours: Option<&Value<'_>>,
    theirs: Option<&Value<'_>>,
) -> Option<Ordering> {
    if ours == theirs {
        return Some(Ordering::Equal);
    }
    let rank = |value: Option<&Value<'_>>| match (name, value) {
        ("offline_allowed", Some(Value::Bool(true))) => Some(0),
        ("offline_allowed", Some(Value::String(text))) if text == "within_lease" => Some(1),
        ("offline_allowed", Some(Value::Bool(false))) => Some(2),
        ("offline_allowed", _) => None,
        ("approval", Some(Value::String(text))) => {
            APPROVALS.iter().position(|approval| approval == text)
        }
        ("approval", _) => None,
        ("review_on_sync", None | Some(Value::Bool(false))) => Some(0),
        ("review_on_sync", Some(Value::Bool(true))) => Some(1),
        _ => None,
    };
    Some(rank(ours)?.cmp(&rank(theirs)?))
}

/// Sets a rule of a tier. Both the tier and its table are there: one of the two sides has the rule.
fn set_rule(policy: &mut Value<'static>, tier: &str, name: &str, rule: Option<Value<'static>>) {
    fn member<'v>(value: &'v mut Value<'static>, key: &str) -> Option<&'v mut Value<'static>> {
        let Value::Object(members) = value else {
            return None;
        };
        let at = members.iter().position(|(name, _)| name == key);
        let at = at.unwrap_or_else(|| {
            members.push((key.to_owned().into(), Value::Object(Vec::new())));
            members.len() - 1
        });
        Some(&mut members[at].1)
    }
    let class = member(policy, "action_classes").and_then(|classes| member(classes, tier));
    if let (Some(place), Some(rule)) = (class.and_then(|class| member(class, name)), rule) {
        *place = rule;
    }
}

fn shown(rule: Option<&Value<'_>>) -> String {
    rule.map_or_else(
        || "nothing".to_owned(),
        |rule| String::from_utf8_lossy(&token_preserving(rule)).into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn policy(l1: &str) -> Value<'static> {
        let text = format!(
            r#"{{"action_classes":{{"L0":{{}},"L1":{l1},"L2":{{}},"L3":{{}}}},"merge_ratchet":"most_restrictive_wins"}}"#
        );
        json::parse(text.as_bytes()).unwrap().into_owned()
    }

    #[test]
    fn the_stricter_rule_is_taken_over_and_the_looser_one_refused() {
        let loose = policy(r#"{"approval":"local_reducer","offline_allowed":true}"#);
        let strict = policy(
            r#"{"approval":"multi_sensor+signed_policy","offline_allowed":"within_lease","review_on_sync":true}"#,
        );
        assert_eq!(ratchet(&loose, &loose), Ratchet::Unchanged);
        let Ratchet::Tightened(result) = ratchet(&loose, &strict) else {
            panic!();
        };
        assert_eq!(result, strict);
        let Ratchet::Loosened(loosened) = ratchet(&strict, &loose) else {
            panic!();
        };
        let rules: Vec<_> = loosened.iter().map(|one| one.rule.as_str()).collect();
        assert_eq!(rules, ["approval", "offline_allowed", "review_on_sync"]);
        assert_eq!(
            loosened[1].to_string(),
            "L1: 'offline_allowed' is \"within_lease\" here and true there"
        );
    }

    #[test]
    fn what_cannot_be_compared_counts_as_looser_and_a_description_as_nothing() {
        let ours = policy(r#"{"approval":"local_reducer","description":"a"}"#);
        assert_eq!(
            ratchet(
                &ours,
                &policy(r#"{"approval":"local_reducer","description":"b"}"#)
            ),
            Ratchet::Unchanged
        );
        for other in [
            r#"{"approval":"nobody"}"#,
            r#"{}"#,
            r#"{"approval":"local_reducer","quorum":3}"#,
        ] {
            assert!(
                matches!(ratchet(&ours, &policy(other)), Ratchet::Loosened(_)),
                "{other}"
            );
        }
    }
}
