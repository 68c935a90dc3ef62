//! A time-stamp token, and what it is worth.

use std::time::Duration;

use bcder::decode::{Constructed, DecodeError, Source};
use bcder::{OctetString, Oid};
use bytes::Bytes;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use ring::digest;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::ring::{
    ECDSA_P256_SHA256, ECDSA_P256_SHA384, ECDSA_P384_SHA256, ECDSA_P384_SHA384, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256_LEGACY_KEY, RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
    RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
};
use webpki::{EndEntityCert, KeyUsage};

use crate::authorities::Authorities;
use crate::message::{Certificate, Info, Response, Signed, TST_INFO, decode, name_part};

/// The largest token that is read, in bytes; those of public authorities have some 6,000.
const MAX_TOKEN: usize = 1 << 18;

/// id-contentType and id-messageDigest (RFC 5652, section 11).
const CONTENT_TYPE: &[u8] = &[42, 134, 72, 134, 247, 13, 1, 9, 3];
const MESSAGE_DIGEST: &[u8] = &[42, 134, 72, 134, 247, 13, 1, 9, 4];

/// id-sha256, id-sha384, id-sha512 (RFC 5754, section 2).
const SHA256: &[u8] = &[96, 134, 72, 1, 101, 3, 4, 2, 1];
const SHA384: &[u8] = &[96, 134, 72, 1, 101, 3, 4, 2, 2];
const SHA512: &[u8] = &[96, 134, 72, 1, 101, 3, 4, 2, 3];

/// rsaEncryption, RSASSA-PSS and what RSA with each hash is called (RFC 8017, appendix C; RFC 4055, section 5).
const RSA: &[u8] = &[42, 134, 72, 134, 247, 13, 1, 1, 1];
const RSA_PSS: &[u8] = &[42, 134, 72, 134, 247, 13, 1, 1, 10];
const RSA_SHA256: &[u8] = &[42, 134, 72, 134, 247, 13, 1, 1, 11];
const RSA_SHA384: &[u8] = &[42, 134, 72, 134, 247, 13, 1, 1, 12];
const RSA_SHA512: &[u8] = &[42, 134, 72, 134, 247, 13, 1, 1, 13];
/// ecdsa-with-SHA256 and -SHA384 (RFC 5758, section 3.2).
const ECDSA_SHA256: &[u8] = &[42, 134, 72, 206, 61, 4, 3, 2];
const ECDSA_SHA384: &[u8] = &[42, 134, 72, 206, 61, 4, 3, 3];
/// id-Ed25519 (RFC 8410, section 3).
const ID_ED25519: &[u8] = &[43, 101, 112];

/// id-at-commonName and id-at-organizationName (RFC 5280, appendix A.1).
const COMMON_NAME: &[u8] = &[85, 4, 3];
const ORGANIZATION: &[u8] = &[85, 4, 10];

/// id-ce-extKeyUsage (RFC 5280, section 4.2.1.12).
const EXTENDED_KEY_USAGE: &[u8] = &[85, 29, 37];

/// id-kp-timeStamping, without tag and length.
const TIME_STAMPING: &[u8] = &[43, 6, 1, 5, 5, 7, 3, 8];

/// A list of key purposes that is id-kp-timeStamping alone, in DER.
const TIME_STAMPING_ALONE: &[u8] = &[48, 10, 6, 8, 43, 6, 1, 5, 5, 7, 3, 8];

/// id-aa-signingCertificate (RFC 2634, section 5.4) and id-aa-signingCertificateV2 (RFC 5035, section 3).
const SIGNING_CERTIFICATE: &[u8] = &[42, 134, 72, 134, 247, 13, 1, 9, 16, 2, 12];
const SIGNING_CERTIFICATE_V2: &[u8] = &[42, 134, 72, 134, 247, 13, 1, 9, 16, 2, 47];

