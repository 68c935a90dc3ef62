//! The messages, read as they stand: a token (RFC 5652, RFC 3161) and certificates (RFC 5280), in BER.
//!
//! What is signed or hashed is kept byte for byte, and nothing is encoded anew.

use bcder::decode::{Constructed, ContentError, DecodeError, Source};
use bcder::{Captured, Integer, Mode, OctetString, Oid, Tag};
use bytes::Bytes;

/// id-signedData (RFC 5652, section 5.1).
const SIGNED_DATA: &[u8] = &[42, 134, 72, 134, 247, 13, 1, 7, 2];
/// id-ct-TSTInfo (RFC 3161, section 2.4.2).
pub(crate) const TST_INFO: &[u8] = &[42, 134, 72, 134, 247, 13, 1, 9, 16, 1, 4];

type Result<T, E> = std::result::Result<T, DecodeError<E>>;

/// What a response says: a status, and the token where it grants one.
pub(crate) struct Response {
    pub(crate) status: u8,
    pub(crate) token: Option<Bytes>,
}

/// A signed TSTInfo.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    /// The DER of the TSTInfo.
    pub(crate) content: Bytes,
    /// Byte for byte.
    pub(crate) certificates: Vec<Bytes>,
    pub(crate) signer: Signer,
}

/// Who signed, and what.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    /// The `Name` of the issuer of the certificate, byte for byte.
    pub(crate) issuer: Bytes,
    pub(crate) serial: Integer,
    pub(crate) digest: Oid,
    /// The attributes that are signed, as they are: a SET.
    pub(crate) signed: Vec<u8>,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) algorithm: Oid,
    pub(crate) signature: Bytes,
}

/// A signed attribute.
#[derive(Debug, Clone)]
pub(crate) struct Attribute {
    pub(crate) kind: Oid,
    /// Its values, one after the other.
    pub(crate) values: Bytes,
}

/// What a token states.
#[derive(Debug, Clone)]
pub(crate) struct Info {
    pub(crate) hash: Oid,
    pub(crate) hashed: Bytes,
    /// The text of a GeneralizedTime.
    pub(crate) time: Bytes,
    /// How far from the time it may have been made; 0 where that is not stated.
    pub(crate) accuracy_micros: i64,
}

/// Of a certificate, what is needed here.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    pub(crate) serial: Integer,
    pub(crate) issuer: Bytes,
    /// The texts of the two times, and whether each has a year of four digits.
    pub(crate) validity: [(Bytes, bool); 2],
    pub(crate) subject: Bytes,
    /// The object identifier, whether it is critical, and the value.
    pub(crate) extensions: Vec<(Oid, bool, Bytes)>,
}

/// Reads what `read` takes, all of it.
pub(crate) fn decode<'b, T>(
    bytes: &'b [u8],
    read: impl FnOnce(
        &mut Constructed<bcder::decode::SliceSource<'b>>,
    ) -> Result<T, std::convert::Infallible>,
) -> std::result::Result<T, String> {
    Constructed::decode(bcder::decode::SliceSource::new(bytes), Mode::Ber, read)
        .map_err(|error| error.to_string())
}

fn bytes_of(captured: Captured) -> Bytes {
    captured.into_bytes()
}

impl Response {
    pub(crate) fn take<S: Source>(all: &mut Constructed<S>) -> Result<Self, S::Error> {
        all.take_sequence(|response| {
            let status = response.take_sequence(|info| {
                let status = info.take_u8()?;
                info.skip_all()?;
                Ok(status)
            })?;
            let rest = bytes_of(response.capture_all()?);
            let token = (!rest.is_empty()).then_some(rest);
            Ok(Self { status, token })
        })
    }
}

impl Signed {
    pub(crate) fn take<S: Source>(all: &mut Constructed<S>) -> Result<Self, S::Error> {
        all.take_sequence(|info| {
            expect(info, SIGNED_DATA, "it holds no signed data")?;
            info.take_constructed_if(Tag::CTX_0, |content| content.take_sequence(Self::inner))
        })
    }

    fn inner<S: Source>(data: &mut Constructed<S>) -> Result<Self, S::Error> {
        data.take_u8()?; // the version
        data.take_set(|algorithms| algorithms.skip_all())?;
        let content = data.take_sequence(|content| {
            expect(content, TST_INFO, "what it signs is no TSTInfo")?;
            content.take_constructed_if(Tag::CTX_0, OctetString::take_from)
        })?;
        let certificates = data.take_opt_constructed_if(Tag::CTX_0, |set| {
            let mut certificates = Vec::new();
            loop {
                let one = bytes_of(set.capture(|one| one.skip_one().map(drop))?);
                match one.is_empty() {
                    true => return Ok(certificates),
                    false => certificates.push(one),
                }
            }
        })?;
        // Lists of what was revoked.
        data.take_opt_constructed_if(Tag::CTX_1, |lists| lists.skip_all())?;
        let signer = data.take_set(|signers| signers.take_sequence(Signer::inner))?;
        Ok(Self {
            content: content.to_bytes(),
            certificates: certificates.unwrap_or_default(),
            signer,
        })
    }
}

