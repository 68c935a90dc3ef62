//! The rule for numbers, over all exponents of binary64: what was logged is taken again and gives the same
//! bytes, and what is taken says what was given. The oracle is integer arithmetic of its own.

use proptest::prelude::*;
use provara_core::canonical::event_form;
use provara_core::json::{Value, parse};
use provara_core::number::{es_number, is_es_form, python_float};
use provara_core::number_rule::{EventNumber, NumberFault, Spelling, is_large_integer_token};

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A non-negative integer of any length, in decimal, the last digit first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Big(Vec<u8>);

impl Big {
    fn of(digits: &str) -> Self {
        let digits = digits.trim_start_matches('0');
        Self(digits.bytes().rev().map(|digit| digit - b'0').collect())
    }

    fn times(mut self, factor: u32) -> Self {
        let (mut carry, factor) = (0, u64::from(factor));
        for digit in &mut self.0 {
            carry += u64::from(*digit) * factor;
            *digit = u8::try_from(carry % 10).unwrap();
            carry /= 10;
        }
        while carry > 0 {
            self.0.push(u8::try_from(carry % 10).unwrap());
            carry /= 10;
        }
        self
    }

    fn times_power(self, base: u32, power: u32) -> Self {
        // Eight at a time fit into the products of single digits.
        let eights = (0..power / 8).fold(self, |value, _| value.times(base.pow(8)));
        (0..power % 8).fold(eights, |value, _| value.times(base))
    }
}

/// The digits of a number token and the power of ten that they are multiplied with.
fn scaled(token: &str) -> (bool, String, i32) {
    let (negative, text) = match token.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, token),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i32 = exponent.parse().unwrap();
    let places = i32::try_from(fraction.len()).unwrap();
    (negative, format!("{whole}{fraction}"), exponent - places)
}

/// Whether two tokens say the same value.
fn equal(a: &str, b: &str) -> bool {
    let ((a_sign, a, a_power), (b_sign, b, b_power)) = (scaled(a), scaled(b));
    let least = a_power.min(b_power);
    let raised = |digits: &str, power: i32| {
        Big::of(digits).times_power(10, u32::try_from(power - least).unwrap())
    };
    let (a, b) = (raised(&a, a_power), raised(&b, b_power));
    a == b && (a_sign == b_sign || a.0.is_empty())
}

/// The exact value of a binary64 in decimal, by multiplication alone: m × 2^e is m × 2^e, or
/// m × 5^-e × 10^e where e is negative.
fn exact(value: f64) -> String {
    let bits = value.to_bits();
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let biased = i32::try_from(bits >> 52 & 0x7ff).unwrap();
    let fraction = bits & ((1 << 52) - 1);
    let (mantissa, exponent) = match biased {
        0 => (fraction, -1074),
        _ => (fraction | 1 << 52, biased - 1075),
    };
    let mantissa = Big::of(&mantissa.to_string());
    let (digits, power) = match u32::try_from(exponent) {
        Ok(power) => (mantissa.times_power(2, power), 0),
        Err(_) => (mantissa.times_power(5, exponent.unsigned_abs()), exponent),
    };
    let mut text: String = digits
        .0
        .iter()
        .rev()
        .map(|it| char::from(it + b'0'))
        .collect();
    if text.is_empty() {
        text.push('0');
    }
    format!("{sign}{text}e{power}")
}

/// A finite binary64, each exponent as likely as any other.
fn binary64() -> impl Strategy<Value = f64> {
    (any::<bool>(), 0_u64..0x7ff, any::<u64>(), 0_u32..=52).prop_map(
        |(negative, exponent, fraction, zeros)| {
            // Also fractions that end in zeros, as those of integers do.
            let fraction = fraction & ((1 << 52) - 1) & (u64::MAX << zeros);
            f64::from_bits(u64::from(negative) << 63 | exponent << 52 | fraction)
        },
    )
}

/// The shortest text of a float, as Python, ECMAScript and others spell it, or one with a number of digits.
fn spelled(value: f64, how: usize) -> String {
    let shortest = es_number(value);
    match how {
        0 => python_float(value),
        1 => shortest,
        2 if shortest.contains('e') => shortest.replace('e', "E"),
        2 => format!("{shortest}e0"),
        3 => match shortest.split_once('e') {
            Some((mantissa, exponent)) if mantissa.contains('.') => {
                format!("{mantissa}000E{exponent}")
            }
            Some((mantissa, exponent)) => format!("{mantissa}.00e{exponent}"),
            None if shortest.contains('.') => shortest + "000",
            None => shortest + ".000E-0",
        },
        _ => format!("{value:.how$e}"),
    }
}

fn written(token: &str) -> Option<String> {
    let form = event_form(&Value::Number(token.to_owned().into())).ok()?;
    Some(String::from_utf8(form).unwrap())
}

