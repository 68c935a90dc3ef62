//! An expression read: a part of CEL's grammar, by recursive descent.
//!
//! ```text
//! expression = or [ "?" or ":" expression ]
//! or         = and { "||" and }
//! and        = relation { "&&" relation }
//! relation   = unary { ( "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" ) unary }
//! unary      = { "!" } member | "-" number
//! member     = primary { "." name [ "(" … ")" ] | "[" expression "]" }
//! primary    = name [ "(" … ")" ] | literal | "(" expression ")" | "[" … "]" | "{" … "}"
//! ```

use std::borrow::Cow;

use jiff::Timestamp;
use provara_core::json::{Value, parse as parse_json};
use regex::RegexBuilder;

use crate::node::{Comparison, Macro, Node, TextTest};
use crate::token::{ExpressionError, Problem, Token, Word, tokens};

/// Every function and method of the language.
pub const FUNCTIONS: &[&str] = &[
    "has",
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "exists",
    "exists_one",
    "all",
    "double",
    "timestamp",
];

/// CEL's reserved words. `namespace`, which is one of them, is a member of events, and allowed.
const RESERVED: &[&str] = &[
    "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop",
    "package", "return", "var", "void", "while",
];

/// The members of an event that are texts.
const TEXTS: &[&str] = &["actor", "event_id", "timestamp_utc", "type"];

/// The largest size of a compiled regular expression, in bytes.
const REGEX_SIZE: usize = 1 << 20;

/// Reads an expression.
pub(crate) fn parse(text: &str) -> Result<Node, ExpressionError> {
    let mut parser = Parser {
        text,
        tokens: tokens(text)?,
        at: 0,
        depth: 0,
        variables: Vec::new(),
    };
    let node = parser.expression()?;
    match parser.peek() {
        Word::End => {}
        Word::Sign("-") => return Err(parser.wrong(Problem::Arithmetic('-'))),
        _ => return Err(parser.expected("an operator such as '&&', or the end,")),
    }
    parser.condition(&node, 0)?;
    Ok(node)
}

/// What a part is that can be neither true nor false, whatever the event.
fn no_condition(node: &Node) -> Option<&'static str> {
    Some(match node {
        Node::Constant(Value::Bool(_)) => return None,
        Node::Constant(value) => value.kind_name(),
        Node::Event | Node::Map(_) => "an object",
        Node::List(_) => "a list",
        Node::Size(_) | Node::Number(_) => "a number",
        Node::Timestamp(_) => "a time",
        Node::Member(name) if name == "payload" => "an object",
        Node::Member(name) if TEXTS.contains(&name.as_str()) => "a string",
        _ => return None,
    })
}

type Parsed<T> = Result<T, ExpressionError>;

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<Token>,
    /// The next token; the last is the end.
    at: usize,
    depth: usize,
    /// What the macros around this place call their elements.
    variables: Vec<String>,
}

