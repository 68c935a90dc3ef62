//! What of a pattern other validators refuse or read otherwise: those that go by ECMA-262 compile it with the
//! flag `u`, as JSON Schema asks for.

use crate::text::inline;

/// What may stand alone between the braces of `\p{…}`: the general categories and the binary properties of
/// ECMA-262, section 22.2.1 (tables 69 to 71 of 2024). Scripts stand after `Script=`.
const PROPERTIES: &str = "\
    L Letter LC Cased_Letter Lu Uppercase_Letter Ll Lowercase_Letter Lt Titlecase_Letter Lm Modifier_Letter \
    Lo Other_Letter M Mark Combining_Mark Mn Nonspacing_Mark Mc Spacing_Mark Me Enclosing_Mark N Number \
    Nd Decimal_Number digit Nl Letter_Number No Other_Number P Punctuation punct Pc Connector_Punctuation \
    Pd Dash_Punctuation Ps Open_Punctuation Pe Close_Punctuation Pi Initial_Punctuation Pf Final_Punctuation \
    Po Other_Punctuation S Symbol Sm Math_Symbol Sc Currency_Symbol Sk Modifier_Symbol So Other_Symbol \
    Z Separator Zs Space_Separator Zl Line_Separator Zp Paragraph_Separator C Other Cc Control cntrl Cf Format \
    Cs Surrogate Co Private_Use Cn Unassigned \
    ASCII ASCII_Hex_Digit AHex Alphabetic Alpha Any Assigned Bidi_Control Bidi_C Bidi_Mirrored Bidi_M \
    Case_Ignorable CI Cased Changes_When_Casefolded CWCF Changes_When_Casemapped CWCM \
    Changes_When_Lowercased CWL Changes_When_NFKC_Casefolded CWKCF Changes_When_Titlecased CWT \
    Changes_When_Uppercased CWU Dash Default_Ignorable_Code_Point DI Deprecated Dep Diacritic Dia Emoji \
    Emoji_Component EComp Emoji_Modifier EMod Emoji_Modifier_Base EBase Emoji_Presentation EPres \
    Extended_Pictographic ExtPict Extender Ext Grapheme_Base Gr_Base Grapheme_Extend Gr_Ext Hex_Digit Hex \
    IDS_Binary_Operator IDSB IDS_Trinary_Operator IDST ID_Continue IDC ID_Start IDS Ideographic Ideo \
    Join_Control Join_C Logical_Order_Exception LOE Lowercase Lower Math Noncharacter_Code_Point NChar \
    Pattern_Syntax Pat_Syn Pattern_White_Space Pat_WS Quotation_Mark QMark Radical Regional_Indicator RI \
    Sentence_Terminal STerm Soft_Dotted SD Terminal_Punctuation Term Unified_Ideograph UIdeo Uppercase Upper \
    Variation_Selector VS White_Space space XID_Continue XIDC XID_Start XIDS";

/// What a quantifier may follow.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    /// The start, or what matches no character.
    Nothing,
    Atom,
    Quantifier,
    /// One that takes as little as it can: it has had its `?`.
    Lazy,
}

/// An item of a class, as the end of a range.
#[derive(Clone, Copy, PartialEq)]
enum Item {
    Character,
    /// `\w` and the like.
    Set,
}

/// What is not portable in a pattern, as a sentence goes on after a colon; none where nothing is.
pub(super) fn fault(pattern: &str) -> Option<String> {
    let mut reader = Reader { rest: pattern };
    reader.pattern().err()
}

struct Reader<'p> {
    rest: &'p str,
}

