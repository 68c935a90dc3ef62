//! What an expression comes to for one event.
//!
//! `None` is what cannot be computed: a member that is not there, values that do not compare. As in CEL,
//! `&&` and `||` do without it where the other side decides, and where it is the result the event is not
//! chosen.

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;

use provara_core::json::{self, Value};

use crate::node::{Comparison, Macro, Node, TextTest};
use crate::number;

/// The value of a part.
enum Worth<'v> {
    Json(Cow<'v, Value<'v>>),
    Time(jiff::Timestamp),
}

impl Worth<'_> {
    fn truth(&self) -> Option<bool> {
        match self {
            Self::Json(value) => value.as_bool(),
            Self::Time(_) => None,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Json(value) => value.as_str(),
            Self::Time(_) => None,
        }
    }
}

/// The expression took more steps than it may.
pub(crate) struct Exhausted;

/// Whether the expression is true for the event.
pub(crate) fn holds(node: &Node, event: &Value<'_>) -> Result<bool, Exhausted> {
    let run = Run {
        event,
        steps: Cell::new(crate::limits::MAX_STEPS),
    };
    let truth = run.truth(node, &mut Vec::new());
    match run.steps.get() {
        0 => Err(Exhausted),
        _ => Ok(truth == Some(true)),
    }
}

struct Run<'v> {
    event: &'v Value<'v>,
    /// How many steps are left; with none left, nothing can be computed any more.
    steps: Cell<u64>,
}

/// What the macros around a part are at, the outermost first.
type Scope<'v> = Vec<Cow<'v, Value<'v>>>;

impl<'v> Run<'v> {
    /// Takes steps; `None` where they do not suffice.
    fn step(&self, count: u64) -> Option<()> {
        let left = self.steps.get().saturating_sub(count);
        self.steps.set(left);
        (left > 0).then_some(())
    }

    fn read(&self, text: &str) -> Option<()> {
        self.step(1 + text.len() as u64 / 16)
    }

    fn truth(&self, node: &'v Node, scope: &mut Scope<'v>) -> Option<bool> {
        self.step(1)?;
        match node {
            Node::Not(inner) => self.truth(inner, scope).map(|truth| !truth),
            Node::And(nodes) => self.any(nodes, false, scope).map(|found| !found),
            Node::Or(nodes) => self.any(nodes, true, scope),
            Node::Has(member) => self.has(member, scope),
            Node::Compare(comparison, sides) => {
                let (a, b) = (self.worth(&sides[0], scope)?, self.worth(&sides[1], scope)?);
                self.compare(*comparison, &a, &b)
            }
            Node::In(sides) => {
                let (a, b) = (self.worth(&sides[0], scope)?, self.worth(&sides[1], scope)?);
                self.within(&a, &b)
            }
            Node::Text(test, sides) => {
                let (a, b) = (self.worth(&sides[0], scope)?, self.worth(&sides[1], scope)?);
                let (text, part) = (a.text()?, b.text()?);
                self.read(text)?;
                Some(match test {
                    TextTest::Contains => text.contains(part),
                    TextTest::StartsWith => text.starts_with(part),
                    TextTest::EndsWith => text.ends_with(part),
                })
            }
            Node::Matches(value, regex) => {
                let value = self.worth(value, scope)?;
                let text = value.text()?;
                // A step of the automaton costs more than one of a search.
                self.step(1 + text.len() as u64)?;
                Some(regex.is_match(text))
            }
            Node::Each(what, parts) => self.each(*what, &parts[0], &parts[1], scope),
            _ => self.worth(node, scope)?.truth(),
        }
    }

    /// Whether one of the parts is `wanted`; unknown if none is and one cannot be computed.
    fn any(&self, nodes: &'v [Node], wanted: bool, scope: &mut Scope<'v>) -> Option<bool> {
        let mut known = true;
        for node in nodes {
            match self.truth(node, scope) {
                Some(truth) if truth == wanted => return Some(true),
                Some(_) => {}
                None => known = false,
            }
        }
        known.then_some(false)
    }

    fn has(&self, member: &'v Node, scope: &mut Scope<'v>) -> Option<bool> {
        let there = match member {
            // Whether the object is there is another question, as in CEL: without it there is no answer.
            Node::Select(inner, _) | Node::Index(inner, _) => {
                self.worth(inner, scope)?;
                self.worth(member, scope)
            }
            _ => self.worth(member, scope),
        };
        self.step(1)?;
        Some(there.is_some())
    }

