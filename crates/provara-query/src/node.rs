//! What an expression is made of, once it is read.

use provara_core::json::Value;
use regex::Regex;

use crate::path::{Path, Step};

/// A part of an expression.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// A value that was written.
    Constant(Value<'static>),
    /// The event.
    Event,
    /// A member of the event.
    Member(String),
    /// The element that a macro is at; macros are counted from the outermost, from 0.
    Variable(usize),
    /// `a.b`
    Select(Box<Node>, String),
    /// `a[b]`
    Index(Box<Node>, Box<Node>),
    /// `has(a.b)`
    Has(Box<Node>),
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    /// `a ? b : c`
    Choice(Box<[Node; 3]>),
    Compare(Comparison, Box<[Node; 2]>),
    /// `a in b`
    In(Box<[Node; 2]>),
    List(Vec<Node>),
    /// An object, whose keys were written.
    Map(Vec<(String, Node)>),
    /// `a.contains(b)` and the like.
    Text(TextTest, Box<[Node; 2]>),
    Matches(Box<Node>, Box<Regex>),
    Size(Box<Node>),
    /// `double(a)`
    Number(Box<Node>),
    Timestamp(Box<Node>),
    /// `a.exists(x, p)` and the like.
    Each(Macro, Box<[Node; 2]>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextTest {
    Contains,
    StartsWith,
    EndsWith,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Macro {
    Exists,
    All,
    ExistsOne,
}

impl Node {
    /// The parts.
    pub(crate) fn children(&self) -> Vec<&Node> {
        match self {
            Self::Constant(_) | Self::Event | Self::Member(_) | Self::Variable(_) => Vec::new(),
            Self::Select(node, _)
            | Self::Has(node)
            | Self::Not(node)
            | Self::Matches(node, _)
            | Self::Size(node)
            | Self::Number(node)
            | Self::Timestamp(node) => vec![node],
            Self::Index(a, b) => vec![a, b],
            Self::And(nodes) | Self::Or(nodes) | Self::List(nodes) => nodes.iter().collect(),
            Self::Choice(nodes) => nodes.iter().collect(),
            Self::Compare(_, nodes)
            | Self::In(nodes)
            | Self::Text(_, nodes)
            | Self::Each(_, nodes) => nodes.iter().collect(),
            Self::Map(members) => members.iter().map(|(_, node)| node).collect(),
        }
    }

    /// The path, if the part is one into the event that does not depend on anything.
    pub(crate) fn path(&self) -> Option<Path> {
        let mut steps = Vec::new();
        let mut node = self;
        loop {
            match node {
                Self::Member(name) => {
                    steps.push(Step::Key(name.clone()));
                    break;
                }
                Self::Select(inner, key) => {
                    steps.push(Step::Key(key.clone()));
                    if matches!(**inner, Self::Event) {
                        break;
                    }
                    node = inner;
                }
                Self::Index(inner, index) => {
                    match &**index {
                        Self::Constant(Value::String(key)) => {
                            steps.push(Step::Key(key.clone().into_owned()));
                        }
                        Self::Constant(Value::Number(token)) => {
                            steps.push(Step::Index(token.parse().ok()?));
                        }
                        _ => return None,
                    }
                    if matches!(**inner, Self::Event) {
                        break;
                    }
                    node = inner;
                }
                _ => return None,
            }
        }
        steps.reverse();
        matches!(steps.first(), Some(Step::Key(_))).then_some(Path(steps))
    }
}
