//! Names that were probably meant.

/// The known name that was probably meant.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let folded = name.to_ascii_lowercase();
    known
        .map(|known| {
            (
                strsim::damerau_levenshtein(&folded, &known.to_ascii_lowercase()),
                known,
            )
        })
        .filter(|(distance, known)| *distance <= 1 + known.len() / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let known = ["OBSERVATION", "ASSERTION", "com.acme.audit.login", "login"];
        let nearest = |name| nearest(name, known.into_iter());
        assert_eq!(nearest("observaton"), Some("OBSERVATION"));
        assert_eq!(nearest("com.acme.audit.logn"), Some("com.acme.audit.login"));
        assert_eq!(nearest("logim"), Some("login"));
        assert_eq!(nearest("org.hl7.fhir.observation"), None);
        assert_eq!(nearest(""), None);
    }
}
