//! The two decimal forms of a binary64 that the format knows: ECMAScript's, which RFC 8785 uses,
//! and Python's, which belief states and older vaults use.

/// The shortest decimal digits that read back as `value`, and the exponent of ten of the first. Of
/// several such texts it is the one closest to the value, and of two equally close ones the even. `value`
/// is finite and not 0.
fn shortest(value: f64) -> (String, i32) {
    let text = es_number(value.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let significant = digits.trim_start_matches('0');
    let count = |length: usize| i32::try_from(length).expect("at most 27 digits");
    let place = count(whole.len()) - count(digits.len() - significant.len()) - 1;
    let exponent: i32 = exponent.parse().expect("an exponent of ECMAScript's form");
    (
        significant.trim_end_matches('0').to_owned(),
        exponent + place,
    )
}

/// Digits with a decimal point after the first `point` of them, padded with zeros on either side.
fn positional(digits: &str, point: i32) -> String {
    let count = i32::try_from(digits.len()).expect("at most 17 digits");
    if point <= 0 {
        let zeros = usize::try_from(-point).expect("not negative");
        return format!("0.{}{digits}", "0".repeat(zeros));
    }
    if point >= count {
        let zeros = usize::try_from(point - count).expect("not negative");
        return format!("{digits}{}", "0".repeat(zeros));
    }
    let (whole, fraction) = digits.split_at(usize::try_from(point).expect("positive"));
    format!("{whole}.{fraction}")
}

fn with_exponent(digits: &str, exponent: i32, width: usize) -> String {
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!(
        "{first}{point}{rest}e{sign}{:0width$}",
        exponent.unsigned_abs()
    )
}

/// The ECMAScript form (`Number::toString`, ECMA-262 section 6.1.6.1.20) that RFC 8785 section
/// 3.2.2.3 prescribes. `value` must be finite.
#[must_use]
pub fn es_number(value: f64) -> String {
    debug_assert!(value.is_finite());
    ryu_js::Buffer::new().format_finite(value).to_owned()
}

/// The form in which Python's `repr` prints a float: `.0` when integral, an exponent of two digits
/// at least when it is below -4 or above 15 (spec/VAULT_FORMAT, section 6).
/// `value` must be finite.
#[must_use]
pub fn python_float(value: f64) -> String {
    debug_assert!(value.is_finite());
    let sign = if value.is_sign_negative() { "-" } else { "" };
    if value == 0.0 {
        return format!("{sign}0.0");
    }
    let (digits, exponent) = shortest(value);
    let body = if (-4..16).contains(&exponent) {
        let body = positional(&digits, exponent + 1);
        if body.contains('.') {
            body
        } else {
            format!("{body}.0")
        }
    } else {
        with_exponent(&digits, exponent, 2)
    };
    format!("{sign}{body}")
}

/// Whether `token`, a JSON number, is already in the form of [`es_number`].
#[must_use]
pub fn is_es_form(token: &str) -> bool {
    // Most numbers are short integers, whose form needs no conversion to be seen.
    let digits = token.strip_prefix('-').unwrap_or(token);
    if digits.len() <= 15 && digits.bytes().all(|b| b.is_ascii_digit()) {
        return token != "-0";
    }
    if is_short_fraction(digits) {
        return true;
    }
    token
        .parse()
        .is_ok_and(|value: f64| value.is_finite() && es_number(value) == token)
}

/// Whether these are up to 15 digits with a point among them, the last of them no zero, and of a value from 0.1 on. Each such
/// decimal is the shortest of the binary64 next to it, which no other of 15 digits is nearest to, and the form has no
/// exponent there.
fn is_short_fraction(digits: &str) -> bool {
    let Some((whole, fraction)) = digits.split_once('.') else {
        return false;
    };
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    digits.len() <= 16
        && all_digits(whole)
        && all_digits(fraction)
        && fraction.ends_with(|last| last != '0')
        && (whole != "0" || !fraction.starts_with('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_form_is_that_of_repr() {
        for (value, text) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.0, "0.0"),
            (1e-7, "1e-07"),
            (1e21, "1e+21"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e300, "1.5e+300"),
            (5e-324, "5e-324"),
            (-123.25, "-123.25"),
        ] {
            assert_eq!(python_float(value), text);
        }
    }

    #[test]
    fn short_fractions_are_seen_as_their_conversion_sees_them() {
        let mut seed = 7_u64;
        let mut draw = |below: u64| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let (mut short, mut refused) = (0, 0);
        for _ in 0..100_000 {
            let whole = match draw(3) {
                0 => "0".to_owned(),
                _ => {
                    let digits = 1 + draw(8) as u32;
                    (1 + draw(10_u64.pow(digits))).to_string()
                }
            };
            let places = 1 + draw(9) as usize;
            let fraction = format!("{:0places$}", draw(10_u64.pow(places as u32)));
            let sign = ["", "-"][draw(2) as usize];
            let token = format!("{sign}{whole}.{fraction}");
            let value: f64 = token.parse().unwrap();
            let is_form = es_number(value) == token;
            assert_eq!(is_es_form(&token), is_form, "{token}");
            short += usize::from(is_short_fraction(token.trim_start_matches('-')));
            refused += usize::from(!is_form);
        }
        assert!(short > 50_000 && refused > 5_000, "{short} {refused}");
        assert!(!is_short_fraction("0.05") && !is_short_fraction("1e5.5"));
        assert!(is_short_fraction("99999999999999.9") && !is_short_fraction("999999999999999.9"));
    }

    #[test]
    fn ecmascript_form() {
        for (value, text) in [
            (1.0, "1"),
            (-0.0, "0"),
            (1e21, "1e+21"),
            (1e20, "100000000000000000000"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (5e-324, "5e-324"),
            (-1.25, "-1.25"),
            (333_333_333.333_333_3, "333333333.3333333"),
            // Halfway between two texts of 16 digits that both read back.
            (1_424_953_923_781_206.3, "1424953923781206.2"),
            (1_424_953_923_781_206.8, "1424953923781206.8"),
        ] {
            assert_eq!(es_number(value), text);
            assert!(is_es_form(text));
        }
        for token in [
            "1.0",
            "-0",
            "1E5",
            "1e21",
            "0.10",
            "1e400",
            "12345678901234567890",
        ] {
            assert!(!is_es_form(token), "{token}");
        }
    }
}