/// Why bytes are no token, or why one proves nothing; a clause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than any that is read.
    #[error("it is longer than {MAX_TOKEN} bytes")]
    TooLong,
    /// Neither a response nor a token.
    #[error("it is neither a time-stamp response nor a token (RFC 3161): {0}")]
    Malformed(String),
    /// A response in which the authority refuses.
    #[error("the authority did not grant a time-stamp: its response states the status {0}")]
    NotGranted(&'static str),
    /// The token has another form than a time-stamp.
    #[error("it is no time-stamp: {0}")]
    Form(&'static str),
    /// A hash function that says nothing any more, or that nobody here knows.
    #[error("it is over a hash that is not SHA-256, SHA-384 or SHA-512")]
    Hash,
    /// It is over something else.
    #[error(
        "it is over something else: the hash in it is {found}, and that of the tree head {expected}"
    )]
    OtherMessage {
        /// In hexadecimal digits.
        expected: String,
        /// In hexadecimal digits.
        found: String,
    },
    /// Its signature is by an algorithm that nobody here knows.
    #[error(
        "its signature is not RSA, ECDSA over P-256 or P-384, or Ed25519, with SHA-256, SHA-384 or SHA-512"
    )]
    Algorithm,
    /// Its signature does not verify.
    #[error("its signature does not verify: {0}")]
    Signature(String),
    /// It lacks the certificate that signed it.
    #[error(
        "it lacks the certificate that signed it, and none of those given is that: ask the authority for it ('openssl ts -query -cert'), or name that certificate"
    )]
    NoCertificate,
    /// The signer's certificate is none of a time-stamp authority.
    #[error(
        "the certificate '{subject}' that signed it is none of a time-stamp authority: its only purpose, marked critical, must be time-stamping (RFC 3161, section 2.3)"
    )]
    Purpose {
        /// The subject.
        subject: String,
    },
    /// The chain of certificates was not valid when it was made.
    #[error("the certificate '{subject}' that signed it, or one above it, {} at {at}", if *.early { "was not valid yet" } else { "had expired" })]
    Expired {
        /// The subject.
        subject: String,
        /// The time that the token states.
        at: String,
        /// Whether it became valid later.
        early: bool,
    },
    /// No chain leads to a certificate that is trusted.
    #[error(
        "no chain leads from the certificate '{subject}' that signed it to one of those named: {reason}"
    )]
    Untrusted {
        /// The subject.
        subject: String,
        /// Why.
        reason: String,
    },
}

/// What a token says, once a chain leads to a certificate that is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// When it was made, in microseconds after the beginning of 1970.
    pub unix_micros: i64,
    /// The last moment at which it may have been made, as accurately as it says.
    pub latest_micros: i64,
    /// The subject of the certificate that signed it.
    pub authority: String,
}

/// A time-stamp token, of which nothing is known until a chain leads to a certificate that is trusted.
#[derive(Debug, Clone)]
pub struct Token {
    bytes: Vec<u8>,
    signed: Signed,
    info: Info,
    time: Timestamp,
}

impl Token {
    /// Reads a response that grants a token, or a token by itself, in BER.
    ///
    /// # Errors
    /// As [`TokenError`] says.
    pub fn parse(bytes: &[u8]) -> Result<Self, TokenError> {
        if bytes.len() > MAX_TOKEN {
            return Err(TokenError::TooLong);
        }
        let bytes = token_of(bytes)?;
        let signed = decode(&bytes, Signed::take).map_err(TokenError::Malformed)?;
        let info = decode(&signed.content, Info::take).map_err(TokenError::Malformed)?;
        let time = time(&info.time, true).ok_or(TokenError::Form("its time is none"))?;
        Ok(Self {
            bytes,
            signed,
            info,
            time,
        })
    }

    /// The token without the response around it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The last moment at which it may have been made, with the accuracy that it states; where its time has whole seconds,
    /// the end of that second.
    fn latest_micros(&self) -> i64 {
        let micros = self.unix_micros();
        let whole = if micros % 1_000_000 == 0 {
            1_000_000
        } else {
            0
        };
        micros.saturating_add(self.info.accuracy_micros.max(whole))
    }

    /// When it was made, as it says, in microseconds after the beginning of 1970.
    #[must_use]
    pub fn unix_micros(&self) -> i64 {
        self.time.as_microsecond()
    }

    /// The hash of what it is over, in hexadecimal digits.
    #[must_use]
    pub fn hash(&self) -> String {
        hexadecimal(&self.info.hashed)
    }

