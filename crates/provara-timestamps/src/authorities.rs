//! The certificates by which a reader knows time-stamp authorities.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::message::{Certificate, decode};

/// The most bytes that are read of a file of certificates.
const MAX_BYTES: usize = 1 << 20;

/// Certificates that are trusted: of authorities that issue those of time-stamp authorities, or of these themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Authorities {
    pub(crate) certificates: Vec<Vec<u8>>,
}

/// Why bytes are no certificates; a clause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthoritiesError {
    /// Too many of them.
    #[error("it is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// Neither PEM with a certificate, nor one in DER.
    #[error(
        "it has no certificate: it is neither PEM with a 'BEGIN CERTIFICATE', nor one certificate in DER"
    )]
    None,
    /// One that cannot be read.
    #[error("certificate {number} in it cannot be read: {reason}")]
    Malformed {
        /// Which, from 1.
        number: usize,
        /// Why.
        reason: String,
    },
}

impl Authorities {
    /// Reads a file of certificates: PEM with one or more, or one in DER.
    ///
    /// # Errors
    /// As [`AuthoritiesError`] says.
    pub fn parse(bytes: &[u8]) -> Result<Self, AuthoritiesError> {
        if bytes.len() > MAX_BYTES {
            return Err(AuthoritiesError::TooLong);
        }
        let malformed = |number: usize, reason: &dyn ToString| AuthoritiesError::Malformed {
            number,
            reason: reason.to_string(),
        };
        let mut certificates = match bytes.first() {
            Some(0x30) => vec![bytes.to_vec()],
            _ => {
                let blocks = CertificateDer::pem_slice_iter(bytes);
                let blocks = blocks.collect::<Result<Vec<_>, _>>();
                let blocks = blocks.map_err(|error| malformed(1, &error))?;
                blocks.into_iter().map(|it| it.to_vec()).collect()
            }
        };
        if certificates.is_empty() {
            return Err(AuthoritiesError::None);
        }
        for (number, certificate) in (1..).zip(&certificates) {
            decode(certificate, Certificate::take).map_err(|error| malformed(number, &error))?;
            webpki::anchor_from_trusted_cert(&CertificateDer::from(certificate.as_slice()))
                .map_err(|error| malformed(number, &format!("{error:?}")))?;
        }
        certificates.sort_unstable();
        certificates.dedup();
        Ok(Self { certificates })
    }

    /// With those of another file.
    pub fn extend(&mut self, other: Self) {
        self.certificates.extend(other.certificates);
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }
}
