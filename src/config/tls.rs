//! Whom TLS trusts, looked at before anything is opened.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::sources::ReadFile;

/// Reads the PEM file of authorities at `path`.
///
/// # Errors
///
/// It cannot be read, holds no certificate, or holds a broken one.
pub(super) fn check_authorities(path: &Path, read_file: ReadFile<'_>) -> Result<(), String> {
    let text = read_file(&path.to_string_lossy())
        .map_err(|why| format!("names {}, which cannot be read: {why}", path.display()))?;
    let mut certificates = 0;
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        certificate.map_err(|_| format!("names {}, which is broken PEM", path.display()))?;
        certificates += 1;
    }
    match certificates {
        0 => Err(format!("names {}, which holds no certificate in PEM", path.display())),
        _ => Ok(()),
    }
}