impl Parser<'_> {
    fn token(&self) -> &Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn peek(&self) -> &Word {
        &self.token().word
    }

    fn next(&mut self) -> Token {
        let token = self.token().clone();
        self.at += 1;
        token
    }

    fn takes(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Word::Sign(it) if *it == sign);
        self.at += usize::from(found);
        found
    }

    fn needs(&mut self, sign: &str, words: &'static str) -> Parsed<()> {
        match self.takes(sign) {
            true => Ok(()),
            false => Err(self.expected(words)),
        }
    }

    fn error_at(&self, offset: usize, problem: Problem) -> ExpressionError {
        ExpressionError {
            text: self.text.to_owned(),
            offset,
            problem,
        }
    }

    fn wrong(&self, problem: Problem) -> ExpressionError {
        self.error_at(self.token().start, problem)
    }

    fn expected(&self, expected: &'static str) -> ExpressionError {
        let token = self.token();
        let found = match &token.word {
            Word::End => "the end".to_owned(),
            _ => format!("'{}'", &self.text[token.start..token.end]),
        };
        self.wrong(Problem::Expected { expected, found })
    }

    /// Refuses a part that is taken for a condition and can be none.
    fn condition(&self, node: &Node, start: usize) -> Parsed<()> {
        match no_condition(node) {
            Some(kind) => Err(self.error_at(start, Problem::NoCondition(kind))),
            None => Ok(()),
        }
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == crate::limits::MAX_DEPTH {
            return Err(self.wrong(Problem::TooDeep));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn expression(&mut self) -> Parsed<Node> {
        self.deeper(|it| {
            let start = it.token().start;
            let condition = it.or()?;
            if !it.takes("?") {
                return Ok(condition);
            }
            it.condition(&condition, start)?;
            let yes = it.or()?;
            it.needs(":", "':' and what counts otherwise")?;
            let no = it.expression()?;
            Ok(Node::Choice(Box::new([condition, yes, no])))
        })
    }

    fn or(&mut self) -> Parsed<Node> {
        let nodes = self.conditions("||", Self::and)?;
        Ok(alone(nodes).unwrap_or_else(Node::Or))
    }

    fn and(&mut self) -> Parsed<Node> {
        let nodes = self.conditions("&&", Self::relation)?;
        Ok(alone(nodes).unwrap_or_else(Node::And))
    }

    /// One part, or several conditions with this sign between them.
    fn conditions(
        &mut self,
        sign: &str,
        mut read: impl FnMut(&mut Self) -> Parsed<Node>,
    ) -> Parsed<Vec<Node>> {
        let start = self.token().start;
        let mut nodes = vec![read(self)?];
        while self.takes(sign) {
            if let [first] = &nodes[..] {
                self.condition(first, start)?;
            }
            let start = self.token().start;
            let node = read(self)?;
            self.condition(&node, start)?;
            nodes.push(node);
        }
        Ok(nodes)
    }

    fn relation(&mut self) -> Parsed<Node> {
        let mut left = self.unary()?;
        let mut links = 0;
        loop {
            let comparison = match self.peek() {
                Word::Sign("==") => Some(Comparison::Equal),
                Word::Sign("!=") => Some(Comparison::NotEqual),
                Word::Sign("<") => Some(Comparison::Less),
                Word::Sign("<=") => Some(Comparison::LessEqual),
                Word::Sign(">") => Some(Comparison::Greater),
                Word::Sign(">=") => Some(Comparison::GreaterEqual),
                Word::Name(name) if name == "in" => None,
                _ => return Ok(left),
            };
            links += 1;
            if links > crate::limits::MAX_DEPTH {
                return Err(self.wrong(Problem::TooDeep));
            }
            let sign = self.next().start;
            let sides = Box::new([left, self.unary()?]);
            let is_time = |node: &Node| matches!(node, Node::Timestamp(_));
            let may_be_time = |node: &Node| matches!(node, Node::Timestamp(_) | Node::Choice(_));
            // Nothing in an event is a time but by `timestamp`.
            if sides.iter().any(is_time) && !sides.iter().all(may_be_time) {
                return Err(self.error_at(sign, Problem::TimeAlone));
            }
            left = match comparison {
                Some(comparison) => Node::Compare(comparison, sides),
                None => Node::In(sides),
            };
        }
    }

    fn unary(&mut self) -> Parsed<Node> {
        let mut negations = 0;
        while self.takes("!") {
            negations += 1;
        }
        if negations > 0 {
            let start = self.token().start;
            let inner = self.member()?;
            self.condition(&inner, start)?;
            // An even number says only that it is a truth value.
            let once = Node::Not(Box::new(inner));
            return Ok(match negations % 2 {
                1 => once,
                _ => Node::Not(Box::new(once)),
            });
        }
        if !self.takes("-") {
            return self.member();
        }
        match self.next().word {
            Word::Number(token) => Ok(constant_number(format!("-{token}"))),
            _ => {
                self.at -= 1;
                Err(self.expected("a number after '-'"))
            }
        }
    }

    fn member(&mut self) -> Parsed<Node> {
        let mut node = self.primary()?;
        let mut links = 0;
        loop {
            links += 1;
            if links > crate::limits::MAX_DEPTH {
                return Err(self.wrong(Problem::TooDeep));
            }
            if self.takes(".") {
                let start = self.token().start;
                match self.next().word {
                    Word::QuotedName(name) => node = Node::Select(Box::new(node), name),
                    Word::Name(name) if self.takes("(") => node = self.method(node, name, start)?,
                    Word::Name(name) => node = Node::Select(Box::new(node), name),
                    _ => {
                        self.at -= 1;
                        return Err(self.expected("the name of a member after '.'"));
                    }
                }
            } else if self.takes("[") {
                let index = self.expression()?;
                self.needs("]", "']'")?;
                node = Node::Index(Box::new(node), Box::new(index));
            } else {
                return Ok(node);
            }
        }
    }

    fn primary(&mut self) -> Parsed<Node> {
        let token = self.next();
        Ok(match token.word {
            Word::Number(number) => constant_number(number),
            Word::Text(text) => Node::Constant(Value::String(Cow::Owned(text))),
            Word::Sign("(") => {
                let inner = self.expression()?;
                self.needs(")", "')'")?;
                inner
            }
            Word::Sign("[") => self.list()?,
            Word::Sign("{") => self.map()?,
            Word::Name(name) => match name.as_str() {
                "true" => Node::Constant(Value::Bool(true)),
                "false" => Node::Constant(Value::Bool(false)),
                "null" => Node::Constant(Value::Null),
                word if word == "in" || RESERVED.contains(&word) => {
                    return Err(self.error_at(token.start, Problem::Reserved(name)));
                }
                _ if self.takes("(") => self.function(name, token.start)?,
                "event" => Node::Event,
                _ => match self.variables.iter().rposition(|it| *it == name) {
                    Some(number) => Node::Variable(number),
                    None => Node::Member(name),
                },
            },
            _ => {
                self.at -= 1;
                return Err(self.expected("a value, a member or '('"));
            }
        })
    }

    fn list(&mut self) -> Parsed<Node> {
        let nodes = self.items("]", "',' or ']'", Self::expression)?;
        let constant = |node: &Node| match node {
            Node::Constant(value) => Some(value.clone()),
            _ => None,
        };
        let values: Option<Vec<_>> = nodes.iter().map(constant).collect();
        Ok(match values {
            Some(values) => Node::Constant(Value::Array(values)),
            None => Node::List(nodes),
        })
    }

    fn map(&mut self) -> Parsed<Node> {
        let members = self.items("}", "',' or '}'", |it| {
            let Word::Text(key) = it.next().word else {
                it.at -= 1;
                return Err(it.expected("a key in quotes"));
            };
            it.needs(":", "':' after a key")?;
            Ok((key, it.expression()?))
        })?;
        let constant = |(key, node): &(String, Node)| match node {
            Node::Constant(value) => Some((Cow::Owned(key.clone()), value.clone())),
            _ => None,
        };
        let values: Option<Vec<_>> = members.iter().map(constant).collect();
        Ok(match values {
            Some(values) => Node::Constant(Value::Object(values)),
            None => Node::Map(members),
        })
    }

    /// Reads items between commas until `close`; a comma may stand after the last.
    fn items<T>(
        &mut self,
        close: &str,
        words: &'static str,
        mut read: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        let mut items = Vec::new();
        while !self.takes(close) {
            items.push(read(self)?);
            if !self.takes(",") {
                self.needs(close, words)?;
                break;
            }
        }
        Ok(items)
    }

    fn arguments<const N: usize>(
        &mut self,
        name: &str,
        start: usize,
        takes: &'static str,
    ) -> Parsed<[Node; N]> {
        let items = self.items(")", "',' or ')'", Self::expression)?;
        items.try_into().map_err(|_| {
            let name = name.to_owned();
            self.error_at(start, Problem::Arguments { name, takes })
        })
    }

    /// A call `name(…)`, after its opening parenthesis.
    fn function(&mut self, name: String, start: usize) -> Parsed<Node> {
        const ONE: &str = "one argument";
        match name.as_str() {
            "has" => {
                let [member] = self.arguments(&name, start, ONE)?;
                match member {
                    Node::Select(..) | Node::Index(..) | Node::Member(_) => {
                        Ok(Node::Has(Box::new(member)))
                    }
                    _ => {
                        let takes = "a member, as in has(payload.user)";
                        Err(self.error_at(start, Problem::Arguments { name, takes }))
                    }
                }
            }
            "size" => {
                let [value] = self.arguments(&name, start, ONE)?;
                Ok(Node::Size(Box::new(value)))
            }
            "double" => {
                let at = self.token().start;
                let [value] = self.arguments(&name, start, ONE)?;
                let number =
                    |text: &str| matches!(parse_json(text.as_bytes()), Ok(Value::Number(_)));
                match &value {
                    Node::Constant(Value::String(text)) if !number(text) => {
                        Err(self.error_at(at, Problem::NoNumber(text.to_string())))
                    }
                    _ => Ok(Node::Number(Box::new(value))),
                }
            }
            "timestamp" => {
                let at = self.token().start;
                let [value] = self.arguments(&name, start, ONE)?;
                match &value {
                    Node::Constant(Value::String(text)) if text.parse::<Timestamp>().is_err() => {
                        Err(self.error_at(at, Problem::NoTime(text.to_string())))
                    }
                    _ => Ok(Node::Timestamp(Box::new(value))),
                }
            }
            "matches" => {
                let takes = "a text and a regular expression";
                let [value, pattern] = self.arguments(&name, start, takes)?;
                self.matches(value, &pattern, start)
            }
            _ => {
                let form = "function";
                Err(self.error_at(start, Problem::Function { form, name }))
            }
        }
    }

    /// A call `value.name(…)`, after its opening parenthesis.
    fn method(&mut self, value: Node, name: String, start: usize) -> Parsed<Node> {
        let test = match name.as_str() {
            "contains" => TextTest::Contains,
            "startsWith" => TextTest::StartsWith,
            "endsWith" => TextTest::EndsWith,
            "exists" => return self.each(Macro::Exists, value, &name),
            "all" => return self.each(Macro::All, value, &name),
            "exists_one" => return self.each(Macro::ExistsOne, value, &name),
            "size" => {
                let [] = self.arguments(&name, start, "no argument")?;
                return Ok(Node::Size(Box::new(value)));
            }
            "matches" => {
                let [pattern] = self.arguments(&name, start, "a regular expression")?;
                return self.matches(value, &pattern, start);
            }
            _ => {
                let form = "method";
                return Err(self.error_at(start, Problem::Function { form, name }));
            }
        };
        let [text] = self.arguments(&name, start, "one text")?;
        Ok(Node::Text(test, Box::new([value, text])))
    }

    fn matches(&self, value: Node, pattern: &Node, start: usize) -> Parsed<Node> {
        let Node::Constant(Value::String(pattern)) = pattern else {
            let name = "matches".to_owned();
            let takes = "a regular expression in quotes";
            return Err(self.error_at(start, Problem::Arguments { name, takes }));
        };
        let compiled = RegexBuilder::new(pattern).size_limit(REGEX_SIZE).build();
        match compiled {
            Ok(regex) => Ok(Node::Matches(Box::new(value), Box::new(regex))),
            Err(error) => {
                let text = error.to_string();
                // The library draws the pattern with a mark below it; the last line says what is wrong.
                let last = text.lines().last().unwrap_or_default();
                let last = last.strip_prefix("error: ").unwrap_or(last).to_owned();
                Err(self.error_at(start, Problem::Regex(last)))
            }
        }
    }

    /// `x, p)` of `a.exists(x, p)`.
    fn each(&mut self, what: Macro, range: Node, name: &str) -> Parsed<Node> {
        let start = self.token().start;
        let Word::Name(variable) = self.next().word else {
            let takes = "a name and a condition, as in payload.tags.exists(tag, tag == \"vpn\")";
            let name = name.to_owned();
            return Err(self.error_at(start, Problem::Arguments { name, takes }));
        };
        if !self.takes(",") {
            return Err(self.expected("',' and a condition after the name"));
        }
        self.variables.push(variable);
        let start = self.token().start;
        let body = self.expression();
        self.variables.pop();
        let body = body?;
        self.condition(&body, start)?;
        self.needs(")", "')'")?;
        Ok(Node::Each(what, Box::new([range, body])))
    }
}

/// The only node, or all of them.
fn alone(mut nodes: Vec<Node>) -> Result<Node, Vec<Node>> {
    match nodes.len() {
        1 => nodes.pop().ok_or(nodes),
        _ => Err(nodes),
    }
}

fn constant_number(token: String) -> Node {
    Node::Constant(Value::Number(Cow::Owned(token)))
}