impl<'p> Reader<'p> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn takes(&mut self, start: &str) -> bool {
        let rest = self.rest.strip_prefix(start);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Takes what stands before `end`, with it.
    fn until(&mut self, end: char) -> Option<&'p str> {
        let (inside, rest) = self.rest.split_once(end)?;
        self.rest = rest;
        Some(inside)
    }

    fn pattern(&mut self) -> Result<(), String> {
        let mut before = Before::Nothing;
        // Of each open group, whether a quantifier may follow it.
        let mut groups = Vec::new();
        while let Some(c) = self.next() {
            before = match c {
                '\\' => match self.escape(false)? {
                    Some(_) => Before::Atom,
                    None => Before::Nothing,
                },
                '[' => {
                    self.class()?;
                    Before::Atom
                }
                ']' | '}' => return Err(bare(c)),
                '(' => {
                    groups.push(self.group()?);
                    Before::Nothing
                }
                ')' => match groups.pop() {
                    Some(false) => Before::Nothing,
                    _ => Before::Atom,
                },
                '^' | '$' | '|' => Before::Nothing,
                '?' if before == Before::Quantifier => Before::Lazy,
                '*' | '+' | '?' => quantified(before)?,
                '{' => {
                    let inside = self.until('}').ok_or_else(|| bare(c))?;
                    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
                    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
                    if least.is_empty() || !digits(least) || !digits(most) {
                        return Err(bare(c));
                    }
                    quantified(before)?
                }
                _ => Before::Atom,
            };
        }
        Ok(())
    }

    /// What follows `(`. Says whether a quantifier may follow the group.
    fn group(&mut self) -> Result<bool, String> {
        if !self.rest.starts_with('?') || self.takes("?:") {
            return Ok(true);
        }
        if ["?=", "?!", "?<=", "?<!"].iter().any(|it| self.takes(it)) {
            return Ok(false);
        }
        if self.takes("?<") {
            self.until('>');
            return Ok(true);
        }
        if self.takes("?P<") {
            let name = inline(self.until('>').unwrap_or_default());
            return Err(format!(
                "ECMA-262 writes '(?<{name}>…)' for '(?P<{name}>…)'"
            ));
        }
        if self.takes("?P=") {
            let name = inline(self.until(')').unwrap_or_default());
            return Err(format!("ECMA-262 writes '\\k<{name}>' for '(?P={name})'"));
        }
        let of_flags = |c: char| c.is_ascii_alphabetic() || c == '-' || c == '^';
        let flags = &self.rest[1..];
        let flags = &flags[..flags.find(|c| !of_flags(c)).unwrap_or(flags.len())];
        let (start, why) = match self.rest[1 + flags.len()..].chars().next() {
            Some(')') if !flags.is_empty() => (
                format!("(?{flags})"),
                "ECMA-262 has no flags in a pattern; write both cases as '[Aa]'",
            ),
            Some(':') if !flags.is_empty() => (
                format!("(?{flags}:"),
                "ECMA-262 has flags for a part of a pattern only since 2025; write both cases as '[Aa]'",
            ),
            Some('>') => ("(?>".to_owned(), "ECMA-262 has no atomic groups"),
            Some('#') => ("(?#".to_owned(), "ECMA-262 has no comments in a pattern"),
            _ => ("(?".to_owned(), "ECMA-262 has no such group"),
        };
        Err(format!("it has '{start}', and {why}"))
    }

    /// What follows `[`.
    fn class(&mut self) -> Result<(), String> {
        let inverted = self.takes("^");
        if self.takes("]") {
            // One of anything is as good as any.
            return match inverted {
                true => Ok(()),
                false => Err(
                    "'[]' is a class of nothing; a bracket in a class is written '\\]'".to_owned(),
                ),
            };
        }
        // What a range may begin with.
        let mut start: Option<Item> = None;
        while let Some(c) = self.next() {
            let (ranges, begins) = match (c, start) {
                (']', _) => return Ok(()),
                ('-', Some(begins)) if !self.rest.starts_with(']') => (true, begins),
                _ => (false, Item::Character),
            };
            let c = match ranges {
                true => self.next().unwrap_or('-'),
                false => c,
            };
            let item = match c {
                '\\' => self.escape(true)?.unwrap_or(Item::Character),
                '[' if self.rest.starts_with(':') => {
                    return Err("it has a POSIX class, which ECMA-262 does not have".to_owned());
                }
                _ => Item::Character,
            };
            if ranges && (begins == Item::Set || item == Item::Set) {
                return Err(
                    "a class such as '\\w' is no end of a range; a hyphen beside it is written '\\-'".to_owned(),
                );
            }
            start = (!ranges).then_some(item);
        }
        Ok(())
    }

    /// What follows `\`; none where it stands for no character.
    fn escape(&mut self, in_class: bool) -> Result<Option<Item>, String> {
        let Some(c) = self.next() else {
            return Ok(None);
        };
        match c {
            'b' | 'B' if !in_class => Err(
                "'\\b' and '\\B' go by letters of all scripts here, and by ASCII in JavaScript"
                    .to_owned(),
            ),
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => Ok(Some(Item::Set)),
            'p' | 'P' => self.property(c).map(|()| Some(Item::Set)),
            'x' => {
                let digits = self.rest.bytes().take(2);
                if digits.filter(u8::is_ascii_hexdigit).count() == 2 {
                    return Ok(Some(Item::Character));
                }
                let code = match self.takes("{") {
                    true => inline(self.until('}').unwrap_or_default()),
                    false => "…".into(),
                };
                Err(format!(
                    "'\\x' takes two digits in ECMA-262; '\\u{{{code}}}' takes any number of them"
                ))
            }
            'u' => {
                if self.takes("{") {
                    self.until('}');
                }
                Ok(Some(Item::Character))
            }
            'k' if !in_class => {
                self.until('>');
                Ok(Some(Item::Character))
            }
            'b' | 'c' | 'f' | 'n' | 'r' | 't' | 'v' | '0' => Ok(Some(Item::Character)),
            '1'..='9' if !in_class => Ok(Some(Item::Character)),
            '-' if in_class => Ok(Some(Item::Character)),
            c if "^$\\.*+?()[]{}|/".contains(c) => Ok(Some(Item::Character)),
            'A' => Err("ECMA-262 has no '\\A'; write '^'".to_owned()),
            'z' | 'Z' => Err(format!("ECMA-262 has no '\\{c}'; write '$'")),
            c if c.is_ascii_alphanumeric() => Err(format!("ECMA-262 has no '\\{c}'")),
            c => {
                let c = c.to_string();
                let shown = inline(&c);
                Err(format!("ECMA-262 has no '\\{shown}'; write '{shown}'"))
            }
        }
    }

    /// What follows `\p`.
    fn property(&mut self, p: char) -> Result<(), String> {
        if !self.takes("{") {
            let name = self.next().map_or_else(String::new, String::from);
            let name = inline(&name);
            return Err(format!(
                "ECMA-262 writes '\\{p}{{{name}}}' for '\\{p}{name}'"
            ));
        }
        let name = self.until('}').unwrap_or_default();
        let known = match name.split_once('=') {
            Some((kind, _)) => [
                "General_Category",
                "gc",
                "Script",
                "sc",
                "Script_Extensions",
                "scx",
            ]
            .contains(&kind),
            None => PROPERTIES.split_whitespace().any(|known| known == name),
        };
        if known {
            return Ok(());
        }
        let shown = inline(name);
        let script = inline(name.strip_prefix("Is").unwrap_or(name));
        Err(format!(
            "'\\{p}{{{shown}}}' is no property of ECMA-262, where a script is written as \
             '\\{p}{{Script={script}}}'"
        ))
    }
}