impl Signer {
    fn inner<S: Source>(signer: &mut Constructed<S>) -> Result<Self, S::Error> {
        signer.take_u8()?; // the version
        let (issuer, serial) = signer.take_sequence(|named| {
            let issuer = bytes_of(named.capture_one()?);
            Ok((issuer, Integer::take_from(named)?))
        })?;
        let digest = algorithm(signer)?;
        let content = signer.take_constructed_if(Tag::CTX_0, |set| set.capture_all())?;
        let content = bytes_of(content);
        let read = Constructed::decode(content.clone(), Mode::Ber, attributes);
        let attributes = read.map_err(|error| signer.content_err(error.to_string()))?;
        let algorithm = algorithm(signer)?;
        let signature = OctetString::take_from(signer)?.to_bytes();
        signer.skip_all()?; // attributes that nobody signed
        // They are signed as a SET, and not under the tag that they have here (RFC 5652, section 5.4).
        let mut signed = vec![0x31];
        push_length(&mut signed, content.len());
        signed.extend_from_slice(&content);
        Ok(Self {
            issuer,
            serial,
            digest,
            signed,
            attributes,
            algorithm,
            signature,
        })
    }

    /// The values of the one attribute of a kind; `None` where there is none, or more than one.
    pub(crate) fn attribute(&self, kind: &[u8]) -> Option<&Bytes> {
        let mut found = self.attributes.iter().filter(|it| it.kind.as_ref() == kind);
        match (found.next(), found.next()) {
            (Some(attribute), None) => Some(&attribute.values),
            _ => None,
        }
    }
}

fn attributes<S: Source>(all: &mut Constructed<S>) -> Result<Vec<Attribute>, S::Error> {
    let mut attributes = Vec::new();
    while let Some(attribute) = all.take_opt_sequence(|attribute| {
        let kind = Oid::take_from(attribute)?;
        let values = attribute.take_set(|values| values.capture_all())?;
        Ok(Attribute {
            kind,
            values: bytes_of(values),
        })
    })? {
        attributes.push(attribute);
    }
    Ok(attributes)
}

impl Info {
    pub(crate) fn take<S: Source>(all: &mut Constructed<S>) -> Result<Self, S::Error> {
        all.take_sequence(|info| {
            info.skip_u8_if(1)?;
            Oid::skip_in(info)?; // the policy
            let (hash, hashed) = info.take_sequence(|imprint| {
                let hash = algorithm(imprint)?;
                Ok((hash, OctetString::take_from(imprint)?.to_bytes()))
            })?;
            Integer::take_from(info)?; // its number
            let time = info.take_primitive_if(Tag::GENERALIZED_TIME, |time| time.take_all())?;
            let accuracy_micros = info.take_opt_sequence(accuracy)?.unwrap_or(0);
            info.skip_all()?; // order, nonce, the authority's name, extensions
            Ok(Self {
                hash,
                hashed,
                time,
                accuracy_micros,
            })
        })
    }
}

/// An accuracy, in microseconds (RFC 3161, section 2.4.2).
fn accuracy<S: Source>(stated: &mut Constructed<S>) -> Result<i64, S::Error> {
    let mut micros = 0_i64;
    for (tag, each) in [
        (Tag::INTEGER, 1_000_000),
        (Tag::CTX_0, 1_000),
        (Tag::CTX_1, 1),
    ] {
        let number = stated.take_opt_primitive_if(tag, |number| {
            let bytes = number.take_all()?;
            let large = bytes.len() > 4 || bytes.first().is_some_and(|it| it & 0x80 != 0);
            match large {
                true => Ok(i64::from(u32::MAX)),
                false => Ok(bytes
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | i64::from(*byte))),
            }
        })?;
        micros = micros.saturating_add(number.unwrap_or(0).saturating_mul(each));
    }
    Ok(micros)
}

/// id-ce-basicConstraints (RFC 5280, section 4.2.1.9).
const BASIC_CONSTRAINTS: &[u8] = &[85, 29, 19];

