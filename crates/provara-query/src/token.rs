//! The words of an expression, and what can be wrong with one.

use std::fmt;

/// A text is no condition, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressionError {
    /// The text.
    pub text: String,
    /// The byte of it where the trouble is; its length where the text ends too early.
    pub offset: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Something else has to stand here.
    #[error("{expected} is expected, not {found}")]
    Expected {
        /// What.
        expected: &'static str,
        /// What stands here.
        found: String,
    },
    /// A single `=`.
    #[error("one '=' is no operator: '==' compares")]
    SingleEqual,
    /// A single `&` or `|`.
    #[error("'{0}' is no operator: '{0}{0}' is")]
    SingleSign(char),
    /// `+`, `-`, `*`, `/`, `%` between values.
    #[error("'{0}' cannot stand here: conditions have no arithmetic")]
    Arithmetic(char),
    /// A character that begins nothing.
    #[error("the character '{0}' begins nothing")]
    Character(char),
    /// A text without its closing quote.
    #[error("the closing {0} is missing")]
    Unclosed(char),
    /// An escape that is none.
    #[error("this escape is none (a regular expression is best written r\"\\d+\")")]
    Escape,
    /// `12abc`, `1.`, `1e`, a hexadecimal number of more than 64 bits.
    #[error("this is no number")]
    Number,
    /// `b"…"`.
    #[error("there are no byte strings in an event")]
    Bytes,
    /// A word that the language keeps.
    #[error("'{0}' is a reserved word")]
    Reserved(String),
    /// A function that does not exist, or not in this form.
    #[error("there is no {form} '{name}'")]
    Function {
        /// `function` for `f(a)`, `method` for `a.f()`.
        form: &'static str,
        /// Its name.
        name: String,
    },
    /// A function with the wrong number of arguments.
    #[error("'{name}' takes {takes}")]
    Arguments {
        /// Its name.
        name: String,
        /// What it takes.
        takes: &'static str,
    },
    /// A regular expression that is none, or too large.
    #[error("the regular expression is not understood: {0}")]
    Regex(String),
    /// An expression that can be neither true nor false.
    #[error("this is {0}, which is neither true nor false")]
    NoCondition(&'static str),
    /// A text in `timestamp("…")` that is no time.
    #[error(
        "'{0}' is no moment: a time of day and an offset belong to it, as in 2026-01-31T12:00:00Z"
    )]
    NoTime(String),
    /// A text in `double("…")` that is no number.
    #[error("'{0}' is no number")]
    NoNumber(String),
    /// A time is compared with something else.
    #[error("a time compares with a time only, so that this is never met")]
    TimeAlone,
    /// The nesting is too deep.
    #[error("the nesting is deeper than {}", crate::limits::MAX_DEPTH)]
    TooDeep,
    /// The text is too long.
    #[error("the expression is longer than {} bytes", crate::limits::MAX_LENGTH)]
    TooLong,
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: {}", self.character(), self.problem)
    }
}

impl std::error::Error for ExpressionError {}

impl ExpressionError {
    /// The character of the text where the trouble is, from 1.
    #[must_use]
    pub fn character(&self) -> usize {
        self.text[..self.offset].chars().count() + 1
    }
}

/// A word of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    Name(String),
    /// `` `a.b` ``
    QuotedName(String),
    /// A number, as JSON writes it, without its sign.
    Number(String),
    Text(String),
    Sign(&'static str),
    End,
}

/// A word, and the bytes that it stands on.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) word: Word,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The signs, those of two characters first.
const SIGNS: &[&str] = &[
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "(", ")", "[", "]", "{", "}", ".", ",", "?",
    ":", "-",
];

/// Cuts a text into its words; the last is the end.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, ExpressionError> {
    let error = |offset, problem| ExpressionError {
        text: text.to_owned(),
        offset,
        problem,
    };
    if text.len() > crate::limits::MAX_LENGTH {
        return Err(error(0, Problem::TooLong));
    }
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if c.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let rest = &text[at..];
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        let (word, length) = word(rest).map_err(|(within, it)| error(at + within, it))?;
        let (start, end) = (at, at + length);
        tokens.push(Token { word, start, end });
        at = end;
    }
    tokens.push(Token {
        word: Word::End,
        start: text.len(),
        end: text.len(),
    });
    Ok(tokens)
}

/// A word and its length, or what is wrong and where.
type Read<T> = Result<(T, usize), (usize, Problem)>;