/// What the rule says of a token, after the oracle.
fn expected(token: &str) -> Option<String> {
    let value: f64 = token.parse().unwrap();
    let (_, digits, power) = scaled(token);
    let zero = digits.bytes().all(|digit| digit == b'0');
    if !value.is_finite() || (value == 0.0 && !zero) {
        return None;
    }
    let text = es_number(value);
    if equal(token, &text) {
        return Some(text);
    }
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0').len();
    let behind = i32::try_from(digits.len() - significant).unwrap();
    let integer = power + behind >= 0;
    // Rust rounds the exact value, of two that are equally near to the even one.
    let rounded = format!("{value:.*e}", significant - 1);
    (!integer && equal(token, &rounded)).then_some(text)
}

proptest! {
    #![proptest_config(cases(4096))]

    #[test]
    fn what_was_logged_is_taken_again_and_gives_the_same_bytes(
        value in binary64(),
        how in 0_usize..4,
    ) {
        let given = spelled(value, how);
        let logged = written(&given).expect("every float is taken as its shortest text");
        prop_assert!(is_es_form(&logged));
        prop_assert_eq!(written(&logged), Some(logged.clone()), "{}", given);
        prop_assert_eq!(logged.parse::<f64>().unwrap(), value);
        // And as whatever a reader prints that has made a float of it, or of an integer token.
        prop_assert_eq!(written(&python_float(value)), Some(logged.clone()));
        if is_large_integer_token(&logged) {
            prop_assert!(value.abs() >= 9_007_199_254_740_992.0);
        }
    }

    #[test]
    fn what_is_taken_is_what_the_rule_says(value in binary64(), digits in 4_usize..60) {
        let given = spelled(value, digits);
        prop_assert_eq!(written(&given), expected(&given), "{}", given);
    }

    #[test]
    fn integers_of_any_length_are_taken_where_nothing_is_lost(
        sign in "-?",
        digits in "[1-9][0-9]{0,24}",
        zeros in 0_usize..12,
        tail in prop::sample::select(vec!["", ".0", ".00", "e0", "E+00"]),
    ) {
        let given = format!("{sign}{digits}{}{tail}", "0".repeat(zeros));
        prop_assert_eq!(written(&given), expected(&given), "{}", given);
        let plain = format!("{sign}{digits}{}", "0".repeat(zeros));
        prop_assert_eq!(written(&given), written(&plain), "one rule whatever the spelling");
    }

    #[test]
    fn decimals_of_any_length_are_taken_where_nothing_is_lost(
        token in "-?(0|[1-9][0-9]{0,20})\\.[0-9]{1,30}([eE][+-]?[0-9]{1,2})?",
    ) {
        prop_assert_eq!(written(&token), expected(&token), "{}", token);
    }

    #[test]
    fn what_a_program_prints_with_enough_digits_is_read_as_the_same(value in binary64()) {
        // `%.17g`, and with as many digits as there are: what is no integer is taken.
        for digits in [16, 17, 30, 766] {
            let given = spelled(value, digits);
            let logged = written(&given);
            let integer = value.fract() == 0.0;
            prop_assert!(integer || logged == Some(es_number(value)), "{} {:?}", given, logged);
        }
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn the_exact_value_is_that_of_multiplication(value in binary64()) {
        prop_assert!(equal(&spelled(value, 766), &exact(value)));
    }
}

#[test]
fn powers_of_two_and_their_neighbours_at_every_exponent() {
    for exponent in 0_u64..0x7ff {
        for bits in [
            exponent << 52,
            (exponent << 52) + 1,
            ((exponent << 52) | ((1 << 52) - 1)),
        ] {
            let value = f64::from_bits(bits);
            let logged = written(&python_float(value)).unwrap();
            assert_eq!(written(&logged).as_ref(), Some(&logged));
            assert_eq!(logged.parse::<f64>().unwrap().to_bits(), bits);
            // A neighbour in the last digit is another number.
            let full = spelled(value, 25);
            assert_eq!(written(&full), expected(&full), "{full}");
        }
    }
}

#[test]
fn a_number_costs_no_more_than_its_text() {
    let started = std::time::Instant::now();
    let digits = "7".repeat(1 << 20);
    for token in [
        "1e-999999999".to_owned(),
        "1e999999999".to_owned(),
        format!("1e-{digits}"),
        format!("1e{digits}"),
        digits.clone(),
        format!("0.{digits}"),
        format!("{digits}e-1048576"),
        format!("0.{}1e1048577", "0".repeat(1 << 20)),
    ] {
        let number = EventNumber::of(&token);
        assert_eq!(number.is_ok(), token.starts_with("0.0"));
    }
    // The exact work would take minutes and gigabytes.
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn a_number_in_a_document_is_taken_by_the_same_rule() {
    let text = br#"{"a":[1.0,9007199254740992],"b":{"c":0.10000000000000001}}"#;
    assert_eq!(
        event_form(&parse(text).unwrap()).unwrap(),
        br#"{"a":[1,9007199254740992],"b":{"c":0.1}}"#
    );
    let number = EventNumber::of("9007199254740992").unwrap();
    assert_eq!(number.spelling(), Spelling::LargeInteger);
    assert_eq!(EventNumber::of("2e308"), Err(NumberFault::OutOfRange));
}