impl Certificate {
    /// Whether it is that of an authority which may issue others: it says so, or is too old to say anything.
    pub(crate) fn may_issue(&self) -> bool {
        let mut extensions = self.extensions.iter();
        let found = extensions.find(|(kind, ..)| kind.as_ref() == BASIC_CONSTRAINTS);
        match found {
            None => self.extensions.is_empty(),
            Some((.., value)) => decode(value, |all| {
                all.take_sequence(|it| {
                    let says = it.take_opt_bool()?;
                    it.skip_all()?;
                    Ok(says)
                })
            })
            .is_ok_and(|says| says == Some(true)),
        }
    }

    pub(crate) fn take<S: Source>(all: &mut Constructed<S>) -> Result<Self, S::Error> {
        all.take_sequence(|certificate| {
            let content = certificate.take_sequence(Self::inner)?;
            certificate.skip_all()?;
            Ok(content)
        })
    }

    fn inner<S: Source>(content: &mut Constructed<S>) -> Result<Self, S::Error> {
        content.take_opt_constructed_if(Tag::CTX_0, |version| version.take_u8())?;
        let serial = Integer::take_from(content)?;
        content.take_sequence(|algorithm| algorithm.skip_all())?;
        let issuer = bytes_of(content.capture_one()?);
        let validity = content.take_sequence(|validity| Ok([time(validity)?, time(validity)?]))?;
        let subject = bytes_of(content.capture_one()?);
        content.skip_one()?; // the key
        content.take_opt_value_if(Tag::CTX_1, skip_content)?;
        content.take_opt_value_if(Tag::CTX_2, skip_content)?;
        let extensions = content.take_opt_constructed_if(Tag::CTX_3, |tagged| {
            tagged.take_sequence(|list| {
                let mut extensions = Vec::new();
                while let Some(extension) = list.take_opt_sequence(|one| {
                    let kind = Oid::take_from(one)?;
                    let critical = one.take_opt_bool()?.unwrap_or(false);
                    Ok((kind, critical, OctetString::take_from(one)?.to_bytes()))
                })? {
                    extensions.push(extension);
                }
                Ok(extensions)
            })
        })?;
        Ok(Self {
            serial,
            issuer,
            validity,
            subject,
            extensions: extensions.unwrap_or_default(),
        })
    }
}

fn skip_content<S: Source>(content: &mut bcder::decode::Content<S>) -> Result<(), S::Error> {
    match content {
        bcder::decode::Content::Primitive(it) => it.skip_all(),
        bcder::decode::Content::Constructed(it) => it.skip_all(),
    }
}

/// A time, and whether it has a year of four digits.
fn time<S: Source>(all: &mut Constructed<S>) -> Result<(Bytes, bool), S::Error> {
    all.take_primitive(|tag, time| match tag {
        Tag::UTC_TIME => Ok((time.take_all()?, false)),
        Tag::GENERALIZED_TIME => Ok((time.take_all()?, true)),
        _ => Err(time.content_err("a time of another kind")),
    })
}

/// An algorithm, whatever its parameters.
pub(crate) fn algorithm<S: Source>(all: &mut Constructed<S>) -> Result<Oid, S::Error> {
    all.take_sequence(|it| {
        let kind = Oid::take_from(it)?;
        it.skip_all()?;
        Ok(kind)
    })
}

fn expect<S: Source>(
    all: &mut Constructed<S>,
    kind: &[u8],
    otherwise: &'static str,
) -> Result<(), S::Error> {
    match Oid::<Bytes>::take_from(all)?.as_ref() == kind {
        true => Ok(()),
        false => Err(all.content_err(ContentError::from_static(otherwise))),
    }
}

/// The first attribute of a kind in a `Name`, as text.
pub(crate) fn name_part(name: &[u8], kind: &[u8]) -> Option<String> {
    let parts = decode(name, |all| {
        all.take_sequence(|name| {
            let mut parts = Vec::new();
            while let Some(set) = name.take_opt_set(|set| {
                set.take_sequence(|part| {
                    let kind = Oid::<Bytes>::take_from(part)?;
                    let text = part.take_primitive(|_, text| text.take_all())?;
                    Ok((kind, text))
                })
                .and_then(|part| {
                    set.skip_all()?;
                    Ok(part)
                })
            })? {
                parts.push(set);
            }
            Ok(parts)
        })
    });
    let parts = parts.ok()?;
    let found = parts.into_iter().find(|(it, _)| it.as_ref() == kind);
    found.map(|(_, text)| String::from_utf8_lossy(&text).into_owned())
}

fn push_length(bytes: &mut Vec<u8>, length: usize) {
    match length {
        0..0x80 => bytes.push(length as u8),
        _ => {
            let digits = length.to_be_bytes();
            let digits = &digits[length.leading_zeros() as usize / 8..];
            bytes.push(0x80 | digits.len() as u8);
            bytes.extend_from_slice(digits);
        }
    }
}
