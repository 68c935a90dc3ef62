//! Addresses of resources: `provara://VAULT/…`.

use percent_encoding::percent_decode_str;
use provara_core::id::EventId;

/// What an address names within a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Status,
    Beliefs,
    Report,
    /// The schema of an event type, which is the same whatever the vault.
    Type(String),
    Event(EventId),
    /// Events, with the members of the query in their order.
    Events(Vec<(String, String)>),
}

/// The names that the query of `events` may have.
pub(crate) const FILTERS: [&str; 7] = [
    "type", "actor", "after", "before", "order", "limit", "cursor",
];

/// Reads an address: the vault's name and the place in it. `None` if it names nothing here.
pub(crate) fn parse(uri: &str) -> Option<(&str, Place)> {
    let (vault, path) = uri.strip_prefix("provara://")?.split_once('/')?;
    let place = match path {
        "status" => Place::Status,
        "beliefs" => Place::Beliefs,
        "report" => Place::Report,
        "events" => Place::Events(Vec::new()),
        _ => {
            if let Some(id) = path.strip_prefix("events/") {
                Place::Event(id.parse().ok()?)
            } else if let Some(name) = path.strip_prefix("types/") {
                let name = decoded(name)?;
                (!name.is_empty() && !name.contains('/')).then_some(Place::Type(name))?
            } else {
                Place::Events(query(path.strip_prefix("events?")?)?)
            }
        }
    };
    Some((vault, place))
}

fn query(text: &str) -> Option<Vec<(String, String)>> {
    let mut found: Vec<(String, String)> = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let known = FILTERS.contains(&name) && found.iter().all(|(other, _)| other != name);
        if !known {
            return None;
        }
        found.push((name.to_owned(), decoded(value)?));
    }
    Some(found)
}

/// Undoes percent-encoding; the result must be UTF-8.
fn decoded(text: &str) -> Option<String> {
    // The library leaves a `%` as it is that begins no escape.
    let is_escape = |rest: &str| {
        let mut digits = rest.bytes().take(2).filter(u8::is_ascii_hexdigit);
        digits.next().and(digits.next()).is_some()
    };
    if !text.split('%').skip(1).all(is_escape) {
        return None;
    }
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(parse("provara://v/status"), Some(("v", Place::Status)));
        assert_eq!(
            parse("provara://v/events"),
            Some(("v", Place::Events(vec![])))
        );
        let id = "evt_0123456789abcdef01234567";
        assert_eq!(
            parse(&format!("provara://v/events/{id}")),
            Some(("v", Place::Event(id.parse().unwrap())))
        );
        let name = "com.a.b".to_owned();
        let of_type = parse("provara://v/types/com.a.b");
        assert_eq!(of_type, Some(("v", Place::Type(name))));
        let filters = parse("provara://v/events?type=com.a.b&actor=a%20%C3%A9")
            .unwrap()
            .1;
        assert_eq!(
            filters,
            Place::Events(vec![
                ("type".to_owned(), "com.a.b".to_owned()),
                ("actor".to_owned(), "a é".to_owned())
            ])
        );
        for wrong in [
            "provara://v",
            "provara://v/",
            "provara://v/status/",
            "provara://v/../w/status",
            "provara://v/identity/private_keys.json",
            "provara://v/events/../../identity/private_keys.json",
            "provara://v/events?path=x",
            "provara://v/types/",
            "provara://v/types/a/b",
            "provara://v/events?actor=%zz",
            "provara://v/events?actor=%+1",
            "provara://v/events?actor=a%",
            "provara://v/events?actor=a%4",
            "provara://v/events?actor=%ff",
            "provara://v/events?actor=a&actor=b",
            "file:///etc/passwd",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
