//! Whether a pattern is a regular expression of JavaScript under its flag `u`, as clients compile it
//! (ECMA-262, section "Patterns"). In doubt it is none: the pattern is applied elsewhere in any case.

use std::iter::Peekable;
use std::str::Chars;

/// The longest pattern that is shown, in bytes.
const LONGEST: usize = 500;

/// Whether clients can compile it.
pub(super) fn is_javascript(pattern: &str) -> bool {
    let mut reader = Reader {
        rest: pattern.chars().peekable(),
        groups: 0,
    };
    pattern.len() <= LONGEST && reader.disjunction().is_some() && reader.rest.next().is_none()
}

struct Reader<'p> {
    rest: Peekable<Chars<'p>>,
    groups: u32,
}

impl Reader<'_> {
    fn takes(&mut self, wanted: char) -> bool {
        self.rest.next_if_eq(&wanted).is_some()
    }

    /// Up to the end, or to the `)` that ends the group.
    fn disjunction(&mut self) -> Option<()> {
        loop {
            match self.rest.peek() {
                None | Some(')') => return Some(()),
                Some('|') => {
                    self.rest.next();
                }
                Some(_) => self.term()?,
            }
        }
    }

    fn term(&mut self) -> Option<()> {
        let repeats = match self.rest.next()? {
            '^' | '$' => false,
            '(' => self.group()?,
            '[' => self.class()?,
            '\\' => self.escape(false)?,
            '*' | '+' | '?' | '{' | '}' | ']' | ')' => return None,
            _ => true,
        };
        if self.quantifier()? && !repeats {
            return None;
        }
        Some(())
    }

    /// What follows `(`; whether it can be repeated.
    fn group(&mut self) -> Option<bool> {
        // A pattern that goes deep is none that anybody reads.
        self.groups += 1;
        if self.groups > 50 {
            return None;
        }
        let mut repeats = true;
        if self.takes('?') {
            match self.rest.next()? {
                ':' => {}
                '=' | '!' => repeats = false,
                '<' if self.takes('=') || self.takes('!') => repeats = false,
                _ => return None,
            }
        }
        self.disjunction()?;
        self.takes(')').then_some(repeats)
    }

    /// Whether a quantifier follows, which is well-formed.
    fn quantifier(&mut self) -> Option<bool> {
        match self.rest.peek() {
            Some('*' | '+' | '?') => {
                self.rest.next();
            }
            Some('{') => {
                self.rest.next();
                let least = self.number()?;
                if self.takes(',') && self.rest.peek() != Some(&'}') && self.number()? < least {
                    return None;
                }
                if !self.takes('}') {
                    return None;
                }
            }
            _ => return Some(false),
        }
        // As few as possible.
        self.takes('?');
        Some(true)
    }

    fn number(&mut self) -> Option<u32> {
        let mut digits = String::new();
        while let Some(digit) = self.rest.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        digits.parse().ok()
    }

    /// What follows `[`.
    fn class(&mut self) -> Option<bool> {
        self.takes('^');
        loop {
            if self.takes(']') {
                return Some(true);
            }
            let from = self.in_class()?;
            if !self.takes('-') {
                continue;
            }
            if self.rest.peek() == Some(&']') {
                continue;
            }
            let to = self.in_class()?;
            // A class of characters begins and ends no range.
            if from? > to? {
                return None;
            }
        }
    }

    /// A character of a class, if it is one: `\d` is many, and there is none where the class is broken.
    fn in_class(&mut self) -> Option<Option<char>> {
        match self.rest.next()? {
            '\\' => match self.rest.peek() {
                Some('d' | 'D' | 's' | 'S' | 'w' | 'W') => {
                    self.rest.next();
                    Some(None)
                }
                _ => self.escaped(true).map(Some),
            },
            other => Some(Some(other)),
        }
    }

    /// What follows `\` outside of a class; whether it can be repeated.
    fn escape(&mut self, in_class: bool) -> Option<bool> {
        match self.rest.peek() {
            Some('b' | 'B') => {
                self.rest.next();
                Some(false)
            }
            Some('d' | 'D' | 's' | 'S' | 'w' | 'W') => {
                self.rest.next();
                Some(true)
            }
            _ => self.escaped(in_class).map(|_| true),
        }
    }

    /// The one character that an escape stands for.
    fn escaped(&mut self, in_class: bool) -> Option<char> {
        match self.rest.next()? {
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\u{b}'),
            'b' if in_class => Some('\u{8}'),
            '-' if in_class => Some('-'),
            '0' if !self.rest.peek().is_some_and(char::is_ascii_digit) => Some('\0'),
            'x' => self.hex(2),
            'u' if self.takes('{') => {
                let mut digits = String::new();
                while let Some(digit) = self.rest.next_if(char::is_ascii_hexdigit) {
                    digits.push(digit);
                }
                let code = u32::from_str_radix(&digits, 16).ok()?;
                self.takes('}').then(|| char::from_u32(code))?
            }
            'u' => self.hex(4),
            syntax if r"^$\.*+?()[]{}|/".contains(syntax) => Some(syntax),
            _ => None,
        }
    }

    fn hex(&mut self, count: usize) -> Option<char> {
        let mut code = 0;
        for _ in 0..count {
            code = code * 16 + self.rest.next()?.to_digit(16)?;
        }
        // Half of a pair stands for no character by itself.
        char::from_u32(code)
    }
}

#[cfg(test)]
mod tests {
    use super::is_javascript;

    #[test]
    fn what_clients_compile() {
        for good in [
            "",
            "^[a-z]+$",
            r"^\d{4}-\d{2}-\d{2}$",
            r"^(?:a|b)*?(?=c)(?<!d)$",
            r"^[\w.-]+@[^\s@]+\.[a-z]{2,}$",
            r"[\-a-z\]]",
            r"\u00e9|\u{1F600}|\x41|\/|\0",
            "(a)(b)?",
            "[^]",
            "[]",
            "é{1,3}",
        ] {
            assert!(is_javascript(good), "{good}");
        }
        for bad in [
            "(",
            ")",
            "a)",
            "[a",
            "*a",
            "a**",
            "a++",
            "a{2",
            "{",
            "}",
            "]",
            "a{3,1}",
            "a{,2}",
            r"\A",
            r"\z",
            r"\Z",
            r"\h",
            r"\-",
            r"\_",
            r"\@",
            r"\p{L}",
            r"\1",
            r"\k<a>",
            r"\00",
            "(?i)a",
            "(?P<name>a)",
            "(?>a)",
            "(?#a)",
            "(?<name>a)",
            "[z-a]",
            r"[\d-z]",
            "[[:alpha:]]+",
            "^*",
            r"\b+",
            "(?=a)*",
            r"\u12",
            r"\x1",
            r"\ud800",
            "\\",
        ] {
            assert!(!is_javascript(bad), "{bad}");
        }
    }
}