    fn worth(&self, node: &'v Node, scope: &mut Scope<'v>) -> Option<Worth<'v>> {
        self.step(1)?;
        let owned = |value| Some(Worth::Json(Cow::Owned(value)));
        match node {
            Node::Constant(value) => Some(Worth::Json(Cow::Borrowed(value))),
            Node::Event => Some(Worth::Json(Cow::Borrowed(self.event))),
            Node::Member(name) => Some(Worth::Json(Cow::Borrowed(self.event.get(name)?))),
            Node::Variable(number) => match scope.get(*number)? {
                Cow::Borrowed(value) => Some(Worth::Json(Cow::Borrowed(value))),
                Cow::Owned(value) => owned(value.clone()),
            },
            Node::Select(inner, key) => member(self.worth(inner, scope)?, key),
            Node::Index(inner, index) => {
                let (inner, index) = (self.worth(inner, scope)?, self.worth(index, scope)?);
                let Worth::Json(index) = index else {
                    return None;
                };
                match &*index {
                    Value::String(key) => member(inner, key),
                    Value::Number(token) => element(inner, token.parse().ok()?),
                    _ => None,
                }
            }
            Node::Choice(parts) => match self.truth(&parts[0], scope)? {
                true => self.worth(&parts[1], scope),
                false => self.worth(&parts[2], scope),
            },
            Node::List(nodes) => {
                let values = nodes.iter().map(|node| self.json(node, scope));
                owned(Value::Array(values.collect::<Option<_>>()?))
            }
            Node::Map(members) => {
                let values = members.iter().map(|(key, node)| {
                    Some((Cow::Borrowed(key.as_str()), self.json(node, scope)?))
                });
                owned(Value::Object(values.collect::<Option<_>>()?))
            }
            Node::Size(inner) => {
                let Worth::Json(value) = self.worth(inner, scope)? else {
                    return None;
                };
                let size = match &*value {
                    Value::String(text) => {
                        self.read(text)?;
                        text.chars().count()
                    }
                    Value::Array(items) => items.len(),
                    Value::Object(members) => members.len(),
                    _ => return None,
                };
                owned(Value::from(size as u64))
            }
            Node::Number(inner) => match self.worth(inner, scope)? {
                Worth::Json(value) if matches!(*value, Value::Number(_)) => {
                    Some(Worth::Json(value))
                }
                Worth::Json(value) => match json::parse(value.as_str()?.as_bytes()).ok()? {
                    number @ Value::Number(_) => owned(number.into_owned()),
                    _ => None,
                },
                Worth::Time(_) => None,
            },
            Node::Timestamp(inner) => match self.worth(inner, scope)? {
                time @ Worth::Time(_) => Some(time),
                text => Some(Worth::Time(text.text()?.parse().ok()?)),
            },
            _ => owned(Value::Bool(self.truth(node, scope)?)),
        }
    }

    /// The value as it may stand in a list.
    fn json(&self, node: &'v Node, scope: &mut Scope<'v>) -> Option<Value<'v>> {
        match self.worth(node, scope)? {
            Worth::Json(value) => {
                self.step(weight(&value))?;
                Some(value.into_owned())
            }
            Worth::Time(_) => None,
        }
    }

    fn compare(&self, comparison: Comparison, a: &Worth<'v>, b: &Worth<'v>) -> Option<bool> {
        let ordering = match comparison {
            Comparison::Equal => return self.equal(a, b),
            Comparison::NotEqual => return self.equal(a, b).map(|equal| !equal),
            _ => self.order(a, b)?,
        };
        Some(match comparison {
            Comparison::Less => ordering == Ordering::Less,
            Comparison::LessEqual => ordering != Ordering::Greater,
            Comparison::Greater => ordering == Ordering::Greater,
            _ => ordering != Ordering::Less,
        })
    }

    fn order(&self, a: &Worth<'v>, b: &Worth<'v>) -> Option<Ordering> {
        match (a, b) {
            (Worth::Time(a), Worth::Time(b)) => Some(a.cmp(b)),
            (Worth::Json(a), Worth::Json(b)) => match (&**a, &**b) {
                (Value::Number(a), Value::Number(b)) => {
                    self.read(a)?;
                    Some(number::compare(a, b))
                }
                (Value::String(a), Value::String(b)) => {
                    self.read(a)?;
                    Some(a.cmp(b))
                }
                (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether two values are the same; `None` only where the steps do not suffice.
    fn equal(&self, a: &Worth<'v>, b: &Worth<'v>) -> Option<bool> {
        match (a, b) {
            (Worth::Time(a), Worth::Time(b)) => Some(a == b),
            (Worth::Json(a), Worth::Json(b)) => self.same(a, b),
            _ => Some(false),
        }
    }

    /// Whether two values are the same JSON: numbers by value, objects whatever the order of their keys.
    fn same(&self, a: &Value<'_>, b: &Value<'_>) -> Option<bool> {
        self.step(1)?;
        match (a, b) {
            (Value::Number(a), Value::Number(b)) => {
                self.read(a)?;
                Some(number::compare(a, b) == Ordering::Equal)
            }
            (Value::String(a), Value::String(b)) => {
                self.read(a)?;
                Some(a == b)
            }
            (Value::Array(x), Value::Array(y)) => {
                if x.len() != y.len() {
                    return Some(false);
                }
                for (x, y) in x.iter().zip(y) {
                    if !self.same(x, y)? {
                        return Some(false);
                    }
                }
                Some(true)
            }
            (Value::Object(x), Value::Object(y)) => {
                if x.len() != y.len() {
                    return Some(false);
                }
                for (key, x) in x {
                    self.step(y.len() as u64)?;
                    let Some(y) = b.get(key) else {
                        return Some(false);
                    };
                    if !self.same(x, y)? {
                        return Some(false);
                    }
                }
                Some(true)
            }
            _ => Some(a == b),
        }
    }

    fn within(&self, a: &Worth<'v>, b: &Worth<'v>) -> Option<bool> {
        let (Worth::Json(a), Worth::Json(b)) = (a, b) else {
            return None;
        };
        match &**b {
            Value::Array(items) => {
                for item in items {
                    if self.same(a, item)? {
                        return Some(true);
                    }
                }
                Some(false)
            }
            Value::Object(members) => {
                self.step(members.len() as u64)?;
                Some(b.get(a.as_str()?).is_some())
            }
            _ => None,
        }
    }

    /// `exists`, `all` and `exists_one`, over the items of a list or the keys of an object.
    fn each(
        &self,
        what: Macro,
        range: &'v Node,
        body: &'v Node,
        scope: &mut Scope<'v>,
    ) -> Option<bool> {
        let Worth::Json(range) = self.worth(range, scope)? else {
            return None;
        };
        let text = |key: Cow<'v, str>| Cow::Owned(Value::String(key));
        let items: Vec<Cow<'v, Value<'v>>> = match range {
            Cow::Borrowed(Value::Array(items)) => items.iter().map(Cow::Borrowed).collect(),
            Cow::Owned(Value::Array(items)) => items.into_iter().map(Cow::Owned).collect(),
            Cow::Borrowed(Value::Object(members)) => {
                let keys = members.iter().map(|(key, _)| key.as_ref());
                keys.map(|key| text(Cow::Borrowed(key))).collect()
            }
            Cow::Owned(Value::Object(members)) => {
                members.into_iter().map(|(key, _)| text(key)).collect()
            }
            _ => return None,
        };
        self.step(items.len() as u64)?;
        let (mut count, mut known) = (0_usize, true);
        // What decides before the end: one that is true for `exists`, one that is false for `all`.
        let decides = what != Macro::All;
        for item in items {
            scope.push(item);
            let truth = self.truth(body, scope);
            scope.pop();
            match truth {
                Some(truth) if truth == decides => count += 1,
                Some(_) => {}
                None => known = false,
            }
            if count > 0 && what != Macro::ExistsOne {
                return Some(decides);
            }
        }
        known.then_some(match what {
            Macro::ExistsOne => count == 1,
            _ => !decides,
        })
    }
}

/// How many values a value consists of.
fn weight(value: &Value<'_>) -> u64 {
    1 + match value {
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(members) => members.iter().map(|(_, value)| weight(value)).sum(),
        Value::String(text) => text.len() as u64 / 16,
        _ => 0,
    }
}

fn member<'v>(object: Worth<'v>, key: &str) -> Option<Worth<'v>> {
    let Worth::Json(object) = object else {
        return None;
    };
    Some(Worth::Json(match object {
        Cow::Borrowed(object) => Cow::Borrowed(object.get(key)?),
        Cow::Owned(Value::Object(members)) => {
            Cow::Owned(members.into_iter().find(|(name, _)| name == key)?.1)
        }
        Cow::Owned(_) => return None,
    }))
}

fn element(list: Worth<'_>, index: usize) -> Option<Worth<'_>> {
    let Worth::Json(list) = list else {
        return None;
    };
    Some(Worth::Json(match list {
        Cow::Borrowed(list) => Cow::Borrowed(list.as_array()?.get(index)?),
        Cow::Owned(Value::Array(items)) => Cow::Owned(items.into_iter().nth(index)?),
        Cow::Owned(_) => return None,
    }))
}

/// What the short form `PATH=VALUE` says: the value is this JSON, or this text.
pub(crate) fn is_value(found: &Value<'_>, json: Option<&Value<'_>>, text: &str) -> bool {
    let run = Run {
        event: &Value::Null,
        steps: Cell::new(u64::MAX),
    };
    json.is_some_and(|wanted| run.same(found, wanted) == Some(true)) || found.as_str() == Some(text)
}