    /// Whether it is over `message`.
    ///
    /// # Errors
    /// [`TokenError::Hash`], [`TokenError::OtherMessage`].
    pub fn is_over(&self, message: &[u8]) -> Result<(), TokenError> {
        let function = hash_function(&self.info.hash).ok_or(TokenError::Hash)?;
        let expected = digest::digest(function, message);
        match expected.as_ref() == self.info.hashed.as_ref() {
            true => Ok(()),
            false => Err(TokenError::OtherMessage {
                expected: hexadecimal(expected.as_ref()),
                found: self.hash(),
            }),
        }
    }

    /// Verifies its signature by the certificate that it carries, whoever issued that; a token that carries none, or is
    /// signed by an algorithm that nobody here knows, is left to whoever does.
    ///
    /// # Errors
    /// [`TokenError::Signature`].
    pub fn verify_itself(&self) -> Result<(), TokenError> {
        let nobody = Authorities::default();
        let Ok((der, _)) = self.signer(&nobody) else {
            return Ok(());
        };
        let der = CertificateDer::from(der);
        let Ok(signer) = EndEntityCert::try_from(&der) else {
            return Ok(());
        };
        match self.check_signature(&signer, &der) {
            Err(TokenError::Algorithm) => Ok(()),
            checked => checked,
        }
    }

    /// Verifies its signature, that the certificate which made it is that of a time-stamp authority, and that at the
    /// time which it states a chain led from that one to one of `authorities`, or is one of them.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify(&self, authorities: &Authorities) -> Result<Stamp, TokenError> {
        let (der, certificate) = self.signer(authorities)?;
        let subject = subject_of(&certificate);
        let der = CertificateDer::from(der);
        let signer = EndEntityCert::try_from(&der).map_err(|error| TokenError::Untrusted {
            subject: subject.clone(),
            reason: format!("the certificate cannot be read: {error}"),
        })?;
        self.check_signature(&signer, &der)?;
        if !stamps_alone(&certificate) {
            return Err(TokenError::Purpose { subject });
        }
        let expired = |early: bool| TokenError::Expired {
            subject: subject.clone(),
            at: self.time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            early,
        };
        if authorities
            .certificates
            .iter()
            .any(|it| **it == *der.as_ref())
        {
            let [from, to] = &certificate.validity;
            let limit = |(text, long): &(Bytes, bool)| time(text, *long);
            match (limit(from), limit(to)) {
                (Some(from), _) if self.time < from => return Err(expired(true)),
                (Some(_), Some(to)) if self.time <= to => {}
                _ => return Err(expired(false)),
            }
        } else {
            let chain = self.check_chain(&signer, authorities);
            chain.map_err(|error| match error {
                webpki::Error::CertExpired { .. } => expired(false),
                webpki::Error::CertNotValidYet { .. } => expired(true),
                error => TokenError::Untrusted {
                    subject: subject.clone(),
                    reason: match error {
                        webpki::Error::UnknownIssuer => {
                            "it was issued by another authority".to_owned()
                        }
                        webpki::Error::InvalidSignatureForPublicKey => {
                            "it was issued by an authority of the same name, with another key"
                                .to_owned()
                        }
                        other => other.to_string(),
                    },
                },
            })?;
        }
        Ok(Stamp {
            unix_micros: self.unix_micros(),
            latest_micros: self.latest_micros(),
            authority: subject,
        })
    }

    /// The certificate that the signer names, among those that the token carries and those that are trusted.
    fn signer<'a>(
        &'a self,
        authorities: &'a Authorities,
    ) -> Result<(&'a [u8], Certificate), TokenError> {
        let named = &self.signed.signer;
        let carried = self.signed.certificates.iter().map(|it| &it[..]);
        let trusted = authorities.certificates.iter().map(|it| &it[..]);
        for der in carried.chain(trusted) {
            // What is there besides may be of a kind that nobody reads.
            if let Ok(certificate) = decode(der, Certificate::take)
                && certificate.issuer == named.issuer
                && certificate.serial == named.serial
            {
                return Ok((der, certificate));
            }
        }
        Err(TokenError::NoCertificate)
    }

    fn check_signature(
        &self,
        certificate: &EndEntityCert<'_>,
        der: &[u8],
    ) -> Result<(), TokenError> {
        let wrong = |what: &str| TokenError::Signature(what.to_owned());
        let signer = &self.signed.signer;
        let kind = signer.attribute(CONTENT_TYPE);
        let kind = kind.and_then(|it| decode(it, Oid::<Bytes>::take_from).ok());
        if kind.is_none_or(|it| it.as_ref() != TST_INFO) {
            return Err(wrong("it is over another type of content"));
        }
        let function = hash_function(&signer.digest).ok_or(TokenError::Algorithm)?;
        let stated = signer.attribute(MESSAGE_DIGEST);
        let stated = stated.and_then(|it| decode(it, OctetString::take_from).ok());
        let content = digest::digest(function, &self.signed.content);
        if stated.is_none_or(|it| it.to_bytes().as_ref() != content.as_ref()) {
            return Err(wrong("it is over other content"));
        }
        let algorithms =
            algorithms(&signer.algorithm, &signer.digest).ok_or(TokenError::Algorithm)?;
        let is_signed = algorithms.iter().any(|algorithm| {
            let verified =
                certificate.verify_signature(*algorithm, &signer.signed, &signer.signature);
            verified.is_ok()
        });
        if !is_signed {
            return Err(wrong("the key of the certificate did not make it"));
        }
        match names_certificate(signer, der) {
            true => Ok(()),
            false => Err(wrong(
                "it does not name the certificate that made it (RFC 5035, section 3)",
            )),
        }
    }

    fn check_chain(
        &self,
        signer: &EndEntityCert<'_>,
        authorities: &Authorities,
    ) -> Result<(), webpki::Error> {
        let trusted = authorities.certificates.iter();
        // A certificate of a time-stamp authority stands for itself, and issues none.
        let trusted =
            trusted.filter(|it| decode(it, Certificate::take).is_ok_and(|it| it.may_issue()));
        let trusted: Vec<_> = trusted.map(|it| CertificateDer::from(&it[..])).collect();
        let anchors = trusted.iter().map(webpki::anchor_from_trusted_cert);
        let anchors: Vec<TrustAnchor<'_>> = anchors.collect::<Result<_, _>>()?;
        let between = self.signed.certificates.iter();
        let between: Vec<_> = between.map(|it| CertificateDer::from(&it[..])).collect();
        let seconds = u64::try_from(self.time.as_second()).unwrap_or(0);
        let verified = signer.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            &between,
            UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
            KeyUsage::required_if_present(TIME_STAMPING),
            None,
            None,
        );
        verified.map(drop)
    }
}