fn quantified(before: Before) -> Result<Before, String> {
    match before {
        Before::Atom => Ok(Before::Quantifier),
        Before::Nothing => Err(
            "a quantifier follows nothing that ECMA-262 lets it repeat, such as a group '(?:…)'".to_owned(),
        ),
        Before::Quantifier | Before::Lazy => Err(
            "a quantifier follows a quantifier, which ECMA-262 does not have; put the first into '(?:…)'"
                .to_owned(),
        ),
    }
}

fn bare(c: char) -> String {
    format!("ECMA-262 has '{c}' alone only as '\\{c}'")
}

#[cfg(test)]
mod tests {
    use super::fault;

    #[test]
    fn what_ecma_262_refuses_is_told_with_what_to_write() {
        for (pattern, words) in [
            ("a++", "quantifier"),
            ("x*+y", "quantifier"),
            ("a?+", "quantifier"),
            ("a??+", "quantifier"),
            ("a{2}{3}", "quantifier"),
            ("(?=a)*", "quantifier"),
            ("a]", r"'\]'"),
            ("a}", r"'\}'"),
            ("a{,3}", r"'\{'"),
            ("^[]a]+$", r"'\]'"),
            (r"^\x{41}$", r"'\u{41}'"),
            (r"\p{Han}", r"'\p{Script=Han}'"),
            (r"\P{IsLatin}", r"'\P{Script=Latin}'"),
            (r"\pL", r"'\p{L}'"),
            (r"\_", "write '_'"),
            (r"\-", "write '-'"),
            (r"[\@]", "write '@'"),
            (r"\Aa", "write '^'"),
            (r"a\z", "write '$'"),
            (r"[\w-.]", r"'\-'"),
            (r"[+-\d]", r"'\-'"),
            ("(?P<x>a)", "'(?<x>…)'"),
            ("(?<x>a)(?P=x)", r"'\k<x>'"),
            ("(?i)abc", "no flags"),
            ("(?i:abc)", "since 2025"),
            ("(?>a)", "atomic"),
            ("(?#a)", "comments"),
        ] {
            let found = fault(pattern).unwrap_or_default();
            assert!(found.contains(words), "{pattern}: {found}");
        }
    }

    #[test]
    fn what_it_has_is_portable() {
        for pattern in [
            "",
            r"^(?:a|b)(?=c)(?!d)(?<=e)(?<!f)\d+\.$",
            r"^(?<year>\d{4})-\k<year>(a)\1$",
            "a*?b+?c??d{2}?e{2,}?f{2,3}",
            r"[\w-][\w.-][a-z-\d][-\s][\-_][^]a",
            r"[a[b][(?=][\]\b]\]\}\{",
            r"\x41\u0041\u{1F600}\t\cA\0\/",
            r"\p{L}\p{Lu}\P{Letter}\p{Script=Han}\p{scx=Grek}\p{gc=Nd}\p{Emoji}[\p{L}\-]",
        ] {
            assert_eq!(fault(pattern), None, "{pattern}");
        }
    }
}