fn word(rest: &str) -> Read<Word> {
    let mut chars = rest.chars();
    let (first, second) = (chars.next().unwrap_or(' '), chars.next());
    let fraction = first == '.' && second.is_some_and(|c| c.is_ascii_digit());
    if first.is_ascii_digit() || fraction {
        return number(rest);
    }
    let quote = |c: Option<char>| matches!(c, Some('"' | '\''));
    match first {
        '"' | '\'' => return string(rest, false).map(|(text, end)| (Word::Text(text), end)),
        'r' | 'R' if quote(second) => {
            return match string(&rest[1..], true) {
                Ok((text, end)) => Ok((Word::Text(text), end + 1)),
                Err((at, problem)) => Err((at + 1, problem)),
            };
        }
        'b' | 'B' if quote(second) => return Err((0, Problem::Bytes)),
        '`' => {
            let Some(end) = rest[1..].find('`') else {
                return Err((0, Problem::Unclosed('`')));
            };
            return Ok((Word::QuotedName(rest[1..=end].to_owned()), end + 2));
        }
        c if c.is_alphabetic() || c == '_' => {
            let end = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                .unwrap_or(rest.len());
            return Ok((Word::Name(rest[..end].to_owned()), end));
        }
        _ => {}
    }
    if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
        return Ok((Word::Sign(sign), sign.len()));
    }
    Err((
        0,
        match first {
            '=' => Problem::SingleEqual,
            '&' | '|' => Problem::SingleSign(first),
            '+' | '*' | '/' | '%' => Problem::Arithmetic(first),
            _ => Problem::Character(first),
        },
    ))
}

/// A number: `12`, `12u`, `0xff`, `1.5`, `.5`, `1e3`. It is given as JSON writes it.
fn number(rest: &str) -> Read<Word> {
    let bytes = rest.as_bytes();
    let digits = |from: usize| {
        let tail = bytes.get(from..).unwrap_or_default();
        tail.iter().take_while(|b| b.is_ascii_digit()).count()
    };
    let wrong = Err((0, Problem::Number));
    let (token, mut end) = if let Some(hex) = rest.strip_prefix("0x") {
        let length = hex
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(hex.len());
        match u64::from_str_radix(&hex[..length], 16) {
            Ok(value) => (value.to_string(), 2 + length),
            Err(_) => return wrong,
        }
    } else {
        let whole = digits(0);
        let mut end = whole;
        let mut token = rest[..whole].trim_start_matches('0').to_owned();
        if token.is_empty() {
            token.push('0');
        }
        if bytes.get(end) == Some(&b'.') {
            let fraction = digits(end + 1);
            if fraction == 0 {
                return wrong;
            }
            token.push_str(&rest[end..=end + fraction]);
            end += 1 + fraction;
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end + 1 + sign);
            if exponent == 0 {
                return wrong;
            }
            token.push_str(&rest[end..end + 1 + sign + exponent]);
            end += 1 + sign + exponent;
        }
        (token, end)
    };
    if matches!(bytes.get(end), Some(b'u' | b'U')) && !token.contains(['.', 'e', 'E']) {
        end += 1;
    }
    match rest[end..].chars().next() {
        Some(c) if c.is_alphanumeric() || c == '_' => wrong,
        _ => Ok((Word::Number(token), end)),
    }
}

/// A text in quotes, one or three of a kind, without its escapes.
fn string(rest: &str, raw: bool) -> Read<String> {
    let quote = &rest[..1];
    let triple = quote.repeat(3);
    let close = if rest.starts_with(&triple) && rest.len() >= 6 {
        triple.as_str()
    } else {
        quote
    };
    let mut text = String::new();
    let mut at = close.len();
    loop {
        let left = &rest[at..];
        if left.starts_with(close) {
            return Ok((text, at + close.len()));
        }
        match left.chars().next() {
            None => {
                let quote = quote.chars().next().unwrap_or('"');
                return Err((0, Problem::Unclosed(quote)));
            }
            Some('\\') if !raw => {
                let (c, length) = escape(&left[1..]).ok_or((at, Problem::Escape))?;
                text.push(c);
                at += 1 + length;
            }
            Some(c) => {
                text.push(c);
                at += c.len_utf8();
            }
        }
    }
}

/// What stands after a backslash: the character, and how long its escape is.
fn escape(rest: &str) -> Option<(char, usize)> {
    let first = rest.chars().next()?;
    let code = |from: usize, to: usize, radix: u32| {
        let digits = rest.get(from..to)?;
        let plain = digits.chars().all(|c| c.is_digit(radix));
        let code = u32::from_str_radix(digits, radix).ok()?;
        Some((char::from_u32(code).filter(|_| plain)?, to))
    };
    let simple = match first {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\\' | '\'' | '"' | '`' | '?' => first,
        'x' | 'X' => return code(1, 3, 16),
        'u' => return code(1, 5, 16),
        'U' => return code(1, 9, 16),
        '0'..='3' => return code(0, 3, 8),
        _ => return None,
    };
    Some((simple, 1))
}