/// The token in a response that grants one, or the token that the bytes are.
fn token_of(bytes: &[u8]) -> Result<Vec<u8>, TokenError> {
    let token = match decode(bytes, Signed::take) {
        Ok(_) => return Ok(bytes.to_vec()),
        Err(error) => error,
    };
    let Ok(response) = decode(bytes, Response::take) else {
        return Err(TokenError::Malformed(token));
    };
    let status = match response.status {
        // Granted, also with modifications (RFC 3161, section 2.4.2).
        0 | 1 => None,
        2 => Some("rejection"),
        3 => Some("waiting"),
        4 => Some("revocation warning"),
        5 => Some("revocation notification"),
        _ => Some("unknown"),
    };
    match (status, response.token) {
        (Some(status), _) => Err(TokenError::NotGranted(status)),
        (None, None) => Err(TokenError::NotGranted("granted, and it has no token")),
        (None, Some(token)) => Ok(token.to_vec()),
    }
}

/// The time of a GeneralizedTime, or of a UTCTime (RFC 5280, section 4.1.2.5; a token's may have a fraction).
fn time(text: &[u8], long: bool) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || whole.len() != if long { 14 } else { 12 } {
        return None;
    }
    let (year, rest) = whole.split_at(whole.len() - 10);
    let year: i16 = year.parse().ok()?;
    let year = match (long, year) {
        (true, year) => year,
        (false, ..50) => 2000 + year,
        (false, 50..) => 1900 + year,
    };
    let part = |at: usize| rest[at..at + 2].parse::<i8>().ok();
    let nanos: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let at = DateTime::new(
        year,
        part(0)?,
        part(2)?,
        part(4)?,
        part(6)?,
        part(8)?,
        nanos.parse().ok()?,
    );
    at.ok()?
        .to_zoned(TimeZone::UTC)
        .ok()
        .map(|it| it.timestamp())
}

fn hash_function(kind: &Oid) -> Option<&'static digest::Algorithm> {
    match kind.as_ref() {
        SHA256 => Some(&digest::SHA256),
        SHA384 => Some(&digest::SHA384),
        SHA512 => Some(&digest::SHA512),
        _ => None,
    }
}

/// The algorithms that may have made a signature. Which of them fits the key its certificate tells.
fn algorithms(kind: &Oid, hash: &Oid) -> Option<Vec<&'static dyn SignatureVerificationAlgorithm>> {
    Some(match (kind.as_ref(), hash.as_ref()) {
        (RSA_SHA256, _) | (RSA, SHA256) => vec![RSA_PKCS1_2048_8192_SHA256],
        (RSA_SHA384, _) | (RSA, SHA384) => vec![RSA_PKCS1_2048_8192_SHA384],
        (RSA_SHA512, _) | (RSA, SHA512) => vec![RSA_PKCS1_2048_8192_SHA512],
        (RSA_PSS, SHA256) => vec![RSA_PSS_2048_8192_SHA256_LEGACY_KEY],
        (RSA_PSS, SHA384) => vec![RSA_PSS_2048_8192_SHA384_LEGACY_KEY],
        (RSA_PSS, SHA512) => vec![RSA_PSS_2048_8192_SHA512_LEGACY_KEY],
        (ECDSA_SHA256, _) => vec![ECDSA_P256_SHA256, ECDSA_P384_SHA256],
        (ECDSA_SHA384, _) => vec![ECDSA_P256_SHA384, ECDSA_P384_SHA384],
        (ID_ED25519, _) => vec![ED25519],
        _ => return None,
    })
}

/// What the holder of a certificate is called.
fn subject_of(certificate: &Certificate) -> String {
    let part = |kind| name_part(&certificate.subject, kind);
    let name = part(COMMON_NAME).or_else(|| part(ORGANIZATION));
    name.unwrap_or_else(|| "without a name".to_owned())
}

/// Whether time-stamping is the only purpose of a certificate, and critical.
fn stamps_alone(certificate: &Certificate) -> bool {
    let extensions = certificate.extensions.iter();
    let mut purposes = extensions.filter(|(kind, ..)| kind.as_ref() == EXTENDED_KEY_USAGE);
    match (purposes.next(), purposes.next()) {
        (Some((_, true, purposes)), None) => purposes.as_ref() == TIME_STAMPING_ALONE,
        _ => false,
    }
}

/// Whether the first certificate that the signed attributes name is this one, by its hash.
fn names_certificate(signer: &crate::message::Signer, certificate: &[u8]) -> bool {
    let kinds = [(SIGNING_CERTIFICATE_V2, true), (SIGNING_CERTIFICATE, false)];
    let named = kinds.into_iter().filter_map(|(kind, is_second)| {
        let value = signer.attribute(kind)?;
        let stated = decode(value, |all| {
            all.take_sequence(|it| {
                let first = it.take_sequence(|list| {
                    let first = list.take_sequence(|id| certificate_hash(id, is_second))?;
                    list.skip_all()?;
                    Ok(first)
                })?;
                it.skip_all()?;
                Ok(first)
            })
        });
        Some(stated.is_ok_and(|(function, hash)| {
            let function = match &function {
                // What they are where none is stated (RFC 5035, section 4; RFC 2634, section 5.4.1).
                None if is_second => Some(&digest::SHA256),
                None => Some(&digest::SHA1_FOR_LEGACY_USE_ONLY),
                Some(kind) => hash_function(kind),
            };
            let hashed = function.map(|it| digest::digest(it, certificate));
            hashed.is_some_and(|it| it.as_ref() == hash.as_ref())
        }))
    });
    let named: Vec<bool> = named.collect();
    !named.is_empty() && named.into_iter().all(|it| it)
}

/// What an ESSCertID, or one of the second version, states: a hash function and the hash of a certificate.
fn certificate_hash<S: Source>(
    id: &mut Constructed<S>,
    is_second: bool,
) -> Result<(Option<Oid>, Bytes), DecodeError<S::Error>> {
    let function = match is_second {
        true => id.take_opt_sequence(|it| {
            let kind = Oid::take_from(it)?;
            it.skip_all()?;
            Ok(kind)
        })?,
        false => None,
    };
    let hash = OctetString::take_from(id)?.to_bytes();
    id.skip_all()?;
    Ok((function, hash))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
